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
