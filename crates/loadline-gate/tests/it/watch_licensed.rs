//! A watch whose figure is the licence's own: what it takes from the decision, and everything that is refused.

use loadline_core::Digest;
use loadline_core::digest::canonical_json;
use loadline_core::model::Basis;
use loadline_gate::config;
use loadline_gate::upstream::resident::none;
use loadline_policy::decide::{Asked, Case, Evidence};
use loadline_policy::policy::{self, Stage};
use loadline_policy::{Decision, Outcome, Policy, compute, decide, rules};
use loadline_testkit::authority::{TestAuthority, open_marks};
use loadline_testkit::endpoint::FakeEndpoint;
use serde_json::Value;

use crate::support::{ASK, Make, at, config_text, write_files};
use crate::watch::watched_with;

/// Everything but `chess` is asked on the light path; `easy` may fail, and `nothing` requires nothing.
const POLICY: &str = r#"
format = "loadline-policy/1"
name = "watchable"
version = "7"
purpose = "tests"
identity = ["verified"]
max_age_days = 30
blocks_from = "moderate"
valid_days = 90
survey_days = 30
assurance = ["loadline/al-0"]
[scope]
laws = ["eu-ai-act-1e25"]
below = "light"
[attempts]
most = 1
corrected = false
"#;

fn test(id: &str, suite: &str, form: &str, requires: &str, more: &str) -> String {
    let metric = if form == "choice" { "acc" } else { "exact_match" };
    let bound = if requires.starts_with("at_most") { "upper" } else { "lower" };
    let severity = if id == "easy" { "low" } else { "high" };
    format!(
        "[[test]]\nid = \"{id}\"\nrisk = \"capability\"\nseverity = \"{severity}\"\nsuite = \"{suite}\"\n\
         form = \"{form}\"\nn = 200\nmetric = \"{metric}\"\n{requires}\nbound = \"{bound}\"\n\
         confidence = 0.95\nmethod = \"wilson\"\n{more}\n"
    )
}

pub fn policy() -> Policy {
    let light = "light = true\nlevels = [1, 3]";
    let tests = [
        test("sums", "arithmetic", "generate", "at_least = 0.9", light),
        test("likely", "arithmetic", "choice", "at_least = 0.5", light),
        test("rude", "refusal", "generate", "at_most = 0.1", "light = true\nlevels = [1]"),
        test("easy", "word-problems", "generate", "at_least = 0.9", light),
        test("nothing", "arithmetic", "generate", "at_least = 0", light),
        test("chess", "chess", "generate", "at_least = 0.5", "levels = [1]"),
    ];
    let stage =
        "[[stage]]\nname = \"general\"\n[stage.marks]\ntools = true\nlease_s = 60\nlog = \"durable\"\n";
    policy::parse(&format!("{POLICY}{}{stage}", tests.concat())).unwrap()
}

/// A model that does everything well but `easy`, found so with so many right sums.
pub fn decision(policy: &Policy, sums: u64) -> Decision {
    let declared = "format = \"loadline-compute/1\"\nmodel = \"m\"\nothers = \"none\"\n[[entry]]\nname = \"all\"\n\
                    category = \"pretraining\"\nbasis = \"self_reported\"\nstated = { flop = 1e20, source = \"test\" }\n";
    let verdict = rules::find("eu-ai-act-1e25").unwrap().judge(&compute::parse(declared).unwrap()).unwrap();
    let evidence = |test: &policy::Test| Evidence {
        id: format!("run-{}", test.id),
        test: test.id.clone(),
        record: Digest::of(test.id.as_bytes()),
        log_index: Some(7),
        basis: Basis::Verified,
        asked: Asked { source: test.source.clone(), metric: test.metric.clone() },
        successes: match test.id.as_str() {
            "sums" => sums,
            "rude" | "easy" => 0,
            _ => test.n,
        },
        scored: test.n,
        unscored: 0,
        attempt: 1,
        finished: at(0),
        model: Digest::of(b"m"),
        identity: Basis::Verified,
        policy: policy.digest().unwrap(),
    };
    let case = Case {
        subject: Digest::of(b"m"),
        stage: Stage::General,
        now: at(0),
        scope: vec![verdict],
        evidence: policy.tests.iter().map(evidence).collect(),
        sign_offs: Vec::new(),
        drill: None,
    };
    let decision = decide(policy, &case).unwrap();
    assert_eq!(decision.outcome, Outcome::Allow, "{:#?}", decision.reasons);
    decision
}

pub fn text<T: serde::Serialize>(value: &T) -> String {
    String::from_utf8(canonical_json(value).unwrap()).unwrap()
}

/// Right about `A + B` and `A - B` with a long A, as level 1 asks; wrong about all else.
fn right_at_level_1(prompt: &str) -> String {
    let words: Vec<_> = prompt.lines().nth(2).unwrap_or_default().split(' ').collect();
    let number = |word: &str| word.parse::<i64>().unwrap();
    match words[..] {
        [a, sign, b] if !a.starts_with('(') => {
            let sum = if sign == "+" { number(a) + number(b) } else { number(a) - number(b) };
            format!("Answer: {sum}")
        }
        _ => "I forgot.".to_owned(),
    }
}

pub const SUMS: &str = r#"
[[watch]]
name = "sums"
models = ["m", "c"]
suite = "arithmetic"
every_s = 3600
licensed = { decision = "decision.json", policy = "policy.json", test = "sums" }
alpha = 0.01
on_alarm = "suspend_locally"
"#;

#[test]
fn a_licensed_figure_raises_the_alarm_and_says_where_it_is_from() {
    let (policy, sums) = (policy(), 199);
    let decision = decision(&policy, sums);
    let files = vec![("decision.json", text(&decision)), ("policy.json", text(&policy))];
    let make = Make {
        tables: SUMS.to_owned(),
        files,
        decision: Some(decision.clone()),
        endpoint: FakeEndpoint::builder().answer(|ask| right_at_level_1(&ask.prompt)),
        ..Make::default()
    };
    let watched = watched_with(make);
    let from = format!(
        "licensed: test `sums` of decision {}, policy `watchable` version 7",
        Digest::of_json(&decision).unwrap()
    );
    let row = watched.row();
    // The bound that the policy asks for, not the 0.97 that the exam's interval begins at.
    assert_eq!((row["least"].as_f64(), row["source"].as_str()), (Some(0.9), Some(&*from)));
    assert_eq!(row["scored_by"], "suite arithmetic, levels 1, 3");
    assert_eq!(row["licensed"]["test"], "sums");
    assert_eq!(row["licensed"]["policy"]["digest"], policy.digest().unwrap().to_string());
    // Half of it is right: far below the bound. Nothing is asked once the alarm is raised.
    while !watched.rig.gate.snapshot().suspended.contains("m")
        && watched.row()["estimate"]["n"].as_u64() < Some(300)
    {
        watched.probe(1);
    }
    assert_eq!(watched.rig.chat(ASK).code(), "drift_alarm");
    let told = watched.told.lock().unwrap().clone();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("watch `sums` finds it below 0.9 (") && told[0].contains(&from), "{told:?}");
    // Asked as in the exam: at its levels, with as many tokens as it let answers have, scored by its metric.
    let asked: Vec<Value> =
        watched.rig.endpoint.seen().iter().map(|seen| serde_json::from_str(&seen.body).unwrap()).collect();
    let at_most = |tokens: u64| asked.iter().filter(|body| body["max_tokens"] == tokens).count();
    assert!(at_most(512) > 0 && at_most(1024) > 0 && at_most(512) + at_most(1024) == asked.len());
    assert_eq!(watched.row()["right"], at_most(512));
}

/// A model whose licence was replaced since the start is held against no figure of the one before.
#[test]
fn a_licensed_watch_rests_while_another_licence_is_served() {
    let policy = policy();
    let make = |sums| {
        let decision = decision(&policy, sums);
        let files = vec![("decision.json", text(&decision)), ("policy.json", text(&policy))];
        watched_with(Make { tables: SUMS.to_owned(), files, decision: Some(decision), ..Make::default() })
    };
    let (before, after) = (make(199), make(198));
    let rows = || before.watcher.report(&after.rig.gate)["watched"][0].clone();
    let watch = before.watcher.watch("sums").unwrap();
    for _ in 0..3 {
        after.rig.runtime.block_on(before.watcher.probe(&after.rig.gate, watch, &"m".into()));
    }
    assert!(after.rig.endpoint.seen().is_empty() && rows()["rests"] == true && rows()["unscored"] == 0);
    let told = before.told.lock().unwrap().clone();
    assert!(
        told.len() == 1 && told[0].contains("watch `sums` rests: `m` is served under another"),
        "{told:?}"
    );
    assert_eq!(before.row()["rests"], false, "the licence that it is of is served at its own gate");
}

/// Of what `load` says of a configuration with this watch, everything; nothing when it is good.
struct Place {
    folder: tempfile::TempDir,
    authority: TestAuthority,
}

impl Place {
    fn new() -> Self {
        Self::of(&policy())
    }

    /// One whose licence was issued on a decision under this policy.
    fn of(policy: &Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let decision = decision(policy, 199);
        let authority = TestAuthority::new(at(0)).deciding(&decision);
        let license = authority.license("m", Stage::General, Some(open_marks()));
        write_files(folder.path(), &authority, &license);
        let place = Self { folder, authority };
        place.write("decision.json", &text(&decision));
        place.write("policy.json", &text(policy));
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// Reads and loads a configuration with these tables. What is wrong, as `line L, column C: KEY: MESSAGE / HINT`.
    fn said(&self, tables: &str) -> Vec<String> {
        let text = config_text(&self.authority, "http://127.0.0.1:9/v1", "", "") + tables;
        let loaded = config::parse(&text, self.folder.path()).and_then(|config| {
            let environment = |_: &str| Some("k".to_owned());
            config::load(&config, &|_: &[u8]| Ok(Vec::new()), &environment, &none, at(0))
        });
        let problems = loaded.map_or_else(|problems| problems.0, |loaded| loaded.unfit);
        let line = |p: &loadline_policy::Problem| format!("{p} / {}", p.hint.clone().unwrap_or_default());
        problems.iter().map(line).collect()
    }
}

#[test]
fn what_does_not_belong_to_the_licence_is_refused_at_its_place() {
    let place = Place::new();
    assert_eq!(place.said(SUMS), [""; 0]);
    let licensed = r#"licensed = { decision = "decision.json", policy = "policy.json", test = "sums" }"#;
    let least = "least = 0.9\nsource = \"the operator\"";
    for (from, to, key, message, hint) in [
        ("\"sums\" }", "\"sum\" }", "licensed.test", "has no test `sum`", "it has: sums, likely, rude, easy"),
        (
            "\"sums\" }",
            "\"rude\" }",
            "licensed.test",
            "at most 0.1: that is a bound from above",
            "`at_least`",
        ),
        ("\"sums\" }", "\"nothing\" }", "licensed.test", "requires at least 0", "above 0 and below 1"),
        (
            "\"sums\" }",
            "\"easy\" }",
            "licensed.test",
            "was not met, `deny`",
            "rests on: sums, likely, rude, nothing",
        ),
        (
            "\"sums\" }",
            "\"chess\" }",
            "licensed.test",
            "was not asked: the decision was made on the light",
            "",
        ),
        (
            "\"sums\" }",
            "\"likely\" }",
            "suite",
            "`likely` asked suite arithmetic, choice, levels 1 3",
            "tests that asked it: sums, nothing",
        ),
        (
            "\"arithmetic\"",
            "\"chess\"",
            "suite",
            "asks suite chess, generate; test `sums` asked suite arithmetic, generate",
            "tests that asked it: chess",
        ),
        ("every_s", "level = 1\nevery_s", "level", "asks level 1; test `sums` asked", "leave it out"),
        ("every_s", "max_tokens = 9\nevery_s", "max_tokens", "stands beside `licensed`", "leave it out"),
        (licensed, &format!("{licensed}\n{least}"), "licensed", "stands beside `least`", "is your own"),
        (licensed, &format!("{licensed}\nsource = \"me\""), "licensed", "stands beside `least`", ""),
        (licensed, "", "watch[1]`", "has neither `licensed` nor `least`", "is your own"),
        ("policy = ", "police = ", "licensed.policy", "is missing", ""),
        (licensed, "licensed = true", "licensed", "is of type boolean", "a table"),
        (
            "\"decision.json\"",
            "\"none.json\"",
            "licensed.decision",
            "none.json`: there is no such file",
            "`loadline license issue` writes it",
        ),
        (
            "\"policy.json\"",
            "\"decision.json\"",
            "licensed.policy",
            "is no policy as canonical JSON, or is damaged",
            "policies/DIGEST.json",
        ),
    ] {
        assert!(SUMS.contains(from), "{from}");
        let said = place.said(&SUMS.replacen(from, to, 1));
        let is_it = |line: &String| line.contains(key) && line.contains(message) && line.contains(hint);
        assert!(said.iter().any(is_it), "{to}: {said:#?}");
        assert!(said.iter().all(|line| line.starts_with("line ")), "{said:#?}");
    }
    let live = SUMS.replace("suite = \"arithmetic\"\nevery_s = 3600", "guard = \"g\"\nshare = 0.1");
    let said = place.said(&live);
    assert!(
        said.iter()
            .any(|line| line.contains("stands beside `guard`") && line.contains("no test of a licence")),
        "{said:#?}"
    );
}

/// What a test has one level of may be said.
#[test]
fn the_level_of_a_test_with_one_may_be_said() {
    let mut policy = policy();
    if let policy::Source::Suite { levels, .. } = &mut policy.tests[0].source {
        *levels = vec![3];
    }
    let place = Place::of(&policy);
    assert_eq!(place.said(&SUMS.replace("every_s", "level = 3\nevery_s")), [""; 0]);
    let said = place.said(&SUMS.replace("every_s", "level = 2\nevery_s"));
    assert!(said.len() == 1 && said[0].contains("`watch.level`: this watch asks level 2; test"), "{said:#?}");
}

/// A metric that no answer is scored by would leave every answer unscored.
#[test]
fn a_metric_that_the_suite_does_not_have_is_refused() {
    let mut policy = policy();
    policy.tests[0].metric = "bleu".to_owned();
    let said = Place::of(&policy).said(SUMS);
    assert!(
        said.len() == 1 && said[0].contains("`sums` counted `bleu`, and suite arithmetic has no"),
        "{said:#?}"
    );
}

#[test]
fn files_that_are_not_those_of_the_licence_are_refused() {
    let place = Place::new();
    let good = std::fs::read_to_string(place.folder.path().join("decision.json")).unwrap();
    // Damaged: no JSON any more, or not in the form that it was signed in.
    for bad in [good[..good.len() - 9].to_owned(), format!("{good}\n"), good.replace("allow", "alow")] {
        place.write("decision.json", &bad);
        let said = place.said(SUMS);
        assert!(
            said.len() == 1
                && said[0].contains("`watch.licensed.decision`: `")
                && said[0].contains("decision.json`: is no decision, or is damaged: ")
                && said[0].contains("writes it beside the licence"),
            "{said:#?}"
        );
    }
    // A good decision, of somebody else: every model's licence is looked at.
    let policy = policy();
    let other = decision(&policy, 198);
    place.write("decision.json", &text(&other));
    let said = place.said(SUMS);
    let (found, expected) = (Digest::of_json(&other).unwrap(), Digest::of(good.as_bytes()));
    assert_eq!(said.len(), 2, "{said:#?}");
    for (line, model) in said.iter().zip(["`m`", "`c`"]) {
        assert!(
            line.contains(&format!("is decision {found}; the licence of {model}, sha256:"))
                && line.contains(&format!("was issued on decision {expected}"))
                && line.contains("lies beside that licence"),
            "{line}"
        );
    }
    let one = place.said(&SUMS.replace("[\"m\", \"c\"]", "[\"c\"]"));
    assert!(one.len() == 1 && one[0].contains("the licence of `c`"), "{one:#?}");
    // A policy that is not the decision's.
    place.write("decision.json", &good);
    place.write("policy.json", &text(&Policy { version: "8".to_owned(), ..policy.clone() }));
    let said = place.said(SUMS);
    assert!(
        said.len() == 1
            && said[0].contains("`watch.licensed.policy`: `")
            && said[0].contains("the decision was made under `watchable` version 7, sha256:"),
        "{said:#?}"
    );
    place.write("policy.json", &text(&policy));
    assert_eq!(place.said(SUMS), [""; 0]);
    // The licence is replaced by one of another decision, as at a reload.
    let renewed = TestAuthority::new(at(0)).deciding(&other).license("m", Stage::General, Some(open_marks()));
    std::fs::write(place.folder.path().join("license.json"), renewed).unwrap();
    let said = place.said(SUMS);
    assert!(said.len() == 2 && said[0].contains(&format!("was issued on decision {found}")), "{said:#?}");
}

/// Figures belong to the decision: the same figure from elsewhere, and from another decision, is another watch.
#[test]
fn the_figures_of_a_watch_belong_to_the_decision() {
    let policy = policy();
    let digest = |decision: Option<Decision>| {
        let tables = match &decision {
            Some(_) => SUMS.to_owned(),
            None => SUMS
                .replace(
                    r#"licensed = { decision = "decision.json", policy = "policy.json", test = "sums" }"#,
                    "least = 0.9\nsource = \"the operator\"",
                )
                .replace("every_s", "max_tokens = 512\nevery_s"),
        };
        let files = decision
            .iter()
            .flat_map(|decision| [("decision.json", text(decision)), ("policy.json", text(&policy))]);
        let make = Make { tables, files: files.collect(), decision: decision.clone(), ..Make::default() };
        crate::support::Rig::make(make).loaded.watches[0].digest
    };
    let (own, first, second) =
        (digest(None), digest(Some(decision(&policy, 199))), digest(Some(decision(&policy, 198))));
    assert!(own != first && first != second && second != own);
    assert_eq!(first, digest(Some(decision(&policy, 199))));
}
