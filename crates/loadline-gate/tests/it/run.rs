//! A gate from its configuration to its end, in this process.

use std::sync::Arc;
use std::time::Duration;

use loadline_core::Instant;
use loadline_gate::clock::{Clock as _, SystemClock};
use loadline_gate::post::Nowhere;
use loadline_gate::run::{Notice, Outside, Running, StartError, check};
use loadline_gate::upstream::{Plain, resident};
use loadline_policy::policy::Stage;
use loadline_testkit::authority::{TestAuthority, open_marks};
use tokio::sync::watch;

use crate::support::config_text;
use crate::watch_licensed::{SUMS, decision, policy, text};

/// A folder with all that a gate reads, whose standing is fresh now.
fn folder(authority: &TestAuthority, now: Instant, tables: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| std::fs::write(folder.path().join(name), bytes).unwrap();
    std::fs::create_dir(folder.path().join("roots")).unwrap();
    write("roots/1.json", authority.root());
    write("license.json", authority.license("m", Stage::General, Some(open_marks())));
    write("published.json", authority.standing(1, now, 3_600, &[]));
    write("keys.json", br#"{"format":"loadline-gate-keys/1","keys":[]}"#.to_vec());
    write("gate.toml", (config_text(authority, "http://127.0.0.1:9/v1", "", "") + tables).into_bytes());
    folder
}

fn now() -> Instant {
    SystemClock::start().now().wall()
}

fn outside(notice: impl Fn(Notice) + Send + Sync + 'static) -> Outside {
    Outside {
        environment: Arc::new(|_| Some("k".to_owned())),
        random: Arc::new(|buffer| getrandom::fill(buffer).map_err(std::io::Error::other)),
        dial: Arc::new(Plain),
        open: Arc::new(|_| {
            Err(resident::Wrong { message: "no model is here".to_owned(), hint: String::new() })
        }),
        post: Arc::new(Nowhere),
        log: None,
        notice: Arc::new(notice),
    }
}

#[test]
fn a_task_that_panics_where_it_is_decided_ends_the_gate() {
    let folder = folder(&TestAuthority::new(now()), now(), "");
    // It is the task that keeps the standing fresh which says this.
    let outside = outside(|notice| assert!(!matches!(notice, Notice::Renewed(_)), "as a fault in it would"));
    let running = Running::open(&folder.path().join("gate.toml"), outside).unwrap();
    // Both are kept: nobody ends the gate, and somebody could ask for a reload.
    let ((_end, ending), (_again, reload)) = (watch::channel(false), watch::channel(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let served = async { tokio::time::timeout(Duration::from_secs(60), running.serve(ending, reload)).await };
    // Not in time: it went on without its authority's word.
    let error = runtime.block_on(served).unwrap().unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
}

#[test]
fn a_watch_rests_when_its_figure_is_of_another_licence_and_keeps_no_reload_from_revoking() {
    let policy = policy();
    let (before, after) = (decision(&policy, 199), decision(&policy, 198));
    let authority = TestAuthority::new(now()).deciding(&before);
    let folder = folder(&authority, now(), SUMS);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("decision.json", text(&before).as_bytes());
    write("policy.json", text(&policy).as_bytes());
    let (say, heard) = std::sync::mpsc::channel();
    let (quiet, outside) = (outside(|_| {}), outside(move |notice| drop(say.send(notice))));
    let running = Running::open(&folder.path().join("gate.toml"), outside).unwrap();
    let ((end, ending), (again, reload)) = (watch::channel(false), watch::channel(0));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let serving = runtime.spawn(running.serve(ending, reload));
    let reload = || {
        again.send_modify(|times| *times += 1);
        loop {
            match heard.recv_timeout(Duration::from_secs(60)).unwrap() {
                Notice::Reloaded(done) => return Ok(done),
                Notice::NotReloaded(why) => return Err(why),
                _ => {}
            }
        }
    };
    assert_eq!(reload(), Ok("2 models, 0 keys".to_owned()));
    // The licence is renewed, and the watch has the decision of the one before.
    let renewed = TestAuthority::new(now()).deciding(&after);
    write("license.json", &renewed.license("m", Stage::General, Some(open_marks())));
    let done = reload().unwrap();
    assert!(
        done.contains("a watch does not fit, and rests: line ") && done.contains("was issued on decision"),
        "{done}"
    );
    // At a start nothing is served before it is mended.
    let StartError::Config(problems) = check(&folder.path().join("gate.toml"), &quiet).unwrap_err() else {
        panic!("another error")
    };
    assert!(problems.to_string().contains("`watch.licensed.decision`"), "{problems}");
    // With its own decision it is taken; what runs is held against the older one until the next start, and that is said.
    write("decision.json", text(&after).as_bytes());
    let done = reload().unwrap();
    assert!(done.starts_with("2 models, 0 keys; ") && done.contains("watches"), "{done}");
    end.send_replace(true);
    runtime.block_on(serving).unwrap().unwrap();
}
