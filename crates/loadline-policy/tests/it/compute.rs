//! What is said of a declaration that is wrong.

use loadline_policy::compute::{self, Category};
use loadline_policy::{Interval, MOST_BYTES, Named as _};

use crate::support::{d, said, stated};

const HEAD: &str = "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n";

fn entry(rest: &str) -> String {
    format!("{HEAD}[[entry]]\nname = \"run\"\ncategory = \"pretraining\"\nbasis = \"inferred\"\n{rest}\n")
}

#[test]
fn each_message_says_where_what_and_what_to_do() {
    let hw = |part: &str| {
        entry(
            "hardware = { chip = \"a100\", precision = \"bf16\", chips = 8, hours = 10, utilisation = 0.4, \
             utilisation_of = \"whole_job\" }",
        )
        .replace("chips = 8", part)
    };
    for (text, expected) in [
        (entry("stated = { flop = 1e20, sorce = \"x\" }"), "unknown key `sorce` / did you mean `source`?"),
        (entry("stated = { flop = 1e20, sorce = \"x\" }"), "`entry[1].stated.source`: is missing"),
        (entry(""), "has no figure / add `architecture`, `hardware` or `stated`"),
        (
            entry("stated = { flop = \"1e20\", source = \"x\" }"),
            "is of type string / expected a number without quotation",
        ),
        (
            entry("stated = { flop = [2, 1], source = \"x\" }"),
            "is not an amount / above 0, and the lower end first",
        ),
        (entry("stated = { flop = [1, 2, 3], source = \"x\" }"), "has 3 numbers / an interval is [lo, hi]"),
        (entry("stated = { flop = -1, source = \"x\" }"), "-1 is not an amount"),
        (entry("stated = { flop = inf, source = \"x\" }"), "`inf` is not a decimal number"),
        (entry("stated = { flop = 1e900, source = \"x\" }"), "more than 64 digits or an exponent beyond ±64"),
        (entry("stated = { flop = 0x10, source = \"x\" }"), "is of type integer / expected a number"),
        (hw("chips = 8").replace("a100", "a10"), "the peak of `a10` is not known / did you mean `a100`?"),
        (
            hw("chips = 8").replace("bf16", "fp8"),
            "the peak of `a100` in fp8 is not known / known: bf16, fp16",
        ),
        (
            hw("chips = 8").replace("0.4", "40"),
            "`entry[1].hardware.utilisation`: is 40 / a share of the peak",
        ),
        (
            hw("chips = 8, peak_flop_per_s = 3e14"),
            "does not say whether it is dense / write `dense_peak_flop_per_s`",
        ),
        (HEAD.replace("none", "nothing"), "`nothing` is not known here / expected one of none, unknown"),
        (HEAD.to_owned(), "there is no entry / write one under `[[entry]]`"),
        (entry("").replace("inferred", "guessed"), "`guessed` is not known here"),
        (entry("").replace("pretraining", "pretrainning"), "did you mean `pretraining`?"),
        (
            entry("stated = { flop = 1, source = \"x\" }").replace("inferred", "absent"),
            "is `absent`, but there are figures",
        ),
        (entry("architecture = 3"), "is of type integer / expected a table `[entry[1].architecture]`"),
        (
            entry("architecture = { design = \"dense\", active_parameters = 1e9, tokens = 1e9 }"),
            "a dense model has one count, `parameters`",
        ),
        (
            HEAD.replace("compute/1", "compute/9"),
            "is not read by this version / write `format = \"loadline-compute/1\"`",
        ),
        ("a = ".to_owned(), "not TOML: "),
        ("a = 1\na = 2".to_owned(), "duplicate key"),
    ] {
        let lines = said(compute::parse(&text));
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{expected}\nwas not said of\n{text}\n{lines:#?}"
        );
    }
}

#[test]
fn every_problem_is_said_at_once_with_its_place() {
    let text = entry("stated = { flop = 0, source = \"\" }").replace("model = \"m\"", "modle = \"m\"");
    let lines = said(compute::parse(&text));
    let places: Vec<_> = lines.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["line 1, column 1", "line 2, column 1", "line 8, column 19", "line 8, column 31"],
        "{lines:#?}"
    );
}

#[test]
fn two_entries_of_one_name_are_refused() {
    let one = entry("stated = { flop = 1, source = \"x\" }");
    let text = format!("{one}{}", one.strip_prefix(HEAD).unwrap());
    assert!(said(compute::parse(&text))[0].contains("two entries are called `run`"));
}

#[test]
fn what_is_too_large_is_refused() {
    let text = format!("# {}", "x".repeat(MOST_BYTES));
    assert!(said(compute::parse(&text))[0].contains("at most 1048576 are read"));
    let deep = format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(compute::parse(&deep).is_err());
    assert!(compute::parse("\u{0}\u{1b}[2J").is_err());
}

#[test]
fn what_is_not_declared_is_unknown_and_not_nothing() {
    let mut ledger = stated("1e20");
    assert_eq!(ledger.category(Category::Rl).flop, Interval::zero());
    ledger.others = compute::Others::Unknown;
    assert_eq!(ledger.category(Category::Rl).flop, Interval::unknown());
    assert_eq!(ledger.sum(Category::ALL).lo, d("1e20"));
    let warnings = ledger.warnings();
    assert!(warnings[0].starts_with("nothing is said of continued_pretraining, sft, rl"), "{warnings:?}");
    let absent = compute::parse(&entry("").replace("inferred", "absent")).unwrap();
    assert_eq!(absent.category(Category::Pretraining).flop, Interval::unknown());
}

#[test]
fn steady_state_is_warned_of() {
    let text = entry(
        "hardware = { chip = \"tpu-v4\", precision = \"bf16\", chips = 8, hours = 10, utilisation = 0.4, \
         utilisation_of = \"steady_state\" }",
    );
    assert!(compute::parse(&text).unwrap().warnings()[0].contains("overstates a whole job"));
}
