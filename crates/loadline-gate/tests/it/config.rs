//! The configuration is checked as a whole, and every problem has its place.

use loadline_gate::config::{self, Api, FigureConfig, WayConfig};
use loadline_gate::upstream::resident::none;
use loadline_policy::Problems;
use loadline_policy::policy::Stage;
use loadline_testkit::authority::{TestAuthority, open_marks};

use crate::support::{at, config_text, write_files};

fn text() -> String {
    config_text(&TestAuthority::new(at(0)), "http://127.0.0.1:9/v1", "", "")
}

fn parse(text: &str) -> Result<config::Config, Problems> {
    config::parse(text, std::path::Path::new("/etc/gate"))
}

#[test]
fn a_good_file_is_read() {
    let config = parse(&text()).unwrap();
    assert_eq!(config.keys.path, std::path::Path::new("/etc/gate/keys.json"));
    assert_eq!(config.models[0].upstream_model, "behind/m");
    assert_eq!((config.upstreams[1].api, config.models[1].upstream_model.as_str()), (Api::Anthropic, "c"));
    assert!(config.roles[&Stage::General].contains("public"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_its_place() {
    let wrong = text()
        .replace(r#"listen = "127.0.0.1:0""#, r#"listen = "localhost""#)
        .replace(r#"upstream = "claude""#, r#"upstream = "cloud""#)
        .replace(r#"upstream_model = "behind/m""#, r#"upstraem_model = "behind/m""#)
        .replace("[limits]", "[limits]\nrequest_bytes = -1")
        .replace(
            r#"name = "claude"
url = "http://127.0.0.1:9/v1""#,
            "name = \"claude\"\nurl = \"http://example.com/v1\"",
        )
        .replace("[[model]]\nname = \"c\"", "[[model]]\nname = \"m\"");
    let problems = parse(&wrong).unwrap_err();
    let said: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
    for (line, expected) in [
        ("line 3, column 10", "`localhost` is not an address"),
        ("line 14, column 17", "is -1"),
        ("line 30, column 7", "a key would go over an unencrypted connection"),
        ("column 1: `model[1].upstraem_model`", "unknown key `upstraem_model`"),
        ("column 12: `model[2].upstream`", "no upstream is named `cloud`"),
        ("`model`", "two are named `m`"),
    ] {
        let found = said.iter().any(|problem| problem.contains(line) && problem.contains(expected));
        assert!(found, "{line}: {expected}: {said:#?}");
    }
    assert!(
        problems.0.iter().any(|problem| problem.hint.as_deref() == Some("did you mean `upstream_model`?"))
    );
}

#[test]
fn who_watches_the_gate_is_checked_too() {
    for (more, expected) in [
        (
            "[traces]\nurl = \"http://collector.example/v1/traces\"",
            "unencrypted connection to another machine",
        ),
        ("[traces]\nurl = \"collector\"", "does not start with http:// or https://"),
        ("[traces]\nurl = \"http://127.0.0.1:1/\"\none_in = 0", "traces.one_in"),
        ("[traces]\none_in = 5", "traces.url"),
        ("[witnesses]\nevery_s = 5", "witnesses.policy"),
        ("[witnesses]\npolicy = \"p\"\nurl = \"x\"", "unknown key `url`"),
    ] {
        let problems = parse(&format!("{}\n{more}\n", text())).unwrap_err();
        let said: Vec<_> = problems.0.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|problem| problem.contains(expected)), "{more}: {said:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let more = "[witnesses]\npolicy = \"p\"\n";
    let config = config::parse(&format!("{}\n{more}", text()), folder.path()).unwrap();
    let witnesses = config.witnesses.unwrap();
    let problem = |written: Option<&str>| {
        let _was_not_there = std::fs::remove_file(folder.path().join("p"));
        if let Some(text) = written {
            std::fs::write(folder.path().join("p"), text).unwrap();
        }
        config::witness_policy(&witnesses).unwrap_err().0.remove(0)
    };
    for (written, expected) in [
        (None, "there is no such file"),
        (Some("quorum none\n"), "names no witness"),
        (Some("witness w\nquorum w\n"), "policy line 1"),
    ] {
        let problem = problem(written);
        assert!(problem.message.contains(expected), "{problem:?}");
        assert!(
            problem.hint.is_some_and(|hint| hint.contains("witness NAME VKEY URL"))
                && problem.path == "witnesses.policy"
        );
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_shown() {
    let wrong = text().replacen(r#"key_env = "UPSTREAM_KEY""#, r#"key_env = "sk-proj-12345""#, 1);
    let said = parse(&wrong).unwrap_err().to_string();
    assert!(said.contains("not the name of an environment variable") && !said.contains("12345"), "{said}");
    let wrong = text().replacen("http://127.0.0.1:9/v1", "http://me:sesame@h/v1", 1);
    let said = parse(&wrong).unwrap_err().to_string();
    assert!(said.contains("user name or password") && !said.contains("sesame"), "{said}");
}

#[test]
fn the_operators_door_stays_on_this_machine() {
    let door =
        |listen: &str| parse(&(text() + &format!("\n[admin]\nlisten = \"{listen}\"\nkey_env = \"K\"\n")));
    assert!(door("127.0.0.1:9999").is_ok() && door("[::1]:9999").is_ok());
    assert!(door("0.0.0.0:9999").unwrap_err().to_string().contains("not a loopback address"));
}

#[test]
fn an_upstream_is_a_server_or_a_model_of_this_process() {
    let with = |lines: &str| parse(&(text() + "\n[[upstream]]\nname = \"here\"\n" + lines)).map(|_| ());
    assert_eq!(with("local = \"m.gguf\"\nqueue = 0"), Ok(()));
    for (lines, expected) in [
        ("local = \"m.gguf\"\nurl = \"http://127.0.0.1:9/v1\"", "`upstream[3].local`: stands beside `url`"),
        (
            "local = \"m.gguf\"\napi = \"anthropic\"",
            "`upstream[3].api`: a model of this process speaks `openai` only",
        ),
        ("local = \"m.gguf\"\nkey_env = \"K\"", "unknown key `key_env`"),
        ("url = \"http://127.0.0.1:9/v1\"\nqueue = 1", "unknown key `queue`"),
        ("", "`upstream[3].url`: is missing"),
    ] {
        let said = with(lines).unwrap_err().to_string();
        assert!(said.contains(expected), "{lines}: {said}");
    }
}

#[test]
fn files_are_verified_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let authority = TestAuthority::new(at(0));
    let license = authority.license("m", Stage::General, Some(open_marks()));
    write_files(folder.path(), &authority, &license);
    let config = config::parse(&text(), folder.path()).unwrap();
    let load = |variable: Option<&str>| {
        let value = variable.map(str::to_owned);
        config::load(&config, &|_: &[u8]| Ok(Vec::new()), &move |_| value.clone(), &none, at(0))
    };
    let said = |result: Result<config::Loaded, Problems>| result.err().map(|problems| problems.to_string());
    assert_eq!(said(load(Some("k"))), None);
    assert!(said(load(None)).unwrap().contains("the environment variable UPSTREAM_KEY is not set"));

    let path = folder.path().join("license.json");
    let mut forged = license.clone();
    let last = forged.len() - 20;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    std::fs::write(&path, &forged).unwrap();
    let problem = said(load(Some("k"))).unwrap();
    assert!(problem.contains("license.json`") && problem.contains("does not hold"), "{problem}");
    std::fs::remove_file(&path).unwrap();
    assert!(said(load(Some("k"))).unwrap().contains("there is no such file"));
    std::fs::write(&path, authority.standing(1, at(0), 9, &[])).unwrap();
    assert!(said(load(Some("k"))).unwrap().contains("does not hold the role `authority`"));
    std::fs::write(&path, license).unwrap();

    let pinned = text().replace(&authority.pin().to_string(), &loadline_core::Digest([0; 32]).to_string());
    let config = config::parse(&pinned, folder.path()).unwrap();
    let other = config::load(&config, &|_: &[u8]| Ok(Vec::new()), &|_| Some("k".to_owned()), &none, at(0));
    assert!(said(other).unwrap().contains("is pinned"));
}

/// The reader reads this file for ever: every key of version 1 is in it.
#[test]
fn the_golden_file_is_read() {
    let config = parse(include_str!("../golden/gate.toml")).unwrap();
    assert_eq!((config.name.as_str(), config.region.as_deref()), ("gate.example.org/audit", Some("eu")));
    assert_eq!(config.authority.every.as_secs(), 10);
    assert_eq!(config.admin.unwrap().key_env, "LOADLINE_ADMIN_KEY");
    let limits = &config.limits;
    assert_eq!((limits.connections, limits.request_bytes, limits.depth), (4_096, 8 << 20, 32));
    assert_eq!(
        (limits.drain.as_secs(), limits.write.as_secs(), limits.default_output_tokens),
        (10, 30, 2_048)
    );
    let WayConfig::Http(server) = &config.upstreams[0].way else { panic!("a server") };
    assert_eq!((server.kept_connections, config.upstreams[0].total.as_secs()), (128, 600));
    let WayConfig::Resident(here) = &config.upstreams[2].way else { panic!("a model of this process") };
    assert_eq!((here.model.as_str(), here.queue), ("models/small.gguf", 4));
    assert_eq!(here.args, ["threads=2", "context=4096"]);
    let tls = config.tls.unwrap();
    assert_eq!(
        (tls.certificate.key.as_str(), tls.key.path.file_name().unwrap()),
        ("tls.certificate", "key.pem".as_ref())
    );
    assert_eq!(config.models[0].keep, loadline_gate::ledger::Keep::Full);
    let kinds: Vec<_> = config.guards.iter().map(|g| g.rule.as_ref().map(|rule| rule.kind())).collect();
    let expected = [Some("patterns"), None, Some("max_tokens"), Some("classifier"), Some("judge")];
    assert_eq!(kinds, expected);
    let measured = config.guards[0].measured.as_ref().unwrap();
    assert_eq!((measured.miss.k, measured.miss.n, measured.date.day().as_str()), (37, 200, "2027-01-10"));
    assert_eq!((config.guards[1].window, config.guards[3].timeout.as_millis()), (512, 2_000));
    let FigureConfig::Own { least, .. } = &config.watches[0].figure else { panic!("the operator's own") };
    assert_eq!((least.as_str(), config.watches[1].alpha.as_str()), ("0.87", "0.001"));
    let FigureConfig::Licensed(licensed) = &config.watches[2].figure else { panic!("the licence's") };
    assert_eq!((licensed.test.as_str(), licensed.policy.key.as_str()), ("sums", "watch.licensed.policy"));
    assert!(licensed.decision.path.ends_with("licenses/our-model.decision.json"));
    assert_eq!(config.models[1].upstreams, ["claude"]);
    assert!(config.models[2].manifest.as_ref().unwrap().path.ends_with("licenses/small.manifest.json"));
    assert!(
        config.roles[&Stage::Academic].contains("scientist") && !config.roles.contains_key(&Stage::Limited)
    );
}
