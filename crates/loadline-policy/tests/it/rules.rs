//! The shipped rule packs.

use loadline_policy::rules::{self, Scope, Status};
use loadline_policy::{Category, Named as _};

use crate::support::{at, d, said, stated, verdict};

#[test]
fn every_shipped_pack_reads_and_is_named_as_its_file() {
    let packs = rules::shipped().unwrap();
    assert_eq!(packs.len(), rules::SHIPPED.len());
    for (pack, (name, _)) in packs.iter().zip(rules::SHIPPED) {
        assert_eq!(pack.id, *name);
        assert!(!pack.unsettled.is_empty(), "{name} says nothing of what is uncertain");
        let listed = pack.counts.len() + pack.excludes.len() + pack.unsettled_categories.len();
        assert_eq!(listed, Category::ALL.len());
    }
}

#[test]
fn status_and_dates_are_as_recorded() {
    let now = at("2026-11-23T00:00:00Z");
    for (id, status, applies) in [
        ("eu-ai-act-1e25", Status::InForce, true),
        ("eu-ai-act-1e23", Status::InForce, true),
        ("california-sb-53", Status::InForce, true),
        ("new-york-raise", Status::Enacted, false),
        ("illinois-sb-315", Status::Enacted, false),
        ("south-korea", Status::InForce, true),
        ("us-federal-draft", Status::Draft, false),
        ("us-eo-14110", Status::Revoked, false),
        ("california-sb-1047", Status::Vetoed, false),
    ] {
        let pack = rules::find(id).unwrap();
        assert_eq!((pack.status, pack.applies_at(now)), (status, applies), "{id}");
        let threshold = if id.ends_with("1e25") {
            "1e25"
        } else if id.ends_with("1e23") {
            "1e23"
        } else {
            "1e26"
        };
        assert_eq!(pack.threshold_flop, d(threshold));
        assert_eq!(pack.error_margin, id.starts_with("eu").then(|| d("0.3")));
    }
    assert!(rules::find("new-york-raise").unwrap().applies_at(at("2027-01-01T00:00:00Z")));
    assert!(rules::find("atlantis").is_none());
}

#[test]
fn what_is_unsettled_raises_the_upper_end_only() {
    let text = "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n\
                [[entry]]\nname = \"a\"\ncategory = \"pretraining\"\nbasis = \"inferred\"\n\
                stated = { flop = 9e25, source = \"x\" }\n\
                [[entry]]\nname = \"b\"\ncategory = \"evaluation\"\nbasis = \"inferred\"\n\
                stated = { flop = 2e25, source = \"x\" }\n";
    let ledger = loadline_policy::compute::parse(text).unwrap();
    let verdict = verdict("california-sb-53", &ledger);
    assert_eq!(verdict.verdict, Scope::Indeterminate);
    assert_eq!(verdict.counted_flop.to_string(), "[9e25, 1.1e26]");
    assert!(verdict.reasons.iter().any(|r| r.contains("treated as in")), "{:?}", verdict.reasons);
}

#[test]
fn the_tolerated_error_is_added_on_both_sides() {
    let just_in = verdict("eu-ai-act-1e25", &stated("1.43e25"));
    assert_eq!(just_in.verdict, Scope::In);
    assert_eq!(verdict("eu-ai-act-1e25", &stated("1.42e25")).verdict, Scope::Indeterminate);
    assert_eq!(verdict("eu-ai-act-1e25", &stated("7.6e24")).verdict, Scope::Out);
    assert!(just_in.reasons[1].contains("tolerated error of 30 % it is [1.001e25, 1.859e25]"), "{just_in:?}");
}

#[test]
fn unbounded_compute_is_never_out() {
    let mut ledger = stated("1e15");
    ledger.others = loadline_policy::compute::Others::Unknown;
    let verdict = verdict("eu-ai-act-1e25", &ledger);
    assert_eq!((verdict.verdict, verdict.treated_as_in), (Scope::Indeterminate, true));
    assert!(verdict.reasons.contains(&"nothing bounds `rl` from above: declare it".to_owned()));
}

#[test]
fn what_is_not_law_says_so() {
    let verdict = verdict("us-eo-14110", &stated("2e26"));
    assert!(verdict.reasons.contains(&"not law: revoked".to_owned()));
}

#[test]
fn a_wrong_pack_is_refused() {
    let (_, text) = rules::SHIPPED[0];
    for (from, to, expected) in [
        ("excludes = [", "excludes = [\"rl\", ", "`rl` is in 2 of the three lists"),
        ("\"evaluation\"", "", "`evaluation` is in 0 of the three lists"),
        ("threshold_flop = 1e25", "threshold_flop = -1e25", "is -10000000000000000000000000"),
        ("error_margin = 0.3", "error_margin = 30", "is not between 0 and 1 / write 0.3 for 30 %"),
        ("effective = \"2025-08-02\"\n", "", "a law has a date from which it applies"),
        ("effective = \"2025-08-02\"", "effective = \"2025-02-30\"", "`2025-02-30` is not a date"),
        ("status = \"in_force\"", "status = \"vetoed\"", "is there, but the law was vetoed"),
        ("citation", "citatoin", "did you mean `citation`?"),
        ("more_than", "more", "`more` is not known here"),
    ] {
        assert!(text.contains(from), "{from}");
        let lines = said(rules::parse(&text.replacen(from, to, 1)));
        let expected = expected.replace("-10000000000000000000000000", "-1e25");
        assert!(lines.iter().any(|line| line.contains(&expected)), "{expected}: {lines:#?}");
    }
}
