//! Watching between real sockets: what is scored, what is kept, and what an alarm does.

use std::sync::{Arc, Mutex};

use loadline_gate::admin::OperatorKey;
use loadline_gate::ledger::{Ending, Event, StopTarget};
use loadline_gate::watch::Watcher;
use loadline_testkit::endpoint::{Builder, FakeEndpoint, Fault};
use serde_json::Value;

use crate::support::{ASK, Make, Rig, STREAM, chunk, open_stream, until};

const PROBE: &str = r#"
[[watch]]
name = "sums"
models = ["m"]
suite = "arithmetic"
every_s = 3600
least = 0.9
source = "at least 0.93, less 0.03"
alpha = 0.01
on_alarm = "suspend_locally"
"#;

const LIVE: &str = r#"
[[guard]]
name = "sorry"
on = "output"
action = "score"
pattern = '(?i)\bI cannot\b'
measured = "none"

[[watch]]
name = "refusals"
models = ["m"]
guard = "sorry"
share = 1.0
least = 0.5
source = "the operator"
alpha = 0.05
"#;

pub struct Watched {
    pub rig: Rig,
    pub watcher: Arc<Watcher>,
    pub told: Arc<Mutex<Vec<String>>>,
}

fn open(rig: &Rig, told: &Arc<Mutex<Vec<String>>>) -> std::io::Result<Arc<Watcher>> {
    let random: loadline_gate::audit::Random =
        Arc::new(|buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other));
    let told = Arc::clone(told);
    let tell = Arc::new(move |what| told.lock().unwrap().push(what));
    Watcher::open(rig.loaded.watches.clone(), rig.folder.path(), &random, tell)
}

fn watched(tables: &str, answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Watched {
    watched_at(tables, FakeEndpoint::builder().answer(move |ask| answer(&ask.prompt)))
}

fn watched_at(tables: &str, endpoint: Builder) -> Watched {
    watched_with(Make { endpoint, tables: tables.to_owned(), ..Make::default() })
}

pub fn watched_with(make: Make) -> Watched {
    let rig = Rig::make(make);
    let told = Arc::default();
    let watcher = open(&rig, &told).unwrap();
    rig.runtime.block_on(rig.gate.watch(Arc::clone(&watcher)));
    Watched { rig, watcher, told }
}

impl Watched {
    pub fn row(&self) -> Value {
        self.watcher.report(&self.rig.gate)["watched"][0].clone()
    }

    pub fn probe(&self, times: usize) {
        let watch = Arc::clone(self.watcher.watch("sums").unwrap());
        for _ in 0..times {
            self.rig.runtime.block_on(self.watcher.probe(&self.rig.gate, &watch, &"m".into()));
        }
    }

    fn drifted(&self) -> usize {
        let events = self.rig.audit.entries().events;
        events.iter().filter(|event| matches!(event, Event::Drift { .. })).count()
    }
}

#[test]
fn a_model_that_becomes_worse_is_suspended_until_the_operator_clears_it() {
    let watched = watched(PROBE, |_| "I do not know.".to_owned());
    let rig = &watched.rig;
    assert_eq!(rig.chat(ASK).status, 200);
    let mut stream = open_stream(rig, "alice-key", STREAM);
    while chunk(&mut stream).is_some() {}
    watched.probe(2);
    assert_eq!((rig.chat(ASK).status, watched.drifted()), (200, 0), "two wrong answers are no drift");
    watched.probe(30);
    let refused = rig.chat(ASK);
    assert_eq!((refused.status, refused.code().as_str()), (403, "drift_alarm"));
    assert_eq!(watched.drifted(), 1, "an alarm is raised once");
    let told = watched.told.lock().unwrap().clone();
    assert!(
        told.len() == 1
            && told[0].contains(
                "`m` has drifted: watch `sums` finds it below 0.9 (the operator's own figure: at least"
            ),
        "{told:?}"
    );
    // The other model is served, and the suspended one is not asked any more.
    let message = r#"{"model":"c","max_tokens":9,"messages":[{"role":"user","content":"hello"}]}"#;
    assert_eq!(rig.ask("/v1/messages", "alice-key", message).status, 200);
    let scored = watched.row()["estimate"]["n"].as_u64().unwrap();
    watched.probe(3);
    assert_eq!(watched.row()["estimate"]["n"].as_u64().unwrap(), scored);

    // A restart and a reload change nothing.
    rig.rekey(&[("alice-key", loadline_gate::caller::Caller::new("alice", "alice", "public"))]);
    assert_eq!(rig.chat(ASK).code(), "drift_alarm");
    let again = open(rig, &watched.told).unwrap();
    assert_eq!(again.suspended().len(), 1);
    assert_eq!(again.report(&rig.gate)["watched"], watched.watcher.report(&rig.gate)["watched"]);

    assert!(!rig.runtime.block_on(watched.watcher.clear(&rig.gate, "sums", "c")).unwrap());
    assert!(rig.runtime.block_on(watched.watcher.clear(&rig.gate, "sums", "m")).unwrap());
    assert_eq!(rig.chat(ASK).status, 200);
    assert!(open(rig, &watched.told).unwrap().suspended().is_empty());
    assert_eq!(watched.row()["raised_at"], Value::Null);
}

#[test]
fn a_probe_is_written_down_before_it_is_asked_and_none_comes_again() {
    let watched = watched(PROBE, |_| "no".to_owned());
    watched.probe(3);
    let entries = watched.rig.audit.entries();
    let mine: Vec<_> =
        entries.intents.iter().filter(|(_, intent)| &*intent.key == "loadline-watch").collect();
    assert_eq!(mine.len(), 3);
    assert!(mine.iter().all(|(id, _)| entries.outcomes[id].ending == Ending::Complete));
    assert!(
        mine.iter().all(|(_, intent)| intent.license == Some(watched.rig.license) && intent.reserved > 0)
    );
    let prompts: Vec<_> = watched.rig.endpoint.seen().iter().map(|seen| seen.body.clone()).collect();
    assert!(prompts[0] != prompts[1] && prompts[1] != prompts[2], "{prompts:?}");
    assert!(prompts[0].contains("behind/m") && prompts[0].contains("\"temperature\":0"));
    // After a restart the questions go on where they stopped.
    let again = open(&watched.rig, &watched.told).unwrap();
    let watch = Arc::clone(again.watch("sums").unwrap());
    watched.rig.runtime.block_on(again.probe(&watched.rig.gate, &watch, &"m".into()));
    let last = watched.rig.endpoint.seen().last().unwrap().body.clone();
    assert!(!prompts.contains(&last));
    // Without a fresh standing nothing is asked.
    watched.rig.clock.pass(10_000_000);
    watched.probe(1);
    assert_eq!(watched.rig.endpoint.seen().len(), 4);
}

#[test]
fn an_answer_that_does_not_come_is_unscored() {
    let faults = [Some(Fault::Server), Some(Fault::CutBody), Some(Fault::Server)];
    let watched = watched_at(PROBE, FakeEndpoint::builder().answer(|_| "no".to_owned()).script(faults));
    watched.probe(3);
    let figures = || {
        let row = watched.row();
        (row["unscored"].as_u64(), row["estimate"]["n"].as_u64())
    };
    assert_eq!((figures(), watched.rig.endpoint.seen().len()), ((Some(3), None), 3));
    watched.probe(1);
    assert_eq!(figures(), (Some(3), Some(1)));
    assert_eq!(watched.row()["source"], "the operator's own figure: at least 0.93, less 0.03");
    // What cannot be written down is not asked, so there is nothing to score.
    watched.rig.audit.fail(true);
    watched.probe(1);
    assert_eq!((figures(), watched.rig.endpoint.seen().len()), ((Some(3), Some(1)), 4));
}

/// A model that says nothing has answered, and is wrong; where none answers there is no alarm, and that is told once.
#[test]
fn an_empty_answer_is_wrong_and_silence_is_told() {
    let watched = watched_at(PROBE, FakeEndpoint::builder().fault(|_| Some(Fault::NullContent)));
    watched.probe(2);
    assert_eq!(
        (watched.row()["unscored"].as_u64(), watched.row()["estimate"]["point"].as_f64()),
        (Some(0), Some(0.0))
    );

    let silent = watched_at(PROBE, FakeEndpoint::builder().fault(|_| Some(Fault::Server)));
    silent.probe(9);
    assert_eq!(silent.told.lock().unwrap().len(), 0);
    silent.probe(12);
    let told = silent.told.lock().unwrap().clone();
    assert!(
        told.len() == 1 && told[0].contains("watch `sums` got no answer from `m` 10 times in a row"),
        "{told:?}"
    );
}

/// A watch that was renamed or taken out lifts nothing, and its questions do not come again.
#[test]
fn what_a_watch_suspended_stays_suspended_without_it() {
    let watched = watched(PROBE, |_| "no".to_owned());
    watched.probe(30);
    let state = std::fs::read(watched.rig.folder.path().join("watch.json")).unwrap();
    for tables in [PROBE.replace("\"sums\"", "\"others\""), String::new()] {
        let rig = Rig::make(Make { tables, ..Make::default() });
        let path = rig.folder.path().join("watch.json");
        std::fs::write(&path, &state).unwrap();
        assert!(Watcher::is_needed(rig.folder.path()).unwrap());
        let watcher = open(&rig, &Arc::default()).unwrap();
        rig.runtime.block_on(rig.gate.watch(Arc::clone(&watcher)));
        assert_eq!(rig.chat(ASK).code(), "drift_alarm");
        let gone = serde_json::json!([{ "watch": "sums", "model": "m" }]);
        assert_eq!(watcher.report(&rig.gate)["suspended_by_watches_gone"], gone);
        assert!(!rig.runtime.block_on(watcher.clear(&rig.gate, "sums", "c")).unwrap());
        assert!(rig.runtime.block_on(watcher.clear(&rig.gate, "sums", "m")).unwrap());
        assert_eq!(rig.chat(ASK).status, 200);
        assert!(!Watcher::is_needed(rig.folder.path()).unwrap());
        let kept: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let tracks = kept["tracks"].as_array().unwrap();
        let old = tracks.iter().find(|track| track["watch"] == "sums").unwrap();
        assert!(old["asked"].as_u64() >= Some(5) && old["suspended"] == false, "{old}");
    }
}

fn stop(rig: &Rig, target: &StopTarget) {
    let order = serde_json::to_vec(target).unwrap();
    rig.runtime.block_on(rig.gate.order(order.into())).unwrap();
}

/// The answer to a stop is the last moment at which a question may be under way.
#[test]
fn a_question_is_cut_by_a_stop_and_written_down_as_stopped() {
    let watched = watched_at(PROBE, FakeEndpoint::builder().fault(|_| Some(Fault::Hang)));
    let rig = &watched.rig;
    let (watcher, gate) = (Arc::clone(&watched.watcher), Arc::clone(&rig.gate));
    let watch = Arc::clone(watcher.watch("sums").unwrap());
    let asked = rig.runtime.spawn(async move { watcher.probe(&gate, &watch, &"m".into()).await });
    rig.endpoint.wait_until(|counters| counters.in_flight == 1);
    stop(rig, &StopTarget::Model("m".to_owned()));
    assert_eq!(rig.gate.under_way(), 0);
    rig.endpoint.wait_until(|counters| counters.in_flight == 0);
    rig.runtime.block_on(asked).unwrap();
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.len() == 1 && outcomes.values().all(|outcome| outcome.ending == Ending::Stopped));
    watched.probe(1);
    assert_eq!(rig.endpoint.seen().len(), 1, "a stopped model is asked nothing");
}

/// The gate's own key is a key like any other: who stops it stops the probes, and nothing else.
#[test]
fn a_stop_of_the_key_of_probes_ends_them_alone() {
    let hangs =
        |ask: &loadline_testkit::endpoint::Ask| (!ask.prompt.contains("hello there")).then_some(Fault::Hang);
    let watched = watched_at(PROBE, FakeEndpoint::builder().fault(hangs));
    let rig = &watched.rig;
    let (watcher, gate) = (Arc::clone(&watched.watcher), Arc::clone(&rig.gate));
    let watch = Arc::clone(watcher.watch("sums").unwrap());
    let asked = rig.runtime.spawn(async move { watcher.probe(&gate, &watch, &"m".into()).await });
    rig.endpoint.wait_until(|counters| counters.in_flight == 1);
    let target = StopTarget::Key("loadline-watch".to_owned());
    assert!(rig.gate.snapshot().covered(&target).1, "the gate knows its own key");
    stop(rig, &StopTarget::Key("alice".to_owned()));
    assert_eq!(rig.gate.under_way(), 1, "the stop of another key is not about it");
    stop(rig, &target);
    assert_eq!(rig.gate.under_way(), 0);
    rig.endpoint.wait_until(|counters| counters.in_flight == 0);
    rig.runtime.block_on(asked).unwrap();
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.len() == 1 && outcomes.values().all(|outcome| outcome.ending == Ending::Stopped));
    watched.probe(2);
    assert_eq!(rig.endpoint.seen().len(), 1, "nothing more is asked");
    // The model is served as before.
    rig.rekey(&[("bob-key", loadline_gate::caller::Caller::new("bob", "bob", "public"))]);
    assert_eq!(rig.ask("/v1/chat/completions", "bob-key", ASK).status, 200);
}

/// The stop comes while the intent is on its way to the disk.
#[test]
fn a_question_whose_stop_was_answered_is_never_sent() {
    let watched = watched(PROBE, |_| "no".to_owned());
    let rig = &watched.rig;
    let (written, slow) = (rig.audit.hold().unwrap(), Arc::clone(&rig.gate));
    let (watcher, watch) = (Arc::clone(&watched.watcher), Arc::clone(watched.watcher.watch("sums").unwrap()));
    let asked = rig.runtime.spawn(async move { watcher.probe(&slow, &watch, &"m".into()).await });
    until("an intent", || rig.audit.entries().intents.len() == 1);
    stop(rig, &StopTarget::All);
    drop(written);
    rig.runtime.block_on(asked).unwrap();
    assert!(rig.endpoint.seen().is_empty());
    let outcomes = rig.audit.entries().outcomes;
    assert!(outcomes.len() == 1 && outcomes.values().all(|outcome| outcome.ending == Ending::Stopped));
}

const JUDGED: &str = r#"
[[upstream]]
name = "judges"
url = "JUDGES"

[[guard]]
name = "judge"
on = "output"
action = "score"
judge = { upstream = "judges", model = "j", prompt = "Is this harmful?" }
measured = "none"

[[watch]]
name = "harm"
models = ["m"]
guard = "judge"
share = 1.0
least = 0.5
source = "the operator"
alpha = 0.05
"#;

#[test]
fn answers_that_wait_for_a_judge_are_dropped_once_their_model_is_forbidden() {
    let judges = FakeEndpoint::builder().answer(|_| "no".to_owned()).start();
    let tables = JUDGED.replace("JUDGES", &judges.base_url());
    type Forbid = fn(&Rig);
    let ways: [Forbid; 4] = [
        |rig| stop(rig, &StopTarget::All),
        |rig| stop(rig, &StopTarget::Model("m".to_owned())),
        |rig| {
            rig.stand(2, 0, 3_600, &[(rig.license, loadline_trust::StandingState::Revoked)]).unwrap();
        },
        |rig| rig.audit.fail(true),
    ];
    for forbid in ways {
        let watched = watched(&tables, |_| "fine".to_owned());
        let rig = &watched.rig;
        for _ in 0..3 {
            assert_eq!(rig.chat(ASK).status, 200);
        }
        forbid(rig);
        let work = rig.runtime.spawn(Arc::clone(&watched.watcher).work(Arc::clone(&rig.gate)));
        until("they are dropped", || watched.watcher.dropped() == 3);
        assert_eq!(watched.row()["estimate"], Value::Null);
        work.abort();
    }
    assert!(judges.seen().is_empty());
    // One that is being judged is cut, too.
    let judges = FakeEndpoint::builder().fault(|_| Some(Fault::Hang)).start();
    let watched = watched(&JUDGED.replace("JUDGES", &judges.base_url()), |_| "fine".to_owned());
    let rig = &watched.rig;
    let work = rig.runtime.spawn(Arc::clone(&watched.watcher).work(Arc::clone(&rig.gate)));
    assert_eq!(rig.chat(ASK).status, 200);
    judges.wait_until(|counters| counters.in_flight == 1);
    stop(rig, &StopTarget::Model("m".to_owned()));
    judges.wait_until(|counters| counters.in_flight == 0);
    assert_eq!(watched.watcher.dropped(), 1);
    work.abort();
}

#[test]
fn a_share_of_the_traffic_is_scored_by_a_guard_that_refuses_nothing() {
    let say = |prompt: &str| if prompt.contains("bad") { "I cannot do that." } else { "fine" }.to_owned();
    let watched = watched(LIVE, say);
    let rig = &watched.rig;
    let work = rig.runtime.spawn(Arc::clone(&watched.watcher).work(Arc::clone(&rig.gate)));
    let scored = |n: u64| {
        until("scores", || watched.row()["estimate"]["n"].as_u64() == Some(n));
        watched.row()["right"].as_u64().unwrap()
    };
    assert_eq!(rig.chat(ASK).status, 200);
    let mut stream = open_stream(rig, "alice-key", STREAM);
    while chunk(&mut stream).is_some() {}
    assert_eq!(scored(2), 2);
    let bad = ASK.replace("hello there", "something bad");
    assert_eq!(rig.chat(&bad).status, 200);
    assert_eq!(scored(3), 2);
    for _ in 0..20 {
        assert_eq!(rig.chat(&bad).status, 200);
    }
    assert_eq!(scored(23), 2);
    until("an alarm", || watched.drifted() == 1);
    // It was to be told of, and no more.
    assert_eq!(rig.chat(ASK).status, 200);
    // A row follows its score.
    let is_row = |event: &&Event| matches!(event, Event::Watched { right: Some(_), .. });
    until("rows", || rig.audit.entries().events.iter().filter(is_row).count() >= 23);
    assert_eq!(watched.watcher.alarms(), 1);
    work.abort();
}

#[test]
fn of_a_small_share_few_are_scored_and_what_nobody_has_time_for_is_dropped_and_counted() {
    let few = watched(&LIVE.replace("share = 1.0", "share = 0.2"), |_| "fine".to_owned());
    let work = few.rig.runtime.spawn(Arc::clone(&few.watcher).work(Arc::clone(&few.rig.gate)));
    for _ in 0..150 {
        assert_eq!(few.rig.chat(ASK).status, 200);
    }
    until("scores", || few.row()["estimate"]["n"].as_u64().is_some_and(|n| n >= 5));
    // 30 expected; beyond 70 is eight standard errors away.
    assert!(few.row()["estimate"]["n"].as_u64().unwrap() < 70);
    work.abort();

    let full = watched(LIVE, |_| "fine".to_owned());
    for _ in 0..260 {
        assert_eq!(full.rig.chat(ASK).status, 200);
    }
    // Nobody scores: 256 wait.
    assert_eq!(full.watcher.dropped(), 4);
}

#[test]
fn a_damaged_state_is_not_taken_for_none() {
    let watched = watched(PROBE, |_| "no".to_owned());
    watched.probe(1);
    let path = watched.rig.folder.path().join("watch.json");
    let good = std::fs::read_to_string(&path).unwrap();
    for bad in [good.replace("loadline-watch/1", "loadline-watch/2"), good[..good.len() / 2].to_owned()] {
        std::fs::write(&path, bad).unwrap();
        let error = open(&watched.rig, &watched.told).err().unwrap().to_string();
        assert!(error.contains("watch.json` is damaged") && error.contains("suspended"), "{error}");
    }
    // Another definition begins anew.
    std::fs::write(&path, good.replacen("\"digest\": \"sha256:", "\"digest\": \"sha256:0", 1)).unwrap();
    assert!(open(&watched.rig, &watched.told).is_err());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let seed = watched.rig.folder.path().join("watch.seed").metadata().unwrap();
        assert_eq!((seed.permissions().mode() & 0o777, seed.len()), (0o600, 32));
    }
}

/// It is read for ever. It was kept under another definition: its figures begin anew, what it suspended stays.
#[test]
fn the_golden_state_is_read() {
    let rig = Rig::make(Make { tables: PROBE.to_owned(), ..Make::default() });
    std::fs::write(rig.folder.path().join("watch.json"), include_str!("../golden/watch.json")).unwrap();
    let watcher = open(&rig, &Arc::default()).unwrap();
    assert_eq!(watcher.suspended().iter().map(|name| &**name).collect::<Vec<_>>(), ["m"]);
    rig.runtime.block_on(rig.gate.watch(Arc::clone(&watcher)));
    assert_eq!(rig.chat(ASK).code(), "drift_alarm");
    assert_eq!(watcher.report(&rig.gate)["watched"][0]["estimate"], Value::Null);
}

#[test]
fn what_is_wrong_with_a_watch_is_said_at_its_place() {
    use loadline_gate::config;
    let authority = loadline_testkit::authority::TestAuthority::new(crate::support::at(0));
    let base = crate::support::config_text(&authority, "http://127.0.0.1:9/v1", "", "");
    for (change, to, expected) in [
        ("suite = \"arithmetic\"", "suite = \"arithmetics\"", "did you mean `arithmetic`?"),
        ("suite = \"arithmetic\"", "", "has not exactly one of `guard` and `suite`"),
        ("suite = \"arithmetic\"", "guard = \"g\"\nshare = 0.1", "no guard is named `g`"),
        ("least = 0.9", "least = 1", "`watch[1].least`: is 1"),
        ("[\"m\"]", "[\"z\"]", "no model is named `z`"),
        ("source =", "sauce =", "`watch[1].source`: is missing"),
        ("every_s = 3600", "every_s = 3600\nlevel = 99", "has no level 99"),
    ] {
        assert!(PROBE.contains(change), "{change}");
        let text = format!("{base}{}", PROBE.replacen(change, to, 1));
        let problem =
            config::parse(&text, std::path::Path::new("/etc/gate")).map(|_| ()).unwrap_err().to_string();
        assert!(problem.contains(expected), "{to}: {problem}");
    }
}

#[test]
fn the_operators_door_shows_and_clears_with_the_key_only() {
    use loadline_gate::admin::{Admin, Reload};
    use loadline_gate::watch::door::ask;
    let watched = watched(PROBE, |_| "no".to_owned());
    watched.probe(30);
    let rig = &watched.rig;
    assert_eq!(rig.chat(ASK).code(), "drift_alarm");
    let reload: Reload = Arc::new(|| Box::pin(std::future::ready(Err("no".to_owned()))));
    let (_end, ending) = tokio::sync::watch::channel(false);
    rig.runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let door = listener.local_addr().unwrap();
        tokio::spawn(
            Admin::new(rig.gate.clone(), OperatorKey::of("door-key").unwrap(), reload)
                .serve(listener, ending),
        );
        let clear = |model: &str| Some(serde_json::json!({ "watch": "sums", "model": model }));
        assert_eq!(ask(door, "wrong", "/watch", None).await.unwrap().0, 401);
        assert_eq!(ask(door, "wrong", "/watch/clear", clear("m")).await.unwrap().0, 401);
        let (status, shown) = ask(door, "door-key", "/watch", None).await.unwrap();
        let row = &shown["watched"][0];
        assert_eq!((status, &row["suspended"], &row["estimate"]["point"]), (200, &true.into(), &0.0.into()));
        assert_eq!(row["estimate"]["method"], "Wilson");
        let (_, ready) = ask(door, "door-key", "/ready", None).await.unwrap();
        assert_eq!(ready["alarms"], 1);
        assert_eq!(ask(door, "door-key", "/watch/clear", clear("z")).await.unwrap().0, 404);
        let nothing = Some(serde_json::json!({}));
        assert_eq!(ask(door, "door-key", "/watch/clear", nothing).await.unwrap().0, 400);
        assert_eq!(ask(door, "door-key", "/watch/clear", clear("m")).await.unwrap().0, 200);
    });
    assert_eq!(rig.chat(ASK).status, 200);
}
