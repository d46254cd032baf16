//! `loadline access`: a programme from its file to a key, in a folder and over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use serde_json::Value;

use crate::logs::{Server, run};
use crate::support::{Said, Sandbox};

/// A round that is open as long as this test may live.
const OPEN: &str = "closes = \"2099-12-31T23:59:59Z\"";
const CLOSED: &str = "closes = \"2020-12-31T23:59:59Z\"";

fn programme(more: &str) -> String {
    let mut text = format!(
        "format = \"loadline-access/1\"\nname = \"example.org/access\"\nstate = \"state\"\nkeys = \"keys.json\"\n\
         role = \"scientist\"\nseed = \"public\"\n\n{more}\n[[round]]\nname = \"r1\"\nopens = \"2020-01-01T00:00:00Z\"\n{OPEN}\n\
         places = 1\n\n[[level]]\nname = \"study\"\nstages = [\"academic\"]\nmodels = [\"small\"]\ndays = 90\n\
         tokens_per_term = 1000\n"
    );
    for name in ["rev-a", "rev-b", "rev-c"] {
        text.push_str(&format!(
            "\n[[reviewer]]\nkey = \"{name}.pub.json\"\naffiliation = \"{name}.example\"\n"
        ));
    }
    text
}

/// Founded, with keys of people.
pub fn founded(more: &str, people: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in ["rev-a", "rev-b", "rev-c"].iter().chain(people) {
        run(&sandbox, &format!("key new {name} -o {name}.age --work 10")).ok();
    }
    sandbox.write("access.toml", programme(more));
    let said = run(&sandbox, "access init access.toml").ok();
    assert!(said.stderr.contains("Founded `example.org/access`"), "{}", said.text());
    sandbox
}

pub const ANY: &str = "[identity]\nkeys = \"any\"\n";

pub fn json(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap()
}

/// Applies at a place, and gives the id.
pub fn apply(sandbox: &Sandbox, place: &str, name: &str, more: &str) -> String {
    let said = run(
        sandbox,
        &format!(
            "access apply {place} --key {name}.age --name 'Dr {name}' --affiliation uni.example --level study --days 30 \
             --purpose 'to see' --ethics 'IRB 7' --json {more}"
        ),
    );
    json(&said.ok())["status"]["application"].as_str().unwrap().to_owned()
}

/// Everybody who is asked says yes.
pub fn accept(sandbox: &Sandbox, place: &str, id: &str) {
    for name in ["rev-a", "rev-b", "rev-c"] {
        let queue = json(&run(sandbox, &format!("access queue {place} --key {name}.age --json")).ok());
        let waiting = queue["queue"]["waiting"].as_array().unwrap().clone();
        for waiting in waiting.iter().filter(|waiting| waiting["application"] == id) {
            assert!(waiting["name"].as_str().unwrap().starts_with("Dr "), "{waiting}");
            run(
                sandbox,
                &format!("access review {place} {id} --key {name}.age --verdict accept --reason 'sound'"),
            )
            .ok();
        }
    }
}

/// Closes the round, by changing the programme's file.
pub fn close(sandbox: &Sandbox) {
    let text = std::fs::read_to_string(sandbox.path("access.toml")).unwrap();
    sandbox.write("access.toml", text.replace(OPEN, CLOSED));
}

#[test]
fn from_a_file_to_a_key_in_a_folder() {
    let sandbox = founded(ANY, &["ada", "bob"]);
    let ids = ["ada", "bob"].map(|name| apply(&sandbox, "access.toml", name, ""));
    let shown = run(&sandbox, &format!("access status access.toml {} --key ada.age", ids[0])).ok();
    assert!(shown.stdout.contains("state         in_review"), "{}", shown.text());
    let stranger = run(&sandbox, &format!("access status access.toml {} --key bob.age", ids[0]));
    assert!(stranger.code == 2 && stranger.stderr.contains("hint: give the id"), "{}", stranger.text());
    ids.iter().for_each(|id| accept(&sandbox, "access.toml", id));
    let early = run(&sandbox, "access draw access.toml r1");
    assert!(early.code == 20 && early.stderr.contains("closes at 2099"), "{}", early.text());
    close(&sandbox);
    let drawn = run(&sandbox, "access draw access.toml r1").ok();
    sandbox.write("r1.json", &drawn.stdout);
    run(&sandbox, "access lottery verify r1.json").ok();
    let vkey = std::fs::read_to_string(sandbox.path("state/signer.vkey")).unwrap();
    let verified = run(&sandbox, &format!("access lottery verify r1.json --vkey {}", vkey.trim())).ok();
    assert!(verified.stderr.contains("Verified the order of 2 applications"), "{}", verified.text());
    assert_eq!(run(&sandbox, "access lottery show access.toml r1").ok().stdout, drawn.stdout);
    let order: Vec<String> = serde_json::from_value(json(&drawn)["order"].clone()).unwrap();
    sandbox.write(
        "r1.json",
        drawn
            .stdout
            .replacen(&order[0], "swapped", 1)
            .replacen(&order[1], &order[0], 1)
            .replacen("swapped", &order[1], 1),
    );
    let said = run(&sandbox, "access lottery verify r1.json");
    assert!(said.code == 30 && said.stderr.contains("place 1"), "{}", said.text());

    let name = |id: &str| if id == ids[0] { "ada" } else { "bob" };
    let (first, second) = (order[0].as_str(), order[1].as_str());
    let waits = run(&sandbox, &format!("access claim access.toml {second} --key {}.age", name(second)));
    assert!(waits.code == 20 && waits.stderr.contains("waitlisted"), "{}", waits.text());
    let granted = run(&sandbox, &format!("access claim access.toml {first} --key {}.age", name(first))).ok();
    assert!(granted.stdout.starts_with("llk_") && granted.stdout.trim().len() == 47, "{}", granted.text());
    let list = run(&sandbox, "gate key list keys.json").ok();
    assert!(
        list.stdout.contains(&format!("access/{first}")) && list.stdout.contains("works"),
        "{}",
        list.text()
    );
    let again = run(&sandbox, &format!("access claim access.toml {first} --key {}.age", name(first)));
    assert!(again.code == 20 && again.stderr.contains("shown once"), "{}", again.text());
    run(&sandbox, &format!("access report access.toml {first} --key {}.age --text 'a paper'", name(first)))
        .ok();
    let figures = run(&sandbox, "access figures access.toml").ok();
    for line in [
        "applied       2",
        "accepted      2",
        "granted       1",
        "reported      1",
        "acceptance    100.0% [34.2, 100.0]  n=2  Wilson 95%",
    ] {
        assert!(figures.stdout.contains(line), "{line}\n{}", figures.text());
    }
    run(&sandbox, &format!("access revoke access.toml {first}")).ok();
    assert!(run(&sandbox, "gate key list keys.json").ok().stdout.contains("revoked"));
    run(&sandbox, &format!("access erase access.toml {first}")).ok();
    let gone = run(&sandbox, &format!("access status access.toml {first} --key {}.age", name(first)));
    assert_eq!(gone.code, 2, "{}", gone.text());
}

#[test]
fn the_same_over_http_with_limits() {
    let sandbox = founded(&format!("requests_per_minute = 60\n{ANY}"), &["ada"]);
    let server = Server::start(&sandbox, "access serve access.toml");
    assert!(server.url.starts_with("http://127.0.0.1:"));
    let about: Value = serde_json::from_str(&server.get("/programme").2).unwrap();
    assert_eq!((&about["name"], &about["levels"][0]["days"]), (&"example.org/access".into(), &90.into()));
    let id = apply(&sandbox, &server.url, "ada", "");
    accept(&sandbox, &server.url, &id);
    let status =
        json(&run(&sandbox, &format!("access status {} {id} --key ada.age --json", server.url)).ok());
    assert_eq!(status["status"]["state"], "accepted");
    assert_eq!(status["status"]["reasons"], serde_json::json!(["sound", "sound"]));
    // The folder is the server's alone.
    let locked = run(&sandbox, "access figures access.toml");
    assert!(locked.code == 1 && locked.stderr.contains("access serve"), "{}", locked.text());
    let figures = run(&sandbox, &format!("access figures {} --json", server.url)).ok();
    assert_eq!(json(&figures)["total"]["accepted"], 1);
    // Bad input.
    for (method, path, body, expected) in [
        ("GET", "/nothing", "", 404),
        ("GET", "/lottery/r1", "", 404),
        ("POST", "/figures", "", 405),
        ("GET", "/requests", "", 405),
        ("POST", "/requests", "{}", 403),
        ("POST", "/tokens", "AAAA", 400),
    ] {
        let (status, head, body) = server.ask(method, path, body);
        assert_eq!(status, expected, "{method} {path}: {body}");
        if status != 405 {
            assert!(head.contains("application/json") && body.contains("\"hint\""), "{body}");
        }
    }
    let large = "x".repeat((64 << 10) + 1);
    assert_eq!(server.ask("POST", "/requests", &large).0, 413);
    // More than the programme takes in a minute, from all together.
    let refused = (0..200).any(|_| server.ask("POST", "/requests", "{}").0 == 429);
    assert!(refused, "200 requests were taken, and 60 in a minute are allowed");
    assert_eq!(server.get("/figures").0, 200, "looking costs nothing");
    let said = server.interrupt();
    assert!(said.status.success());
    // What was answered is there.
    let status = json(&run(&sandbox, &format!("access status access.toml {id} --key ada.age --json")).ok());
    assert_eq!(status["status"]["state"], "accepted");
}

#[test]
fn a_kill_after_an_answer_loses_nothing() {
    let sandbox = founded(ANY, &["ada", "bob", "cyd"]);
    let mut ids = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        let server = Server::start(&sandbox, "access serve access.toml");
        ids.push(apply(&sandbox, &server.url, name, ""));
        // SIGKILL.
        drop(server);
    }
    for (name, id) in ["ada", "bob", "cyd"].iter().zip(&ids) {
        run(&sandbox, &format!("access status access.toml {id} --key {name}.age")).ok();
    }
}

#[test]
fn a_token_is_asked_for_and_used_over_http_and_nobody_uses_it_twice() {
    let more = "[identity]\nkeys = \"listed\"\nlisted = [\"ada.pub.json\"]\n\n[tokens]\ndays = 60\ntokens_per_term = 500\n";
    let sandbox = founded(more, &["ada", "eve"]);
    let eve = run(
        &sandbox,
        "access apply access.toml --key eve.age --name Eve --affiliation uni.example --level study --days 30 --purpose x --ethics y",
    );
    assert!(eve.code == 20 && eve.stderr.contains("no identity here"), "{}", eve.text());
    let id = apply(&sandbox, "access.toml", "ada", "");
    accept(&sandbox, "access.toml", &id);
    close(&sandbox);
    run(&sandbox, "access draw access.toml r1").ok();
    let server = Server::start(&sandbox, "access serve access.toml");
    let got = run(&sandbox, &format!("access token {} {id} --key ada.age -o token.txt", server.url)).ok();
    assert!(!sandbox.path("token.txt.asked").exists(), "{}", got.text());
    let claim = run(&sandbox, &format!("access claim {} {id} --key ada.age", server.url));
    assert!(claim.code == 20 && claim.stderr.contains("instead of a key"), "{}", claim.text());
    let twice = run(&sandbox, &format!("access token {} {id} --key ada.age -o other.txt", server.url));
    assert!(twice.code == 20 && twice.stderr.contains("issued once"), "{}", twice.text());
    // As RFC 9577 writes it.
    let token = std::fs::read_to_string(sandbox.path("token.txt")).unwrap();
    let ask = |server: &Server| {
        server.raw(&format!(
            "POST /tokens HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\
             Authorization: PrivateToken token=\"{}\"\r\n\r\n",
            token.trim()
        ))
    };
    let answer = ask(&server);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("llk_"), "{answer}");
    assert!(ask(&server).starts_with("HTTP/1.1 409"));
    drop(server);
    let server = Server::start(&sandbox, "access serve access.toml");
    assert!(ask(&server).contains("\"spent\""));
    let redeem = run(&sandbox, &format!("access redeem {} token.txt", server.url));
    assert!(redeem.code == 20 && redeem.stderr.contains("was used"), "{}", redeem.text());
    let list = run(&sandbox, "gate key list keys.json").ok();
    assert!(list.stdout.contains("token/") && !list.stdout.contains(&id), "{}", list.text());
}

/// Answers as an issuer does: its discovery document, and its keys.
fn issuer(jwks: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let document = format!("{{\"issuer\":\"{url}\",\"jwks_uri\":\"{url}/keys\"}}");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            if reader.read_line(&mut first).is_err() {
                continue;
            }
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let body = match first.split(' ').nth(1) {
                Some("/.well-known/openid-configuration") => &document,
                _ => &jwks,
            };
            let length = body.len();
            let _gone = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _closed = stream.shutdown(std::net::Shutdown::Write);
            let _rest = stream.read(&mut [0; 1]);
        }
    });
    url
}

#[test]
fn an_id_token_is_checked_with_the_keys_that_its_issuer_publishes() {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend([7; 32]);
    let signer = EncodingKey::from_ed_der(&der);
    let jwk = Jwk::from_encoding_key(&signer, Algorithm::EdDSA).unwrap();
    let url = issuer(serde_json::json!({ "keys": [jwk] }).to_string());
    let more = format!("[[issuer]]\nurl = \"{url}\"\naudience = \"loadline\"\n");
    let sandbox = founded(&more, &["ada"]);
    let nonce = run(&sandbox, "access nonce ada.pub.json").ok().stdout.trim().to_owned();
    let claims = |nonce: &str| {
        serde_json::json!({ "iss": url, "aud": "loadline", "sub": "u-1", "nonce": nonce, "iat": 1, "exp": 4_000_000_000_u64,
            "email": "ada@uni.example", "email_verified": true })
    };
    let token =
        |claims: &Value| jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &signer).unwrap();
    sandbox.write("good.jwt", token(&claims(&nonce)));
    sandbox.write("bad.jwt", token(&claims("somebody else's")));
    let server = Server::start(&sandbox, "access serve access.toml");
    let bad = run(
        &sandbox,
        &format!(
            "access apply {} --key ada.age --name Ada --affiliation uni.example --level study --days 30 --purpose x \
             --ethics y --id-token bad.jwt",
            server.url
        ),
    );
    assert!(
        bad.code == 20 && bad.stderr.contains("`nonce`") && bad.stderr.contains("access nonce"),
        "{}",
        bad.text()
    );
    let id = apply(&sandbox, &server.url, "ada", "--id-token good.jwt");
    drop(server);
    let status = json(&run(&sandbox, &format!("access status access.toml {id} --key ada.age --json")).ok());
    assert_eq!(status["status"]["basis"], "issuer_and_affiliation");
}
