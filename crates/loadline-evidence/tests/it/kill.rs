//! A real process, killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use loadline_evidence::{RecordError, Store};

use crate::rows::{sample, spec_of};

/// Where the child is to write; set only for the child.
const CHILD_STORE: &str = "LOADLINE_TEST_CHILD_STORE";

/// Not a test of its own: the body of the process that is killed. It says which rows it was told are durable.
#[test]
fn child_that_appends_until_killed() {
    let Some(root) = std::env::var_os(CHILD_STORE) else { return };
    let store = Store::open(root);
    let (writer, done) = match store.create(&spec_of(9, 1 << 40)) {
        Err(RecordError::Exists { run, .. }) => {
            let (resumed, writer) = store.resume(&run).unwrap();
            (writer, resumed.samples)
        }
        other => (other.unwrap(), 0),
    };
    for number in done.. {
        writer.append(&sample(number)).unwrap();
        if number % 5 == 4 {
            writer.flush().unwrap();
            println!("durable {}", number + 1);
        }
    }
}

fn child(root: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_appends_until_killed", "--nocapture"])
        .env(CHILD_STORE, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_killed_process_loses_nothing_it_was_told_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let run = spec_of(9, 1 << 40).run_id().unwrap();
    let mut kept = 0;
    for round in 1..=5 {
        let mut child = child(folder.path());
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = 0;
        let told_lines =
            lines.map(Result::unwrap).filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok());
        for durable in told_lines {
            told = durable;
            if durable >= kept + 20 * round {
                // SIGKILL: nothing in the process gets to run any more.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let (resumed, writer) = store.resume(&run).unwrap();
        assert!(resumed.samples >= told && told >= kept + 20 * round, "{} of {told}", resumed.samples);
        kept = resumed.samples;
        drop(writer);
        let samples = store.reader(&run).unwrap().rows().filter_map(|row| match row.unwrap().1 {
            row @ loadline_core::record::Row::Sample(_) => Some(row),
            _ => None,
        });
        samples.enumerate().for_each(|(number, row)| assert_eq!(row, sample(number as u64)));
        store.verify(&run).unwrap();
    }
}
