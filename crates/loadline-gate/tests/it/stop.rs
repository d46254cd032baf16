//! Stopping: durable first, then nothing more, to the last byte.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use loadline_gate::caller::Caller;
use loadline_gate::ledger::{Ending, StopError, StopTarget};
use loadline_policy::policy::Stage;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};

use crate::support::{ASK, Make, Reply, Rig, STREAM, chunk, open_stream, post, rest};

fn order(rig: &Rig, target: &StopTarget) -> Result<u64, StopError> {
    let order = Bytes::from(serde_json::to_vec(target).unwrap());
    rig.runtime.block_on(rig.gate.order(order)).map(|ordered| ordered.cut.told)
}

fn streaming() -> Rig {
    let endless = |ask: &loadline_testkit::endpoint::Ask| {
        (ask.body["stream"] == true).then(|| Fault::Endless(Duration::from_millis(1)))
    };
    let callers = vec![
        ("alice-key", Caller::new("alice", "alice", "public")),
        ("bob-key", Caller::new("bob", "bob", "public")),
    ];
    Rig::make(Make { endpoint: FakeEndpoint::builder().fault(endless), callers, ..Make::default() })
}

#[test]
fn each_target_stops_what_it_names_and_no_more() {
    for (target, stopped, served) in [
        (StopTarget::Key("alice".to_owned()), ("alice-key", "m"), Some(("bob-key", "m"))),
        (StopTarget::Model("m".to_owned()), ("bob-key", "m"), Some(("bob-key", "c"))),
        (StopTarget::All, ("bob-key", "m"), None),
    ] {
        let rig = streaming();
        assert_eq!(order(&rig, &target).unwrap(), 0);
        let ask = |(key, model): (&str, &str)| {
            let path = if model == "c" { "/v1/messages" } else { "/v1/chat/completions" };
            rig.ask(path, key, &ASK.replace(r#""m""#, &format!("{model:?}")))
        };
        let reply = ask(stopped);
        assert_eq!((reply.status, reply.code().as_str()), (403, "stopped"), "{target:?}");
        if let Some(served) = served {
            assert_eq!(ask(served).status, 200, "{target:?}");
        }
    }
    let rig = streaming();
    order(&rig, &StopTarget::License(rig.license)).unwrap();
    assert_eq!(rig.chat(ASK).code(), "stopped");
}

#[test]
fn a_stop_of_public_weights_says_that_it_is_this_gate_only() {
    let rig = Rig::make(Make { stage: Stage::WeightsReleased, marks: None, ..Make::default() });
    assert_eq!(rig.chat(ASK).status, 200);
    order(&rig, &StopTarget::Model("m".to_owned())).unwrap();
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (403, "stopped"));
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(message, "this model is stopped at this gate; its weights are public");
    let snapshot = rig.gate.snapshot();
    let covered = |target| {
        let (models, known) = snapshot.covered(&target);
        (models.iter().map(|served| served.name.to_string()).collect::<Vec<_>>(), known)
    };
    let both = vec!["c".to_owned(), "m".to_owned()];
    assert_eq!(covered(StopTarget::All), (both.clone(), true));
    assert_eq!(covered(StopTarget::License(rig.license)), (both, true));
    assert_eq!(covered(StopTarget::Model("m".to_owned())), (vec!["m".to_owned()], true));
    assert_eq!(covered(StopTarget::Key("alice".to_owned())), (Vec::new(), true));
    for target in [StopTarget::Key("m".to_owned()), StopTarget::Model("alice".to_owned())] {
        assert_eq!(covered(target), (Vec::new(), false));
    }
}

#[test]
fn streams_are_cut_with_a_last_event_and_their_upstreams_dropped() {
    let rig = streaming();
    let mut streams: Vec<_> = (0..100).map(|_| open_stream(&rig, "alice-key", STREAM)).collect();
    let mut spared = open_stream(&rig, "bob-key", STREAM);
    streams.iter_mut().for_each(|stream| assert!(chunk(stream).is_some()));
    assert_eq!(order(&rig, &StopTarget::Key("alice".to_owned())).unwrap(), 100);
    // The order is answered: whatever a stream still gives was sent before that.
    rig.endpoint.wait_until(|counters| counters.streams == 1);
    for mut stream in streams {
        let mut text = String::new();
        while let Some(chunk) = chunk(&mut stream) {
            text.push_str(&chunk);
        }
        let last = text.trim_end().rsplit("data: ").next().unwrap();
        let event: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(event["error"]["code"], "stopped");
    }
    assert!(chunk(&mut spared).is_some());
    let outcomes = rig.audit.entries().outcomes;
    assert_eq!(outcomes.values().filter(|outcome| outcome.ending == Ending::Stopped).count(), 100);
    assert!(outcomes.values().all(|outcome| outcome.used.output > 0));
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
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().script([Some(flood)]), ..Make::default() });
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    // Nobody reads, so every buffer on the way fills, and most of it never leaves the upstream.
    let order = Bytes::from(serde_json::to_vec(&StopTarget::All).unwrap());
    let ordered = rig.runtime.block_on(rig.gate.order(order)).unwrap();
    assert_eq!(ordered.cut.told, 1);
    crate::support::until("the request has ended", || rig.gate.under_way() == 0);
    let outcome = rig.audit.entries().outcomes.into_values().next().unwrap();
    assert_eq!(outcome.ending, Ending::Stopped);
    assert!(rest(&mut stream).len() < SIZE / 2, "what waited in a buffer does not follow for ever");
}

/// What the system holds back for a caller who does not read would leave as soon as there is room: it is thrown away.
#[test]
fn nothing_that_waits_in_a_buffer_leaves_after_the_answer() {
    let rig = streaming();
    let mut streams: Vec<_> = (0..4).map(|_| open_stream(&rig, "alice-key", STREAM)).collect();
    for stream in &streams {
        socket2::SockRef::from(stream.get_ref()).set_recv_buffer_size(2_048).unwrap();
    }
    let waiting = |stream: &BufReader<std::net::TcpStream>| {
        rustix::io::ioctl_fionread(stream.get_ref()).unwrap() + stream.buffer().len() as u64
    };
    // They have had all that there is room for: from here on the gate's system holds bytes back.
    crate::support::until("full buffers", || {
        let before: Vec<_> = streams.iter().map(waiting).collect();
        std::thread::sleep(Duration::from_millis(300));
        before == streams.iter().map(waiting).collect::<Vec<_>>()
    });
    assert_eq!(order(&rig, &StopTarget::All).unwrap(), 4);
    let at_the_answer: Vec<_> = streams.iter().map(waiting).collect();
    let read: Vec<_> = streams.iter_mut().map(|stream| rest(stream).len() as u64).collect();
    assert_eq!(read, at_the_answer);
}

/// An answer that has ended for the gate may still wait in its buffers for a caller who does not read.
#[test]
fn an_answer_that_has_ended_and_not_left_is_thrown_away_too() {
    let whole = Fault::Raw {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: format!("{{\"text\":\"{}\"}}", "word ".repeat(100_000)),
    };
    let rig = Rig::make(Make { endpoint: FakeEndpoint::builder().script([Some(whole)]), ..Make::default() });
    let stream = rig.connect();
    socket2::SockRef::from(&stream).set_recv_buffer_size(2_048).unwrap();
    (&stream).write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).as_bytes()).unwrap();
    crate::support::until("the whole answer", || rig.audit.entries().outcomes.len() == 1);
    crate::support::until("its end", || rig.gate.under_way() == 0);
    let waiting = || rustix::io::ioctl_fionread(&stream).unwrap();
    crate::support::until("full buffers", || {
        let before = waiting();
        std::thread::sleep(Duration::from_millis(300));
        before > 0 && before == waiting()
    });
    assert_eq!(order(&rig, &StopTarget::Key("alice".to_owned())).unwrap(), 1);
    let at_the_answer = waiting();
    assert_eq!(rest(&mut &stream).len() as u64, at_the_answer);
}

#[test]
fn requests_that_wait_for_an_upstream_are_cut() {
    let rig =
        Rig::make(Make { endpoint: FakeEndpoint::builder().fault(|_| Some(Fault::Hang)), ..Make::default() });
    let mut stream = rig.connect();
    stream.write_all(post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK).as_bytes()).unwrap();
    rig.endpoint.wait_until(|counters| counters.in_flight == 1);
    assert_eq!(order(&rig, &StopTarget::All).unwrap(), 1);
    let reply = Reply::read(&mut BufReader::new(stream));
    assert_eq!((reply.status, reply.code().as_str()), (403, "stopped"));
    rig.endpoint.wait_until(|counters| counters.in_flight == 0);
}

#[test]
fn an_order_that_cannot_be_kept_closes_the_gate() {
    let rig = streaming();
    let mut under_way = open_stream(&rig, "alice-key", STREAM);
    assert!(chunk(&mut under_way).is_some());
    rig.stops.fail(true);
    assert!(matches!(order(&rig, &StopTarget::Key("bob".to_owned())), Err(StopError::Disk(_))));
    assert!(rest(&mut under_way).contains("stopped"), "what was under way ends");
    let reply = rig.chat(ASK);
    assert_eq!((reply.status, reply.code().as_str()), (503, "audit_unavailable"));
}

#[test]
fn what_is_no_order_changes_nothing() {
    let rig = Rig::new();
    let refused = rig.runtime.block_on(rig.gate.order(Bytes::from_static(b"stop!")));
    assert!(matches!(refused, Err(StopError::Refused { .. })));
    assert_eq!(rig.chat(ASK).status, 200);
}

#[test]
fn a_revoked_key_is_refused_on_warm_connections_and_its_streams_are_cut() {
    let rig = streaming();
    let mut warm = rig.connect();
    let mut answers = BufReader::new(warm.try_clone().unwrap());
    let request = post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK);
    warm.write_all(request.as_bytes()).unwrap();
    assert_eq!(Reply::read(&mut answers).status, 200);
    let mut stream = open_stream(&rig, "alice-key", STREAM);
    assert!(chunk(&mut stream).is_some());

    let bob = ("bob-key", Caller::new("bob", "bob", "public"));
    let revoked = Caller { revoked: true, ..Caller::new("alice", "alice", "public") };
    assert_eq!(rig.rekey(&[("alice-key", revoked), bob.clone()]).told, 1);
    warm.write_all(request.as_bytes()).unwrap();
    let reply = Reply::read(&mut answers);
    assert_eq!((reply.status, reply.code().as_str()), (401, "key_revoked"));
    rig.endpoint.wait_until(|counters| counters.streams == 0);
    warm.write_all(b"GET /v1/models HTTP/1.1\r\nhost: g\r\nx-api-key: alice-key\r\n\r\n").unwrap();
    assert_eq!(Reply::read(&mut answers).code(), "key_revoked");
    rig.rekey(&[bob]);
    assert_eq!(rig.chat(ASK).code(), "key_unknown");
}

/// Nothing is served after the answer to a stop or a revocation, whatever happens at the same time: callers hammer a
/// hundred warm connections meanwhile.
#[test]
fn nothing_is_served_after_the_answer() {
    let rig = Arc::new(streaming());
    let (answered, tries) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let late = Arc::new(Mutex::new(Vec::new()));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let (rig, answered, tries, late) = (rig.clone(), answered.clone(), tries.clone(), late.clone());
            std::thread::spawn(move || {
                let connect = || {
                    let stream = rig.connect();
                    (stream.try_clone().unwrap(), BufReader::new(stream))
                };
                let mut connections: Vec<_> = (0..5).map(|_| connect()).collect();
                let request = post("/v1/chat/completions", "x-api-key: alice-key\r\n", ASK);
                let mut after = 0;
                while after < 10 {
                    for (stream, answers) in &mut connections {
                        let was_answered = answered.load(Ordering::SeqCst);
                        if stream.write_all(request.as_bytes()).is_err() {
                            // It was too slow to be told, and was reset.
                            (*stream, *answers) = connect();
                            continue;
                        }
                        let reply = Reply::read(answers);
                        tries.fetch_add(usize::from(was_answered), Ordering::SeqCst);
                        if was_answered && reply.status == 200 {
                            late.lock().unwrap().push(reply);
                        }
                    }
                    after += usize::from(answered.load(Ordering::SeqCst));
                }
            })
        })
        .collect();
    crate::support::until("requests", || rig.endpoint.counters().requests > 200);
    let revoked = Caller { revoked: true, ..Caller::new("alice", "alice", "public") };
    rig.rekey(&[("alice-key", revoked)]);
    answered.store(true, Ordering::SeqCst);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(late.lock().unwrap().is_empty(), "{:?}", late.lock().unwrap().first());
    assert!(tries.load(Ordering::SeqCst) >= 800);
}
