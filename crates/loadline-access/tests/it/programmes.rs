//! The programme's file.

use loadline_access::programme;
use loadline_policy::Problems;

use crate::support::{text, write_keys};

fn problems(text: &str) -> Problems {
    let folder = tempfile::tempdir().unwrap();
    write_keys(folder.path());
    programme::parse(text, folder.path()).map(|_| ()).unwrap_err()
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let wrong = text("agree = 7\n")
        .replace("places = 2", "places = 0")
        .replace("rev-a.pub.json", "nobody.pub.json")
        .replace("keys = \"any\"", "keys = \"some\"")
        .replace("opens = \"2027-02-01T00:00:00Z\"", "opens = \"2026-12-05T00:00:00Z\"")
        .replace("affiliation = \"f.example\"", "affiliation = \"F\"")
        .replace("tokens_per_day", "tokens_per_dya");
    let problems = problems(&wrong);
    let told = problems.to_string();
    for expected in [
        "5 reviewers, and 7 must agree",
        "round[1].places",
        "nobody.pub.json",
        "`some` is not known here",
        "opens before `2026-1` has closed",
        "`F` is not a domain",
        "unknown key `tokens_per_dya`",
    ] {
        assert!(told.contains(expected), "{expected}\n{told}");
    }
    assert!(problems.0.windows(2).all(|pair| pair[0].place <= pair[1].place));
    assert!(
        problems.0.iter().any(|problem| problem.hint.as_deref() == Some("did you mean `tokens_per_day`?"))
    );
}

#[test]
fn the_programme_on_the_page_is_read() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/access.md")).unwrap();
    let text: String = page
        .lines()
        .skip_while(|line| !line.contains("format = \"loadline-access/1\""))
        .take_while(|line| line.is_empty() || line.starts_with("    "))
        .map(|line| format!("{}\n", line.strip_prefix("    ").unwrap_or(line)))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    for name in ["noor", "jonas", "mei", "ivo"] {
        let key = loadline_trust::published::publish(&crate::support::key(name)).unwrap();
        std::fs::write(folder.path().join(format!("{name}.pub.json")), key).unwrap();
    }
    let programme = programme::parse(&text, folder.path()).unwrap();
    assert_eq!((programme.reviewers.len(), programme.agree), (4, 2));
}

#[test]
fn the_operators_door_stays_on_this_machine_and_its_key_out_of_the_file() {
    let door = |listen: &str, key: &str| {
        let admin = format!("\n[admin]\nlisten = \"{listen}\"\nkey_env = \"{key}\"\n");
        text("listen = \"127.0.0.1:8040\"\naudit = \"gate/audit\"\n") + &admin
    };
    for (listen, key, expected) in [
        ("0.0.0.0:8041", "KEY", "`0.0.0.0:8041` is not a loopback address"),
        ("127.0.0.1:8040", "KEY", "is the public address"),
        ("here", "KEY", "`here` is not an address"),
        ("127.0.0.1:8041", "a secret!", "is not the name of an environment variable"),
    ] {
        let told = problems(&door(listen, key)).to_string();
        assert!(told.contains(expected) && !told.contains("a secret!"), "{expected}: {told}");
    }
    let folder = tempfile::tempdir().unwrap();
    write_keys(folder.path());
    let programme = programme::parse(&door("127.0.0.1:8041", "KEY"), folder.path()).unwrap();
    assert_eq!(programme.audit, Some(folder.path().join("gate/audit")));
    let admin = programme.admin.unwrap();
    assert_eq!((admin.listen.port(), admin.key_env.as_str()), (8041, "KEY"));
}
