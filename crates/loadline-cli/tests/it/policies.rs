//! `loadline compute` and `loadline policy`.

use crate::support::Sandbox;

const DECLARATION: &str = r#"format = "loadline-compute/1"
model = "example"
others = "none"
[[entry]]
name = "run"
category = "pretraining"
basis = "self_reported"
architecture = { design = "dense", parameters = 405e9, tokens = 15.6e12 }
hardware = { chip = "h100-sxm", precision = "bf16", chips = 1, hours = 60e6, utilisation = 0.4, utilisation_of = "steady_state" }
"#;

#[test]
fn a_declaration_is_added_up_and_compared_with_each_law() {
    let sandbox = Sandbox::new();
    sandbox.write("model.toml", DECLARATION);
    let said = sandbox.run("compute model.toml").ok();
    assert!(said.stdout.contains("pretraining  [3.791e25, 8.549e25] FLOP"), "{}", said.text());
    assert!(
        said.stdout.contains("in   EU AI Act: general-purpose AI model with systemic risk"),
        "{}",
        said.text()
    );
    assert!(said.stdout.contains("out  California SB 53"), "{}", said.text());
    assert!(said.stderr.contains("2.255 times") || said.stderr.contains("2.26 times"), "{}", said.text());
    let json: serde_json::Value =
        serde_json::from_str(&sandbox.run("compute model.toml --json").ok().stdout).unwrap();
    assert_eq!(json["scope"][0]["verdict"], "in");
    assert_eq!(json["disagreements"].as_array().unwrap().len(), 1);
}

#[test]
fn everything_wrong_is_said_at_once() {
    let sandbox = Sandbox::new();
    sandbox.write("model.toml", DECLARATION.replace("chips =", "chip_count =").replace("others", "other"));
    let said = sandbox.run("compute model.toml");
    assert_eq!(said.code, 40, "{}", said.text());
    for expected in [
        "error: `model.toml` has 4 problems",
        "model.toml:3:1: `other`: unknown key `other`",
        "help: did you mean `others`?",
        "`entry[1].hardware.chips`: is missing",
        "hint: `docs/formats/compute.md` says what each key means",
    ] {
        assert!(said.stderr.contains(expected), "{expected}: {}", said.text());
    }
    let said = sandbox.run("compute nothing.toml");
    assert_eq!(said.code, 40);
    assert!(said.stderr.contains("cannot read `nothing.toml`"), "{}", said.text());
}

#[test]
fn policies_are_checked_compared_and_explained() {
    let sandbox = Sandbox::new();
    for name in ["starter", "frontier", "open-weights"] {
        let said = sandbox.run(&format!("policy check {name}")).ok();
        assert!(said.stdout.starts_with("sha256:") && said.stderr.contains("Checked"), "{}", said.text());
    }
    let said = sandbox.run("policy explain starter").ok();
    assert!(said.stdout.contains("is not legal conformity"), "{}", said.text());
    let said = sandbox.run("policy diff frontier open-weights").ok();
    assert!(said.stdout.contains("attempts.most: 2 -> 1 (stronger)"), "{}", said.text());
    let said = sandbox.run("policy check nothing");
    assert_eq!(said.code, 40);
    assert!(said.stderr.contains("one that ships: starter, frontier, open-weights"), "{}", said.text());
    sandbox.write("bad.toml", "format = \"loadline-policy/1\"\nname = 3\n");
    let said = sandbox.run("policy check bad.toml");
    assert_eq!(said.code, 40);
    assert!(said.stderr.contains("bad.toml:2:8: `name`: is of type integer"), "{}", said.text());
}

/// Every suite, form, level and metric that a policy of ours asks for is there.
#[test]
fn what_the_shipped_policies_ask_for_exists() {
    use loadline_policy::policy::{SHIPPED, Source, shipped};
    use loadline_suites::{Form, Seed, check, require};

    for (name, _) in SHIPPED {
        let policy = shipped(name).unwrap().unwrap();
        assert!(!policy.tests.is_empty());
        for test in &policy.tests {
            let what = format!("{name}, {}", test.id);
            let Source::Suite { name, form, levels } = &test.source else {
                panic!("{what}: fixed questions are nobody's secret");
            };
            let suite = require(name).unwrap_or_else(|error| panic!("{what}: {error}"));
            let form: Form = form.to_string().parse().unwrap();
            let levels: Vec<u32> = levels.iter().map(|level| u32::try_from(*level).unwrap()).collect();
            check(suite, form, &levels).unwrap_or_else(|error| panic!("{what}: {error}"));
            let sample = suite.sample(&Seed::from_u64(1), form, levels[0], 0);
            let scores = suite.score(&sample, &loadline_core::ModelOutput::default());
            assert!(
                scores.iter().any(|score| score.metric == test.metric),
                "{what}: no metric `{}`",
                test.metric
            );
        }
    }
}

/// A subject that keeps the rules and one that breaks them, on every suite that `frontier` asks for.
#[test]
fn keeping_and_breaking_the_rules_can_be_seen_from_the_command_line() {
    let sandbox = Sandbox::new();
    for suite in ["shutdown", "refusal", "bias", "office-tasks", "calibration"] {
        let said = sandbox
            .run(&format!("measure {suite} --model fake/rule=follow fake/rule=break --limit 12 --json"))
            .ok();
        let points: Vec<f64> = said
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|result| result["metrics"][0]["point"].as_f64().unwrap_or_else(|| panic!("{result}")))
            .collect();
        assert_eq!(points, [1.0, 0.0], "{suite}");
    }
}
