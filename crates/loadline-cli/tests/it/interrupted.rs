//! Ctrl-C, kill -9, SIGUSR1: nothing that was answered is lost or asked again.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Stdio};
use std::time::Duration;

use loadline_testkit::endpoint::FakeEndpoint;
use rustix::process::{Pid, Signal, kill_process};

use crate::measured::adder;
use crate::support::Sandbox;

/// Sends a signal to a child that was not waited for.
pub fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until the endpoint has answered so many, without a clock of our own deciding anything.
fn until_answered(endpoint: &FakeEndpoint, many: usize) {
    while endpoint.counters().answered < many {
        std::thread::yield_now();
    }
}

fn line(endpoint: &FakeEndpoint) -> String {
    format!("measure sums.yaml -m openai/mock --base-url {} --concurrency 8 --json", endpoint.base_url())
}

/// What an undisturbed run says.
fn undisturbed(rows: usize) -> String {
    let sandbox = Sandbox::new();
    sandbox.sums(rows);
    let endpoint = adder().start();
    sandbox.run(&line(&endpoint)).ok().json_lines()[0]["metrics"].to_string()
}

#[test]
fn ctrl_c_stops_cleanly_and_the_same_command_goes_on() {
    let sandbox = Sandbox::new();
    sandbox.sums(200);
    let endpoint = adder().latency(Duration::from_millis(5)).start();
    let child = sandbox.start(&line(&endpoint));
    until_answered(&endpoint, 40);
    signal(&child, Signal::INT);
    let said = sandbox.said(child.wait_with_output().unwrap());
    assert_eq!(said.code, 11, "{}", said.text());
    assert!(
        said.stderr.contains("Cancelled") && said.stderr.contains("goes on where this one stopped"),
        "{}",
        said.stderr
    );
    // It is a partial result, and says so by its number.
    let n = said.json_lines()[0]["metrics"][0]["n"].as_u64().unwrap();
    assert!((1..200).contains(&n), "{n}");

    let rest = sandbox.run(&line(&endpoint)).ok();
    assert!(rest.stderr.contains(&format!("{n} of 200 answers reused")), "{}", rest.stderr);
    assert_eq!(rest.json_lines()[0]["metrics"].to_string(), undisturbed(200));
}

#[test]
fn a_second_ctrl_c_ends_at_once() {
    let sandbox = Sandbox::new();
    sandbox.sums(40);
    // Answers never come: only leaving at once can end this.
    let endpoint =
        adder().fault(|ask| (ask.index >= 4).then_some(loadline_testkit::endpoint::Fault::Hang)).start();
    let mut child = sandbox.start(&line(&endpoint));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    until_answered(&endpoint, 4);
    signal(&child, Signal::INT);
    let mut said = String::new();
    while !said.contains("Stopping") && stderr.read_line(&mut said).unwrap() > 0 {}
    // The first one may have ended it already: what waits for an answer is dropped.
    let _gone = kill_process(Pid::from_child(&child), Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(11));
}

#[test]
fn kill_9_loses_nothing_and_pays_almost_nothing_twice() {
    let sandbox = Sandbox::new();
    sandbox.sums(300);
    let endpoint = adder().latency(Duration::from_millis(4)).start();
    let mut missing = 0;
    for kill_at in [60, 140, 220] {
        let mut child = sandbox.start(&line(&endpoint));
        until_answered(&endpoint, kill_at);
        child.kill().unwrap();
        child.wait().unwrap();
        // The endpoint finishes what it was asked.
        while endpoint.counters().in_flight > 0 {
            std::thread::yield_now();
        }
        let run = sandbox.only_run();
        let verified = sandbox.run_args(["record", "verify", &run.to_string_lossy(), "--json"]).ok();
        let recorded = verified.json_lines()[0]["samples"].as_u64().unwrap();
        missing = endpoint.counters().answered - usize::try_from(recorded).unwrap();
    }
    let said = sandbox.run(&line(&endpoint)).ok();
    assert_eq!(said.json_lines()[0]["metrics"].to_string(), undisturbed(300));
    // Paid twice is what was answered and not yet in the record at a kill, and what was still on its way to the
    // endpoint then; nothing that is in the record.
    let counters = endpoint.counters();
    assert!((missing..=missing + 3 * 8).contains(&counters.paid_twice), "{missing} missing, {counters:?}");
    // That is, each time, the 8 in flight, and the rows that the writer's thread had not yet passed on to the system: on an
    // idle machine none or one, and never more than 16 that wait and 16 that are being written.
    assert!(missing <= 3 * (8 + 2 * 16), "{counters:?}");
    let run = sandbox.only_run();
    assert_eq!(sandbox.run_args(["record", "verify", &run.to_string_lossy()]).code, 0);
}

#[test]
fn sigusr1_says_what_is_in_flight() {
    let sandbox = Sandbox::new();
    sandbox.sums(8);
    let endpoint = FakeEndpoint::builder().fault(|_| Some(loadline_testkit::endpoint::Fault::Hang)).start();
    let mut child = sandbox.start(&line(&endpoint));
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    while endpoint.counters().in_flight == 0 {
        std::thread::yield_now();
    }
    signal(&child, Signal::USR1);
    let mut said = String::new();
    while !said.contains("waits for the answer") && stderr.read_line(&mut said).unwrap() > 0 {}
    assert!(said.contains("In flight"), "{said}");
    assert!(said.contains("attempt 1"), "{said}");
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(11));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
}

#[test]
fn two_processes_never_write_one_record() {
    let sandbox = Sandbox::new();
    sandbox.sums(8);
    let endpoint = FakeEndpoint::builder().fault(|_| Some(loadline_testkit::endpoint::Fault::Hang)).start();
    let mut child = sandbox.start(&line(&endpoint));
    while endpoint.counters().in_flight == 0 {
        std::thread::yield_now();
    }
    let said = sandbox.run(&line(&endpoint));
    assert_eq!(said.code, 1, "{}", said.text());
    assert!(said.stderr.contains("hint: wait until it has ended"), "{}", said.stderr);
    signal(&child, Signal::INT);
    child.wait().unwrap();
}

/// Runs a command on a terminal of its own and passes keys on to it.
const TERMINAL: &str = "\
import os, pty, sys
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[test]
fn on_a_terminal_there_is_a_bar_and_a_key() {
    let sandbox = Sandbox::new();
    sandbox.sums(8);
    let endpoint =
        adder().fault(|ask| (ask.index >= 4).then_some(loadline_testkit::endpoint::Fault::Hang)).start();
    let measure = line(&endpoint);
    let words = ["-c", TERMINAL, crate::support::LOADLINE].into_iter().chain(measure.split_whitespace());
    let mut command = sandbox.command("python3", words);
    command.env("TERM", "xterm-256color").stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        return loadline_testkit::left_out("needs `python3` for a terminal");
    };
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = String::new();
    let mut read_until = |what: &str| {
        let mut buffer = [0; 4096];
        while !seen.contains(what) {
            match screen.read(&mut buffer).unwrap() {
                0 => panic!("the terminal closed before `{what}`: {seen}"),
                length => seen.push_str(&String::from_utf8_lossy(&buffer[..length])),
            }
        }
    };
    read_until("4/8");
    keys.write_all(b"t").unwrap();
    read_until("waits for the answer");
    // Ctrl-C as the terminal sends it.
    keys.write_all(b"\x03").unwrap();
    read_until("Cancelled");
    drop(keys);
    std::io::copy(&mut screen, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(11));
    assert!(!seen.contains("\u{7}"));
}
