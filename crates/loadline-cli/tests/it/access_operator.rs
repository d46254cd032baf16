//! `loadline access draw|grant|revoke|erase|usage` at the operator's door of a programme that is served.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;

use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::{AuditLog, AuditOptions};

use crate::access_programme::{ANY, accept, apply, close, founded, json};
use crate::gate_serves::ask;
use crate::logs::{Server, run, words};
use crate::support::{LOADLINE, Said, Sandbox};

const KEY: &str = "operator-key-of-the-tests";

/// A programme with a door, whose applications are accepted and whose round is over. With their ids.
fn decided(people: &[&str]) -> (Sandbox, Vec<String>) {
    let sandbox = founded(&format!("audit = \"audit\"\n{ANY}"), people);
    let ids: Vec<_> = people.iter().map(|name| apply(&sandbox, "access.toml", name, "")).collect();
    ids.iter().for_each(|id| accept(&sandbox, "access.toml", id));
    close(&sandbox);
    let text = std::fs::read_to_string(sandbox.path("access.toml")).unwrap();
    sandbox.write("access.toml", text + "\n[admin]\nlisten = \"127.0.0.1:0\"\nkey_env = \"DOOR_KEY\"\n");
    (sandbox, ids)
}

/// Serves it: the public door, and the operator's.
fn serve(sandbox: &Sandbox) -> (Server, String) {
    let mut command = sandbox.command(LOADLINE, words("access serve access.toml"));
    command.env("DOOR_KEY", KEY);
    let (server, mut doors) = Server::start_with(command, 2);
    (server, doors.remove(0))
}

fn at_door(sandbox: &Sandbox, line: &str, key: &str) -> Said {
    let mut command = sandbox.command(LOADLINE, words(line));
    sandbox.said(command.env("LOADLINE_ADMIN_KEY", key).output().unwrap())
}

/// A second folder in the same state, with nothing running in it.
fn twin(of: &Sandbox) -> Sandbox {
    let twin = Sandbox::new();
    let copied = Command::new("cp").arg("-r").arg(of.path(".")).arg(twin.path(".")).status();
    assert!(copied.unwrap().success());
    twin
}

/// What was said, without the ids of keys: each programme made its own.
fn nameless(said: &str) -> String {
    let mut parts = said.split("key:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |so_far, part| {
        so_far + "key:ID" + part.trim_start_matches(|letter: char| letter.is_ascii_hexdigit())
    })
}

#[test]
fn a_served_programme_draws_grants_revokes_and_erases_and_says_the_same_as_its_file() {
    let (sandbox, ids) = decided(&["ada"]);
    let id = &ids[0];
    let options = AuditOptions::new(
        sandbox.path("audit"),
        "gate.example.org",
        Arc::new(|| 1_700_000_000_000),
        Arc::new(|buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other)),
    );
    drop(AuditLog::open(Arc::new(RealDisk), options).unwrap());
    let twin = twin(&sandbox);
    let (server, door) = serve(&sandbox);
    assert_ne!(server.url, door);
    let both = |line: &str| {
        let said = at_door(&sandbox, &line.replace("PLACE", &door), KEY);
        let file = run(&twin, &line.replace("PLACE", "access.toml"));
        assert_eq!((said.code, nameless(&said.stderr)), (file.code, nameless(&file.stderr)), "{line}");
        (said, file)
    };
    let early = both(&format!("access grant PLACE {id}")).0;
    assert!(early.code == 20 && early.stderr.contains("not given yet"), "{}", early.text());
    let nobody = both("access revoke PLACE 0a1b").0;
    assert!(nobody.code == 2 && nobody.stderr.contains("its applicant got"), "{}", nobody.text());
    let unknown = both("access draw PLACE r9").0;
    assert!(unknown.code == 2 && unknown.stderr.contains("hint: one of r1"), "{}", unknown.text());
    let (drawn, _) = both("access draw PLACE r1");
    sandbox.write("r1.json", &drawn.ok().stdout);
    run(&sandbox, "access lottery verify r1.json").ok();

    // The keys differ, and so do their ids: all else that is said is the same.
    let granted = at_door(&sandbox, &format!("access grant {door} {id}"), KEY).ok();
    let secret = granted.stdout.trim().to_owned();
    assert!(secret.starts_with("llk_") && granted.stderr.contains("shown once"), "{}", granted.text());
    let shape = |said: &Said| said.stderr.split(' ').map(str::len).collect::<Vec<_>>();
    assert_eq!(shape(&granted), shape(&run(&twin, &format!("access grant access.toml {id}")).ok()));
    let used = |said: Said| {
        let rows = json(&said.ok());
        let row = rows[0].clone();
        assert!(row["key"].as_str().unwrap().len() == 12 && rows.as_array().unwrap().len() == 1, "{rows}");
        (row["grant"].clone(), row["works"].clone(), row["tokens"].clone(), row["reports"].clone())
    };
    let usage = |place: &str| format!("access usage {place} --json");
    assert_eq!(used(at_door(&sandbox, &usage(&door), KEY)), used(run(&twin, &usage("access.toml"))));

    let (still, _) = both(&format!("access erase PLACE {id}"));
    assert!(still.code == 20 && still.stderr.contains("revoke it first"), "{}", still.text());
    let revoked = both(&format!("access revoke PLACE {id}")).0.ok();
    assert!(revoked.stderr.contains("Revoked the key of"));
    let list = run(&sandbox, "gate key list keys.json").ok();
    assert!(list.stdout.contains("revoked"), "{}", list.text());
    // The words that stop it at once name the key as the gate knows it.
    let stop = revoked.stderr.split("`loadline stop key:").nth(1).and_then(|rest| rest.split('`').next());
    assert!(stop.is_some_and(|id| id.len() == 12 && list.stdout.contains(id)), "{}", revoked.stderr);
    // Applicants see it at once, and the programme goes on.
    let status = run(&sandbox, &format!("access status {} {id} --key ada.age", server.url)).ok();
    assert!(status.stdout.contains("state         ended"), "{}", status.text());
    both(&format!("access erase PLACE {id}")).0.ok();
    assert_eq!(server.get("/figures").0, 200);

    let said = server.interrupt();
    assert!(said.status.success());
    let said = [said.stdout, said.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(said.contains("its operator's door"), "{said}");
    let written = ["state", "audit", "."].map(|name| std::fs::read_dir(sandbox.path(name)).unwrap());
    let files = written.into_iter().flatten().map(|entry| entry.unwrap().path());
    let files: Vec<u8> =
        files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect();
    for (what, output) in [("what it said", said.into()), ("files", String::from_utf8_lossy(&files))] {
        assert!(!output.contains(&secret) && !output.contains(KEY), "{what}");
    }
}

#[test]
fn nobody_without_the_key_has_anything_done_and_the_public_door_takes_no_errand() {
    let (sandbox, ids) = decided(&["ada"]);
    let (server, door) = serve(&sandbox);
    let revoke = format!("{{\"revoke\":{{\"application\":\"{}\"}}}}", ids[0]);
    let bytes =
        |sandbox: &Sandbox| std::fs::read(sandbox.path("state/segment-00000000000000000000")).unwrap();
    let before = bytes(&sandbox);
    let draw = r#"{"draw":{"round":"r1"}}"#;
    let long = format!("{draw}{}", " ".repeat(4 << 10));
    for (url, key, method, path, body, expected) in [
        (&door, "", "POST", "/errands", draw, 401),
        (&door, "wrong", "POST", "/errands", draw, 401),
        (&door, &KEY[1..], "POST", "/errands", draw, 401),
        (&door, &format!("{KEY}x"), "POST", "/errands", draw, 401),
        (&door, KEY, "GET", "/errands", "", 405),
        (&door, KEY, "PUT", "/errands", draw, 405),
        (&door, KEY, "POST", "/errands/", draw, 404),
        (&door, KEY, "POST", "//errands", draw, 404),
        (&door, KEY, "POST", "/requests", "{}", 404),
        (&door, KEY, "GET", "/programme", "", 404),
        (&door, KEY, "POST", "/errands", "", 400),
        (&door, KEY, "POST", "/errands", r#"{"draw":{"round":"r1","state":"/tmp"}}"#, 400),
        (&door, KEY, "POST", "/errands", r#"{"usage":{"audit":"/tmp"}}"#, 400),
        (&door, KEY, "POST", "/errands", &long, 413),
        // The operator's key opens nothing at the public door, and no path there takes an errand.
        (&server.url, KEY, "POST", "/errands", draw, 405),
        (&server.url, KEY, "GET", "/errands", "", 404),
        (&server.url, KEY, "POST", "/requests", draw, 403),
        (&server.url, KEY, "POST", "/requests", &revoke, 403),
        (&server.url, KEY, "POST", "/tokens", draw, 400),
        (&server.url, KEY, "POST", "/revoke", draw, 405),
        (&server.url, KEY, "POST", "/draw", draw, 405),
    ] {
        let answer = ask(url, key, method, path, body);
        assert_eq!(answer.status, expected, "{method} {path} {key}: {}", answer.body);
        assert!(!answer.body.contains(KEY));
        assert_eq!(answer.header("www-authenticate").is_some(), expected == 401, "{}", answer.body);
        if !matches!(expected, 405 | 413) {
            assert!(answer.body.contains("\"hint\""), "{}", answer.body);
        }
    }
    // A key twice is none: a proxy may have read the other one.
    let twice = format!("authorization: Bearer {KEY}\r\n").repeat(2);
    let mut stream = TcpStream::connect(door.strip_prefix("http://").unwrap()).unwrap();
    write!(
        stream,
        "POST /errands HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{twice}content-length: 23\r\n\r\n{draw}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(before == bytes(&sandbox), "nothing was written");

    let wrong = at_door(&sandbox, &format!("access draw {door} r1"), "wrong");
    assert!(wrong.code == 2 && wrong.stderr.contains("not the operator's"), "{}", wrong.text());
    let none = run(&sandbox, &format!("access draw {door} r1"));
    assert!(none.code == 2 && none.stderr.contains("LOADLINE_ADMIN_KEY is not set"), "{}", none.text());
    let public = at_door(&sandbox, &format!("access draw {} r1", server.url), KEY);
    assert!(public.code == 50 && public.stderr.contains("not the public one"), "{}", public.text());
    let far = at_door(&sandbox, "access draw http://access.example.org r1", KEY);
    assert!(far.code == 2 && far.stderr.contains("plain HTTP to another machine"), "{}", far.text());
    let path = at_door(&sandbox, &format!("access usage {door} --audit audit"), KEY);
    assert!(path.code == 2 && path.stderr.contains("`audit` of the programme's file"), "{}", path.text());
    drop(server);
    let gone = at_door(&sandbox, &format!("access draw {door} r1"), KEY);
    assert!(gone.code == 50 && gone.stderr.contains("is the server running"), "{}", gone.text());
    // Somebody takes the errand and breaks off.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let broken = std::thread::spawn(move || listener.accept().unwrap().0.read(&mut [0; 1]).unwrap());
    let lost = at_door(&sandbox, &format!("access draw http://{address} r1"), KEY);
    assert!(lost.code == 50 && lost.stderr.contains("it may be done all the same"), "{}", lost.text());
    assert_eq!(broken.join().unwrap(), 1);
}

#[test]
fn a_locked_folder_names_the_door_and_a_door_without_a_key_does_not_open() {
    let (sandbox, ids) = decided(&["ada"]);
    let mut keyless = sandbox.command(LOADLINE, words("access serve access.toml"));
    let said = sandbox.said(keyless.output().unwrap());
    assert!(said.code == 2 && said.stderr.contains("DOOR_KEY is not set"), "{}", said.text());
    assert!(said.stderr.contains("leave out `[admin]`"), "{}", said.text());
    let (server, _) = serve(&sandbox);
    let revoke = format!("access revoke access.toml {}", ids[0]);
    let hinted = |listen: &str, expected: &str| {
        let text = std::fs::read_to_string(sandbox.path("access.toml")).unwrap();
        let (start, _) = text.split_once("\n[admin]").unwrap();
        let admin = format!("{start}\n[admin]\n{listen}");
        sandbox.write("access.toml", admin);
        let locked = run(&sandbox, &revoke);
        assert!(locked.code == 1 && locked.stderr.contains(expected), "{}", locked.text());
    };
    hinted("listen = \"127.0.0.1:0\"\nkey_env = \"K\"\n", "give the second URL that it printed");
    hinted(
        "listen = \"127.0.0.1:8041\"\nkey_env = \"K\"\n",
        "give `http://127.0.0.1:8041` in the place of the file",
    );
    // Others than the operator go to the public door.
    let figures = run(&sandbox, "access figures access.toml");
    assert!(figures.code == 1 && figures.stderr.contains("send requests to its URL"), "{}", figures.text());
    drop(server);
}

#[test]
fn a_kill_before_a_key_arrived_leaves_one_that_can_be_replaced_and_revoked() {
    let (sandbox, ids) = decided(&["ada"]);
    let id = &ids[0];
    run(&sandbox, "access draw access.toml r1").ok();
    let (server, door) = serve(&sandbox);
    let body = format!("{{\"grant\":{{\"application\":\"{id}\"}}}}");
    let mut stream = TcpStream::connect(door.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    write!(stream, "POST /errands HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {length}\r\n\r\n{body}")
        .unwrap();
    // The answer has begun, so the row is durable; the key in it never arrives.
    stream.read_exact(&mut [0; 12]).unwrap();
    drop(server);
    drop(stream);
    let (_server, door) = serve(&sandbox);
    let again = at_door(&sandbox, &format!("access grant {door} {id}"), KEY);
    assert!(again.code == 20 && again.stderr.contains("shown once"), "{}", again.text());
    let rotate = again.stderr.split('`').find(|part| part.starts_with("loadline gate key rotate")).unwrap();
    let rotate = rotate.strip_prefix("loadline ").unwrap().replace("KEYS", "keys.json");
    let new = run(&sandbox, &format!("{rotate} --overlap-hours 0")).ok();
    assert!(new.stdout.starts_with("llk_"), "{}", new.text());
    at_door(&sandbox, &format!("access revoke {door} {id}"), KEY).ok();
    let keys: serde_json::Value =
        serde_json::from_slice(&std::fs::read(sandbox.path("keys.json")).unwrap()).unwrap();
    let keys = keys["keys"].as_array().unwrap();
    assert!(keys.len() == 2 && keys.iter().all(|key| key["revoked"].is_string()), "{keys:?}");
}
