//! The callers' door by TLS: the same gate behind it, and the same stops.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loadline_gate::ledger::{Ending, StopTarget};
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use loadline_testkit::tls::Pair;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::{ASK, Make, Reply, Rig, STREAM, chunk, head, post, rest};

const TLS: &str = "\n[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";

fn files(pair: &Pair) -> Vec<(&'static str, String)> {
    vec![("cert.pem", pair.certificate_pem.clone()), ("key.pem", pair.key_pem.clone())]
}

fn rig(pair: &Pair, make: Make) -> Rig {
    Rig::make(Make { upstream: TLS.to_owned(), files: files(pair), ..make })
}

type Caller = BufReader<StreamOwned<ClientConnection, TcpStream>>;

/// A caller who trusts this certificate. The handshake comes with the first bytes.
fn caller(rig: &Rig, trusted: &Pair) -> Caller {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    BufReader::new(StreamOwned::new(connection, rig.connect()))
}

fn say(caller: &mut Caller, body: &str) -> std::io::Result<()> {
    let request = post("/v1/chat/completions", "x-api-key: alice-key\r\n", body);
    caller.get_mut().write_all(request.as_bytes())
}

fn streaming(rig: &Rig, trusted: &Pair) -> Caller {
    let mut caller = caller(rig, trusted);
    say(&mut caller, STREAM).unwrap();
    let (status, head) = head(&mut caller);
    assert_eq!(status, 200, "{head}");
    caller
}

fn endless() -> Make {
    let endless = |_: &_| Some(Fault::Endless(Duration::from_millis(1)));
    Make { endpoint: FakeEndpoint::builder().fault(endless), ..Make::default() }
}

fn stop_all(rig: &Rig) -> loadline_gate::gate::Cut {
    let order = Bytes::from(serde_json::to_vec(&StopTarget::All).unwrap());
    rig.runtime.block_on(rig.gate.order(order)).unwrap().cut
}

#[test]
fn callers_are_served_whole_and_streamed_on_one_connection() {
    let pair = Pair::new(&["localhost"]);
    let rig = rig(&pair, Make::default());
    let mut caller = caller(&rig, &pair);
    for _ in 0..3 {
        say(&mut caller, ASK).unwrap();
        let reply = Reply::read(&mut caller);
        assert_eq!(reply.json()["choices"][0]["message"]["content"], "The answer is 42.", "{reply:?}");
    }
    say(&mut caller, STREAM).unwrap();
    assert!(Reply::read(&mut caller).body.ends_with("data: [DONE]\n\n"));
}

#[test]
fn who_does_not_trust_it_or_does_not_speak_tls_is_let_go() {
    let pair = Pair::new(&["localhost"]);
    let rig = rig(&pair, Make { limits: "header_ms = 100".to_owned(), ..Make::default() });
    let error = say(&mut caller(&rig, &Pair::new(&["localhost"])), ASK).unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    let mut plain = rig.connect();
    plain.write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).as_bytes()).unwrap();
    let said = rest(&mut plain);
    assert!(!said.contains("HTTP"), "{said}");
    // Nor is anybody waited for who says nothing.
    let mut silent = rig.connect();
    assert_eq!(silent.read(&mut [0; 9]).unwrap_or(0), 0);
    assert!(rig.endpoint.seen().is_empty());
    assert_eq!(rig.audit.entries().intents.len(), 0);
    let mut caller = caller(&rig, &pair);
    say(&mut caller, ASK).unwrap();
    assert_eq!(Reply::read(&mut caller).status, 200);
}

#[test]
fn a_stop_cuts_streams_with_a_last_event() {
    let pair = Pair::new(&["localhost"]);
    let rig = rig(&pair, endless());
    let mut callers: Vec<_> = (0..20).map(|_| streaming(&rig, &pair)).collect();
    callers.iter_mut().for_each(|caller| assert!(chunk(caller).is_some()));
    let cut = stop_all(&rig);
    assert_eq!((cut.told, rig.gate.under_way()), (20, 0));
    // The order is answered: whatever comes now had left before that.
    rig.endpoint.wait_until(|counters| counters.streams == 0);
    for mut caller in callers {
        let mut text = String::new();
        while let Some(chunk) = chunk(&mut caller) {
            text.push_str(&chunk);
        }
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let event: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["error"]["code"], "stopped", "{text}");
    }
    assert!(rig.audit.entries().outcomes.values().all(|outcome| outcome.ending == Ending::Stopped));
}

#[test]
fn callers_who_do_not_read_are_cut_as_well() {
    const SIZE: usize = 64 << 20;
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
    let flood = Fault::Raw {
        status: 200,
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        body: event.repeat(SIZE / event.len()),
    };
    let pair = Pair::new(&["localhost"]);
    let rig = rig(&pair, Make { endpoint: FakeEndpoint::builder().script([Some(flood)]), ..Make::default() });
    let mut caller = streaming(&rig, &pair);
    let cut = stop_all(&rig);
    assert_eq!((cut.told, rig.gate.under_way()), (1, 0));
    assert!(rest(&mut caller).len() < SIZE / 2, "what waited in a buffer does not follow for ever");
}

#[test]
fn a_new_certificate_is_for_new_connections() {
    let (old, new) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    let rig = rig(&old, endless());
    let mut open = streaming(&rig, &old);
    for (name, text) in files(&new) {
        std::fs::write(rig.folder.path().join(name), text).unwrap();
    }
    let alice = loadline_gate::caller::Caller::new("alice", "alice", "public");
    assert_eq!(rig.rekey(&[("alice-key", alice)]).told, 0);
    streaming(&rig, &new);
    assert!(say(&mut caller(&rig, &old), ASK).is_err());
    // The old one goes on.
    assert!(chunk(&mut open).is_some() && chunk(&mut open).is_some());
}

#[test]
fn a_wrong_pair_is_named_before_anything_listens() {
    let folder = tempfile::tempdir().unwrap();
    let authority = loadline_testkit::authority::TestAuthority::new(crate::support::at(0));
    let text = crate::support::config_text(&authority, "http://127.0.0.1:9/v1", "", TLS);
    let marks = Some(loadline_testkit::authority::open_marks());
    let license = authority.license("m", loadline_policy::policy::Stage::General, marks);
    crate::support::write_files(folder.path(), &authority, &license);
    let config = loadline_gate::config::parse(&text, folder.path()).unwrap();
    let load = || {
        let (keys, key) = (|_: &[u8]| Ok(Vec::new()), |_: &str| Some("k".to_owned()));
        let none = loadline_gate::upstream::resident::none;
        loadline_gate::config::load(&config, &keys, &key, &none, crate::support::at(0))
    };
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let said = || load().unwrap_err().to_string();
    assert!(said().contains("cert.pem`: there is no such file"), "{}", said());
    let (one, other) = (Pair::new(&["localhost"]), Pair::new(&["localhost"]));
    write("cert.pem", &one.certificate_pem);
    write("key.pem", &other.key_pem);
    let problem = said();
    assert!(
        problem.contains("`tls.key`")
            && problem.contains("key.pem`: is not the key of the certificate in")
            && problem.contains("cert.pem`"),
        "{problem}"
    );
    write("key.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    assert!(said().contains("key.pem`: holds no private key that can be read"), "{}", said());
    assert!(load().unwrap_err().0[0].hint.as_ref().unwrap().contains("without a passphrase"));
    write("cert.pem", "hello");
    assert!(said().contains("cert.pem`: holds no certificate"), "{}", said());
    write("cert.pem", &one.certificate_pem);
    write("key.pem", &one.key_pem);
    assert_eq!(load().unwrap().warnings, Vec::<String>::new());
    let path = folder.path().join("key.pem");
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let warned = load().unwrap().warnings;
    assert!(warned.len() == 1 && warned[0].contains("(mode 644): `chmod 600"), "{warned:?}");
}
