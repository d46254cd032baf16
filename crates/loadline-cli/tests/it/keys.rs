//! `loadline key` and `loadline authority`.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{LOADLINE, Said, Sandbox};

const WORDS: &str = "correct horse battery staple";

/// Runs with a passphrase in the environment, and keys that are cheap to open.
fn run(sandbox: &Sandbox, line: &str) -> Said {
    let mut command = sandbox.command(LOADLINE, line.split_whitespace());
    sandbox.said(command.env("LOADLINE_PASSPHRASE", WORDS).output().unwrap())
}

fn founded() -> Sandbox {
    let sandbox = Sandbox::new();
    run(&sandbox, "authority init --work 10").ok();
    sandbox
}

fn json(said: &Said) -> serde_json::Value {
    serde_json::from_str(&said.stdout).unwrap()
}

/// Names of the keys of a role.
fn holders(sandbox: &Sandbox, role: &str) -> Vec<String> {
    let shown = json(&run(sandbox, "authority show --json").ok());
    let ids = shown["root"]["roles"][role]["keyids"].as_array().unwrap();
    let name = |id: &serde_json::Value| shown["root"]["keys"][id.as_str().unwrap()]["name"].as_str().unwrap();
    let mut names: Vec<_> = ids.iter().map(|id| name(id).to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_key_is_made_for_its_owner_only_and_shown_without_its_secret() {
    let sandbox = Sandbox::new();
    let made = run(&sandbox, "key new auditor -o keys/auditor.age --work 10").ok();
    let mode = |name: &str| std::fs::metadata(sandbox.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("keys/auditor.age"), mode("keys")), (0o600, 0o700));
    let public = run(&sandbox, "key show keys/auditor.pub.json").ok();
    let secret = run(&sandbox, "key show keys/auditor.age").ok();
    assert_eq!(public.stdout, secret.stdout);
    assert_eq!(made.stdout, public.stdout);
    for said in [&made, &public, &secret] {
        assert!(!said.text().contains(WORDS) && !said.text().contains("secret-key"), "{}", said.text());
    }
    let shown = json(&run(&sandbox, "key show keys/auditor.pub.json --json").ok());
    assert_eq!((shown["kind"].as_str(), shown["key"]["name"].as_str()), (Some("hybrid"), Some("auditor")));
    // A public half is shown without a passphrase.
    sandbox.run("key show keys/auditor.pub.json").ok();
    let again = run(&sandbox, "key new auditor -o keys/auditor.age");
    assert_eq!(again.code, 2, "{}", again.text());
    assert!(again.stderr.contains("`keys/auditor.age` exists already"), "{}", again.text());
    assert!(again.stderr.contains("hint: keys are never overwritten"), "{}", again.text());
}

#[test]
fn a_witness_key_is_a_vkey() {
    let sandbox = Sandbox::new();
    let line = "key new w -o w.age --kind witness --origin w.example/1 --work 10";
    let made = run(&sandbox, line).ok();
    assert!(made.stdout.starts_with("w.example/1+"), "{}", made.text());
    assert_eq!(std::fs::read_to_string(sandbox.path("w.vkey")).unwrap(), made.stdout);
    assert_eq!(run(&sandbox, "key show w.age").ok().stdout, made.stdout);
    assert_eq!(sandbox.run("key show w.vkey").ok().stdout, made.stdout);
    let hybrid = run(&sandbox, "key new a -o a.age --origin w.example/1");
    assert_eq!(hybrid.code, 2, "{}", hybrid.text());
}

#[test]
fn wrong_passphrases_and_none() {
    let sandbox = Sandbox::new();
    run(&sandbox, "key new a -o a.age --work 10").ok();
    sandbox.write("good", format!("{WORDS}\nanything\n"));
    sandbox.write("wrong", "not that one\n");
    sandbox.write("short", "seven77\n");
    sandbox.write("empty", "\n");
    sandbox.run("key show a.age --passphrase-file good").ok();
    for (line, code, message) in [
        ("key show a.age --passphrase-file wrong", 2, "the passphrase does not open `a.age`"),
        (
            "key show a.age --passphrase-file empty",
            2,
            "the first line of the passphrase file `empty` is empty",
        ),
        ("key show a.age --passphrase-file missing", 40, "cannot read `missing`"),
        ("key new b -o b.age --passphrase-file short", 2, "fewer than 8 characters"),
        ("key show good", 40, "`good` is no key file"),
        ("key show nothing.age", 40, "cannot read `nothing.age`"),
        ("key new ../b -o b.age", 2, "`../b` cannot name a key"),
        ("key new b --authority . --passphrase-file good", 2, "there is no authority in `.`"),
        ("key new B -o b.age --passphrase-file good", 2, "`B` cannot name a key"),
        ("key new b", 2, "--output"),
    ] {
        let said = sandbox.run(line);
        assert_eq!(said.code, code, "{}", said.text());
        assert!(said.stderr.contains(message), "{}", said.text());
        assert!(said.stderr.contains("hint: ") || line == "key new b", "{}", said.text());
        assert!(!said.stderr.contains("not that one"), "{}", said.text());
    }
    assert!(!sandbox.path("b.age").exists());
}

#[test]
fn a_changed_key_file_is_refused() {
    let sandbox = Sandbox::new();
    run(&sandbox, "key new a -o a.age --work 10").ok();
    for (name, end) in [("a.age", 1), ("a.pub.json", 40)] {
        let mut bytes = std::fs::read(sandbox.path(name)).unwrap();
        let place = bytes.len() - end;
        bytes[place] ^= 1;
        sandbox.write(name, bytes);
        let said = run(&sandbox, &format!("key show {name}"));
        assert_eq!(said.code, 40, "{}", said.text());
        assert!(said.stderr.contains("hint: "), "{}", said.text());
    }
}

#[test]
fn an_authority_is_founded_once() {
    let sandbox = founded();
    let shown = run(&sandbox, "authority show").ok();
    for word in ["root       version 1", "examiner", "quorum none", "log loadline.local/log+"] {
        assert!(shown.stdout.contains(word), "{}", shown.text());
    }
    let again = run(&sandbox, "authority init --work 10");
    assert_eq!(again.code, 2, "{}", again.text());
    assert!(again.stderr.contains("there is an authority in `authority` already"), "{}", again.text());
    let nowhere = run(&sandbox, "authority show elsewhere");
    assert_eq!(nowhere.code, 2, "{}", nowhere.text());
    assert!(nowhere.stderr.contains("loadline authority init"), "{}", nowhere.text());
}

#[test]
fn witnesses_of_a_new_authority() {
    let sandbox = Sandbox::new();
    let vkey = run(&sandbox, "key new w -o w.age --kind witness --origin w.example/1 --work 10").ok().stdout;
    let witness = format!("{} https://w.example/", vkey.trim());
    let init = |more: &[&str]| {
        let words = ["authority", "init", "--work", "10", "--witness", &witness, "--also", "red_team"];
        let mut command = sandbox.command(LOADLINE, words.iter().chain(more));
        sandbox.said(command.env("LOADLINE_PASSPHRASE", WORDS).output().unwrap())
    };
    let too_many = init(&["--quorum", "2"]);
    assert_eq!(too_many.code, 2, "{}", too_many.text());
    assert!(too_many.stderr.contains("these witnesses make no log policy"), "{}", too_many.text());
    assert!(!sandbox.path("authority").exists(), "nothing is written before all is checked");
    let done = init(&[]).ok();
    assert!(done.stderr.contains("Kept 6 keys"), "{}", done.text());
    let shown = run(&sandbox, "authority show").ok();
    assert!(shown.stdout.contains(&format!("witness w1 {witness}")), "{}", shown.text());
    assert!(shown.stdout.contains("group witnesses 1 w1\nquorum witnesses"), "{}", shown.text());
    assert_eq!(holders(&sandbox, "red_team"), ["red-team"]);
}

#[test]
fn a_role_gets_a_new_key() {
    let sandbox = founded();
    run(&sandbox, "key rotate examiner --work 10").ok();
    assert_eq!(holders(&sandbox, "examiner"), ["examiner-2"]);
    run(&sandbox, "key new auditor -o auditor.age --work 10").ok();
    run(&sandbox, "key rotate external_auditor --key auditor.pub.json").ok();
    assert_eq!(holders(&sandbox, "external_auditor"), ["auditor"]);
    run(&sandbox, "key rotate --days 30").ok();
    assert_eq!(json(&run(&sandbox, "authority show --json").ok())["version"], 4);
    for (line, message) in [
        ("key rotate examiner --retire nobody", "role `examiner` has no key `nobody`"),
        ("key rotate external_auditor --key auditor.pub.json --keep", "holds the role already"),
        ("key rotate examiner --threshold 2", "the threshold of role `examiner` is 2 of 1 keys"),
        ("key rotate king", "a role is one of root, authority"),
    ] {
        let said = run(&sandbox, line);
        assert_eq!(said.code, 2, "{}", said.text());
        assert!(said.stderr.contains(message), "{}", said.text());
    }
    assert_eq!(json(&run(&sandbox, "authority show --json").ok())["version"], 4);
}

#[test]
fn a_root_with_two_owners_needs_both() {
    let sandbox = founded();
    run(&sandbox, "key new alice -o alice.age --work 10").ok();
    run(&sandbox, "key new mallory -o mallory.age --work 10").ok();
    let none = run(&sandbox, "key countersign --key alice.age");
    assert!(none.code == 2 && none.stderr.contains("there is no proposal"), "{}", none.text());
    let proposed = run(&sandbox, "key rotate root --key alice.pub.json --keep --threshold 2").ok();
    assert!(proposed.stderr.contains("1 of the role `root` signed; 2 must"), "{}", proposed.text());
    assert_eq!(holders(&sandbox, "root"), ["root"]);
    let again = run(&sandbox, "key rotate examiner");
    assert!(again.code == 2 && again.stderr.contains("there is a proposal already"), "{}", again.text());
    let other = run(&sandbox, "key countersign --key mallory.age");
    assert!(other.code == 2 && other.stderr.contains("in neither version"), "{}", other.text());
    run(&sandbox, "key countersign --key alice.age").ok();
    assert_eq!(holders(&sandbox, "root"), ["alice", "root"]);
    assert!(!sandbox.path("authority/root/2.proposed.json").exists());
}

#[test]
fn a_changed_missing_or_swapped_root_is_not_trusted() {
    let sandbox = founded();
    run(&sandbox, "key rotate examiner --work 10").ok();
    run(&sandbox, "key rotate standing --work 10").ok();
    let path = |version: u32| format!("authority/root/{version}.json");
    let good: Vec<_> = (1..=3).map(|version| std::fs::read(sandbox.path(&path(version))).unwrap()).collect();
    let expect = |message: &str| {
        let said = run(&sandbox, "authority show");
        assert_eq!(said.code, if message.contains("cannot read") { 40 } else { 30 }, "{}", said.text());
        assert!(said.stderr.contains(message) && said.stderr.contains("hint: "), "{}", said.text());
        for (version, bytes) in (1..).zip(&good) {
            sandbox.write(&path(version), bytes);
        }
        run(&sandbox, "authority show").ok();
    };
    let mut changed = good[1].clone();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    sandbox.write(&path(2), changed);
    expect("`authority/root/2.json` is not trusted");
    std::fs::remove_file(sandbox.path(&path(2))).unwrap();
    expect("cannot read `authority/root/2.json`");
    sandbox.write(&path(3), &good[1]);
    expect("a rollback");
    sandbox.write(&path(2), &good[2]);
    expect("a version is left out");
}
