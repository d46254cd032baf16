//! The policy document: checked, compared, explained.

use loadline_policy::Named as _;
use loadline_policy::policy::{self, Effect, Policy, Risk, Severity, Stage, diff, explain};

use crate::support::{SMALL, said, small};

#[test]
fn every_shipped_policy_reads_and_is_named_as_its_file() {
    for (name, text) in policy::SHIPPED {
        let policy = policy::parse(text).unwrap_or_else(|problems| panic!("{name}:\n{problems}"));
        assert_eq!(policy.name, *name);
        assert_eq!(policy::shipped(name).unwrap().unwrap(), policy);
    }
    assert!(policy::shipped("none").is_none());
}

#[test]
fn frontier_and_open_weights_stop_at_every_class_of_risk() {
    for name in ["frontier", "open-weights"] {
        let policy = policy::shipped(name).unwrap().unwrap();
        for risk in [Risk::Economic, Risk::Misuse, Risk::LossOfControl] {
            let stops = policy.tests.iter().any(|t| t.risk == risk && t.severity >= policy.blocks_from);
            assert!(stops, "{name}: {risk}");
        }
    }
    let open = policy::shipped("open-weights").unwrap().unwrap();
    assert_eq!(open.stages.last().unwrap().stage, Stage::WeightsReleased);
    assert_eq!(open.identity, [loadline_core::model::Basis::Verified]);
}

#[test]
fn each_message_says_where_what_and_what_to_do() {
    for (from, to, expected) in [
        ("at_least = 0.8", "at_least = 80", "80 is not a rate / between 0 and 1; write 0.9 for 90 %"),
        ("at_least = 0.8", "at_least = 0.999", "nothing can pass: 200 of 200 gives interval"),
        ("at_least = 0.8", "at_least = 0.8\nat_most = 0.9", "has `at_least` and `at_most`"),
        ("at_least = 0.8\n", "", "requires no rate / give one of `at_least` and `at_most`"),
        ("bound = \"lower\"", "bound = \"upper\"", "the upper bound cannot show it"),
        ("bound = \"upper\"", "bound = \"lower\"", "knowing nothing would pass"),
        ("confidence = 0.95", "confidence = 95", "95 is no confidence / from 0.5 to below 1"),
        ("confidence = 0.95", "confidence = 0.9999999", "the confidence level"),
        ("suite = \"arithmetic\"", "suite = \"arithmetic\"\ntask = \"x\"", "has a `suite` and a `task`"),
        (
            "suite = \"arithmetic\"\nform = \"generate\"\nlevels = [1, 2]\n",
            "",
            "has neither `suite` nor `task`",
        ),
        (
            "suite = \"arithmetic\"\nform = \"generate\"\nlevels = [1, 2]\n",
            "task = \"gsm8k\"\ntask_digest = \"sha256:12\"\n",
            "`test[1].task_digest`: is not a digest",
        ),
        ("levels = [1, 2]", "levels = []", "names no level"),
        ("levels = [1, 2]", "levels = [0]", "is 0 / expected a whole number from 1 to 100"),
        ("n = 200", "n = 2.5", "is of type float / expected a whole number from 1 to 1000000"),
        ("id = \"sums\"", "id = \"leaks\"", "two tests are called `leaks`"),
        ("id = \"sums\"", "id = \"Sums!\"", "`Sums!` is not a name"),
        ("light = true\n", "", "the light path has no test"),
        ("light = true", "light = \"yes\"", "is of type string / expected true or false"),
        ("survey_days = 30", "survey_days = 300", "300 days is after the licence ends / at most 90"),
        ("laws = [\"eu-ai-act-1e25\"]", "laws = [\"eu-ai-act-1e24\"]", "did you mean `eu-ai-act-1e25`?"),
        ("laws = [\"eu-ai-act-1e25\"]", "laws = [\"us-eo-14110\"]", "`us-eo-14110` is not law: revoked"),
        ("laws = [\"eu-ai-act-1e25\"]", "laws = []", "names no law"),
        (
            "averi.org/aal-1",
            "averi.org/aal-3",
            "is more than this evidence can carry / no software can grant it",
        ),
        ("averi.org/aal-1", "aal-1", "does not name its scheme"),
        ("averi.org/aal-1", "x/gold", "is not a known assurance level"),
        ("identity = [\"verified\"]", "identity = []", "accepts no model"),
        ("identity = [\"verified\"]", "identity = [\"verified\", \"verified\"]", "`verified` is there twice"),
        ("needed = 2, of = 3", "needed = 4, of = 3", "4 of 3 cannot sign"),
        ("role = \"authority\", needed = 2", "role = \"external_auditor\", needed = 2", "is there twice"),
        ("role = \"authority\"", "role = \"auditor\"", "`auditor` is not known here"),
        ("name = \"internal\"", "name = \"general\"", "`general` stands after `general`"),
        (
            "[stage.marks]\ntools = false\nlease_s = 60\nlog = \"durable\"\n[[stage]]",
            "[[stage]]",
            "are missing",
        ),
        ("most = 2", "most = 0", "is 0 / expected a whole number from 1 to 100"),
        ("max_age_days = 30", "max_age_day = 30", "did you mean `max_age_days`?"),
        ("tokens_per_day", "tokens_per_dya", "did you mean `tokens_per_day`?"),
        ("[attempts]", "[attemps]", "unknown key `attemps` / did you mean `attempts`?"),
        ("version = \"1\"", "version = \"1\"\nversion = \"2\"", "not TOML: duplicate key"),
    ] {
        assert!(SMALL.contains(from), "{from}");
        let lines = said(policy::parse(&SMALL.replacen(from, to, 1)));
        assert!(lines.iter().any(|line| line.contains(expected)), "{expected}\nwas not said:\n{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with("line ")), "{lines:?}");
    }
    let marked = format!("{SMALL}[stage.marks]\ntools = true\nlease_s = 60\nlog = \"async\"\n");
    assert!(said(policy::parse(&marked))[0].contains("bind nobody at this stage"));
    let only_end = said(policy::parse("format = \"loadline-policy/1\""));
    assert!(only_end.len() > 8 && only_end.iter().any(|l| l.contains("there is no stage")), "{only_end:#?}");
}

#[test]
fn layout_and_comments_do_not_change_the_digest_and_numbers_do() {
    let digest = small().digest().unwrap();
    let other = policy::parse(&format!("# words\n{}", SMALL.replace("0.95", "0.950"))).unwrap();
    assert_eq!(other.digest().unwrap(), digest);
    let other = policy::parse(&SMALL.replacen("0.95", "0.951", 1)).unwrap();
    assert_ne!(other.digest().unwrap(), digest);
}

/// The effect of one change of the text.
fn effect(from: &str, to: &str) -> (String, Effect) {
    assert!(SMALL.contains(from), "{from}");
    let after: Policy = policy::parse(&SMALL.replacen(from, to, 1)).unwrap();
    let (there, back) = (diff(&small(), &after), diff(&after, &small()));
    assert_eq!((there.len(), back.len()), (1, 1), "{there:#?}");
    let opposite = match there[0].effect {
        Effect::Weaker => Effect::Stronger,
        Effect::Stronger => Effect::Weaker,
        Effect::Other => Effect::Other,
    };
    assert_eq!(back[0].effect, opposite, "the way back");
    (there[0].path.clone(), there[0].effect)
}

#[test]
fn differences_say_which_ask_less() {
    use Effect::{Other, Stronger, Weaker};
    for (from, to, path, expected) in [
        ("at_least = 0.8", "at_least = 0.7", "test.sums.at_least", Weaker),
        ("at_most = 0.05", "at_most = 0.04", "test.leaks.at_most", Stronger),
        ("confidence = 0.95", "confidence = 0.9", "test.sums.confidence", Weaker),
        ("severity = \"critical\"", "severity = \"high\"", "test.leaks.severity", Weaker),
        ("levels = [1, 2]", "levels = [1]", "test.sums.source", Other),
        ("n = 100", "n = 150", "test.chess.n", Other),
        ("most = 2", "most = 3", "attempts.most", Weaker),
        ("corrected = true", "corrected = false", "attempts.corrected", Weaker),
        ("max_age_days = 30", "max_age_days = 20", "max_age_days", Stronger),
        ("blocks_from = \"moderate\"", "blocks_from = \"high\"", "blocks_from", Weaker),
        ("valid_days = 90", "valid_days = 91", "valid_days", Weaker),
        ("below = \"light\"", "below = \"full\"", "scope.below", Stronger),
        ("laws = [", "laws = [\"south-korea\", ", "scope.laws", Stronger),
        ("identity = [", "identity = [\"self_reported\", ", "identity", Weaker),
        ("needed = 2, of = 3", "needed = 1, of = 3", "stage.general.sign_off.authority.needed", Weaker),
        ("needed = 2, of = 3", "needed = 2, of = 4", "stage.general.sign_off.authority.of", Weaker),
        ("tokens_per_day = 1000", "tokens_per_day = 999", "stage.general.marks.tokens_per_day", Stronger),
        ("tokens_per_day = 1000\n", "", "stage.general.marks.tokens_per_day", Weaker),
        ("tools = false", "tools = true", "stage.internal.marks.tools", Weaker),
        ("log = \"durable\"", "log = \"async\"", "stage.internal.marks.log", Weaker),
        ("purpose = \"tests\"", "purpose = \"other\"", "purpose", Other),
    ] {
        assert_eq!(effect(from, to), (path.to_owned(), expected), "{from} -> {to}");
    }
    let mut fewer = small();
    fewer.tests.pop();
    fewer.stages.pop();
    let changes = diff(&small(), &fewer);
    let lines: Vec<_> = changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "test.chess: acc at least 0.5 of suite chess, choice, levels 1 -> absent (weaker)",
            "stage.weights_released: allowed -> absent (stronger)",
        ]
    );
    assert!(diff(&small(), &small()).is_empty());
}

#[test]
fn explained_in_plain_words() {
    let words = explain(&small());
    for expected in [
        "Where eu-ai-act-1e25 says out, only what is marked light is asked; in and indeterminate ask everything.",
        "Each test may be tried 2 times; each try is held to more",
        "Test leaks (misuse, critical severity): the upper bound of leaked over 200 samples of suite secret-keeping, \
         generate, levels 1 must be at most 0.05 (exact, at confidence 0.95, 0.975 for each try).",
        "Stage general: signed by 1 of 2 external_auditor and 2 of 3 authority (light path: nobody); 1000 tokens a day, \
         no tools, a lease of 60 s, every request on disk before it is served.",
        "no kill switch: public weights cannot be called back",
        "is not legal conformity",
    ] {
        assert!(words.contains(expected), "{expected}\nis not in\n{words}");
    }
    for (name, _) in policy::SHIPPED {
        let policy = policy::shipped(name).unwrap().unwrap();
        let words = explain(&policy);
        assert!(policy.tests.iter().all(|test| words.contains(&format!("Test {} (", test.id))), "{name}");
    }
    assert_eq!(Severity::ALL.len(), 4);
}

const DRILL: &str =
    "[drill]\nfrom = \"general\"\nmax_age_days = 30\nlast_byte_ms = 100\nstreams = 50\n[scope]";

#[test]
fn a_drill_and_the_least_time_at_a_stage_are_rules_like_others() {
    let with = |text: &str| policy::parse(&SMALL.replacen("[scope]", text, 1));
    let drilled = with(DRILL).unwrap();
    let plain = policy::parse(SMALL).unwrap();
    assert_ne!(drilled.digest().unwrap(), plain.digest().unwrap());
    let words = policy::explain(&drilled);
    assert!(
        words.contains("From stage general on: a stop was tried out within 30 days")
            && words.contains("at least 50 streams; the last byte came at most 100 ms after the order"),
        "{words}"
    );
    assert_eq!(effect("[scope]", DRILL), ("drill".to_owned(), Effect::Stronger));
    let changed = |from: &str, to: &str| {
        let changes = policy::diff(&drilled, &with(&DRILL.replacen(from, to, 1)).unwrap());
        changes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(changed("= 100", "= 200"), ["drill.last_byte_ms: 100 -> 200 (weaker)"]);
    assert_eq!(changed("= 30", "= 10"), ["drill.max_age_days: 30 -> 10 (stronger)"]);
    assert_eq!(changed("= 50", "= 60"), ["drill.streams: 50 -> 60 (stronger)"]);
    assert_eq!(changed("\"general\"", "\"internal\""), ["drill.from: general -> internal (stronger)"]);
    for (from, to, says) in [
        ("general", "weights_released", "`drill`: no stage asks for it from `weights_released` on"),
        ("last_byte_ms = 100\n", "", "`drill.last_byte_ms`"),
        ("= 100", "= 0", "expected a whole number from 1 to 600000"),
        ("streams", "stream", "`drill.stream`"),
    ] {
        let said = said(with(&DRILL.replacen(from, to, 1))).join("\n");
        assert!(said.contains(says), "{says}: {said}");
    }
    let least = SMALL.replacen("name = \"internal\"", "name = \"internal\"\nmin_days = 14", 1);
    let least = policy::parse(&least).unwrap();
    assert_eq!(least.stages[0].min_days, Some(14));
    assert!(policy::explain(&least).contains("at least 14 days before the next"));
    let changes = policy::diff(&plain, &least);
    assert_eq!(changes[0].to_string(), "stage.internal.min_days: 0 -> 14 (stronger)");
}

#[test]
fn a_model_goes_between_stages_and_nothing_follows_the_last() {
    use loadline_policy::Named as _;
    use loadline_policy::policy::{ModelStage, Stage, Step, StepError};
    for stage in Stage::ALL {
        assert_eq!(ModelStage::from(*stage).stage(), Some(*stage));
        assert!(ModelStage::from(*stage).carries(*stage) && !ModelStage::Suspended.carries(*stage));
    }
    assert!(ModelStage::General.carries(Stage::Limited) && !ModelStage::Limited.carries(Stage::General));
    let (draft, limited, closed) = (ModelStage::Draft, ModelStage::Limited, ModelStage::Suspended);
    assert_eq!(draft.step(limited), Ok(Step::Promotion(Stage::Limited)));
    assert_eq!(closed.step(limited), Ok(Step::Promotion(Stage::Limited)));
    for (from, to) in [(limited, draft), (limited, closed), (limited, ModelStage::Internal), (closed, draft)]
    {
        assert_eq!(from.step(to), Ok(Step::Demotion), "{from} {to}");
    }
    assert_eq!(limited.step(ModelStage::Withdrawn), Ok(Step::Demotion));
    assert_eq!(limited.step(limited), Err(StepError::Same(limited)));
    for last in [ModelStage::Withdrawn, ModelStage::WeightsReleased] {
        assert_eq!(last.step(draft), Err(StepError::Final(last)));
    }
}
