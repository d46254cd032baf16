//! The whole command line in one place: a change of any option shows up here.

use crate::support::Sandbox;

/// Every verb.
const VERBS: &[&str] = &[
    "",
    "quickstart",
    "measure",
    "tasks",
    "models",
    "pull",
    "runs",
    "show",
    "record",
    "record verify",
    "record export",
    "record prove",
    "record withhold",
    "estimate",
    "compare",
    "compute",
    "policy",
    "policy check",
    "policy diff",
    "policy explain",
    "log",
    "log serve",
    "log witness",
    "log publish",
    "log fsck",
    "log monitor",
    "key",
    "key new",
    "key show",
    "key rotate",
    "key countersign",
    "authority",
    "authority init",
    "authority show",
    "quickstart license",
    "model",
    "model register",
    "exam",
    "exam commit",
    "exam start",
    "exam run",
    "exam finish",
    "license",
    "license sign",
    "license issue",
    "license show",
    "license revoke",
    "license suspend",
    "license reinstate",
    "license renew",
    "license bundle",
    "stage",
    "stage propose",
    "stage sign",
    "stage show",
    "standing",
    "standing issue",
    "standing show",
    "verify",
    "gate",
    "gate serve",
    "gate check",
    "gate key",
    "gate key new",
    "gate key list",
    "gate key rotate",
    "gate key revoke",
    "gate audit",
    "gate audit verify",
    "gate audit export",
    "gate audit erase",
    "gate guard",
    "gate guard measure",
    "gate identity",
    "gate identity enroll",
    "gate identity test",
    "gate watch",
    "gate watch show",
    "gate watch clear",
    "access",
    "access init",
    "access nonce",
    "access apply",
    "access status",
    "access withdraw",
    "access appeal",
    "access claim",
    "access token",
    "access redeem",
    "access report",
    "access queue",
    "access review",
    "access recuse",
    "access draw",
    "access grant",
    "access revoke",
    "access erase",
    "access usage",
    "access figures",
    "access lottery",
    "access lottery show",
    "access lottery verify",
    "access serve",
    "stop",
    "stop show",
    "stop lift",
    "stop sign",
    "stop bring",
    "stop drill",
];

#[test]
fn every_verb_has_its_help() {
    let sandbox = Sandbox::new();
    let mut reference = String::new();
    for verb in VERBS {
        let said = sandbox.run(&format!("{verb} --help")).ok();
        assert!(said.stderr.is_empty());
        reference.push_str(&format!("$ loadline {verb} --help\n{}\n\n", said.stdout.trim_end()));
    }
    insta::assert_snapshot!("reference", reference);
}

#[test]
fn no_verb_is_missing_above() {
    let said = Sandbox::new().run("--help").ok();
    let commands = said.stdout.split("Commands:").nth(1).unwrap();
    let listed: Vec<&str> = commands
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    for verb in &listed {
        assert!(VERBS.contains(verb), "{verb} has no entry in VERBS");
    }
    assert_eq!(listed.len(), 24);
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let sandbox = Sandbox::new();
    for line in [
        "",
        "mesure",
        "measure arithmetic",
        "measure --model fake/ability=1",
        "measure arithmetic --model fake/ability=1 --limit 0",
        "measure arithmetic --model fake/ability=1 --limit x",
        "measure arithmetic --model fake/ability=1 --temperature -1",
        "measure arithmetic --model fake/ability=1 --attempt-timeout never",
        "measure arithmetic --model fake/ability=1 --budget 5usd",
        "measure arithmetic --model fake/ability=1 --model-arg precision",
        "measure arithmetic --model fake/ability=2",
        "measure arithmetic --model opnai/x",
        "measure arithmetic --model openai/",
        "estimate --level 1 file.csv",
        "record export --format xml abcd",
        "show abcd",
        "pull nothing",
    ] {
        let said = sandbox.run(line);
        assert_eq!(said.code, 2, "`{line}`: {}", said.text());
        assert!(said.stdout.is_empty() && !said.stderr.is_empty(), "{}", said.text());
    }
}
