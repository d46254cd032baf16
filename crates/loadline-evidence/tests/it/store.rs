//! Making, finding, listing and sharing records on the real disk.

use std::fs;
use std::sync::Arc;

use loadline_core::record::Row;
use loadline_core::{SampleRecord, Value};
use loadline_evidence::{FindError, RecordError, RecordReader, RunState, Store, verify};

use crate::rows::{sample, sample_of, spec, spec_of};

fn boxed(number: u64, change: impl FnOnce(&mut SampleRecord)) -> Row {
    match sample(number) {
        Row::Sample(mut sample) => {
            change(&mut sample);
            Row::Sample(sample)
        }
        other => other,
    }
}

#[test]
fn a_run_is_written_resumed_sealed_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("deep/runs"));
    assert!(store.list().unwrap().is_empty());
    let writer = store.create(&spec(1)).unwrap();
    let run = writer.run();
    writer.append(&Row::Opened { at_ms: 5, program: "test".into() }).unwrap();
    writer.append(&sample(0)).unwrap();
    assert_eq!(writer.close().unwrap(), 3);

    let mut seen = Vec::new();
    let (resumed, writer) = store.resume_each(&run, |number, json| seen.push((number, json.len()))).unwrap();
    assert_eq!((resumed.rows, resumed.samples, resumed.bytes_cut), (3, 1, 0));
    assert_eq!(resumed.spec, spec(1));
    assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2]);
    writer.append(&sample(1)).unwrap();
    let seal = writer.seal().unwrap();
    assert_eq!((seal.rows, seal.samples, seal.run), (4, 2, run));

    let reader = RecordReader::open(store.run_dir(&run)).unwrap();
    assert_eq!((reader.spec(), reader.seal()), (&spec(1), Some(&seal)));
    let rows: Vec<(u64, Row)> = reader.rows().map(Result::unwrap).collect();
    assert_eq!(rows[0], (0, Row::Spec(Box::new(spec(1)))));
    assert_eq!(rows[2..], [(2, sample(0)), (3, sample(1))]);
    let verified = verify(store.run_dir(&run)).unwrap();
    assert_eq!((verified.root, verified.rows, verified.torn_bytes), (seal.root, 4, 0));
    let listed = store.list().unwrap();
    assert_eq!((listed.len(), listed[0].rows, listed[0].samples, listed[0].opened_ms), (1, 4, 2, Some(5)));
    assert_eq!(listed[0].state, RunState::Sealed(seal));
}

#[test]
fn a_sealed_record_and_a_second_beginning_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let run = writer.run();
    writer.seal().unwrap();
    let error = store.resume(&run).err().unwrap();
    assert!(matches!(error, RecordError::Sealed { .. }), "{error}");
    assert!(error.hint().unwrap().contains("--fresh"));
    assert!(matches!(store.create(&spec(1)).err().unwrap(), RecordError::Exists { .. }));
    let missing = spec(2).run_id().unwrap();
    assert!(matches!(store.resume(&missing).err().unwrap(), RecordError::Missing { .. }));
    assert!(matches!(
        RecordReader::open(store.run_dir(&missing)).err().unwrap(),
        RecordError::Missing { .. }
    ));
}

#[test]
fn a_record_has_one_writer_and_the_other_is_told_which() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let error = store.resume(&writer.run()).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&format!("is being written by process {}", std::process::id())), "{text}");
    assert!(error.hint().is_some());
    let run = writer.run();
    drop(writer);
    let (_, _writer) = store.resume(&run).unwrap();
}

#[test]
fn dropping_the_writer_keeps_what_was_appended() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec_of(1, 50)).unwrap();
    let run = writer.run();
    for number in 0..50 {
        writer.append(&sample(number)).unwrap();
    }
    drop(writer);
    let verified = store.verify(&run).unwrap();
    assert_eq!((verified.samples, verified.torn_bytes), (50, 0));
}

#[test]
fn many_threads_append_to_one_record() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = Arc::new(store.create(&spec_of(1, 800)).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let writer = Arc::clone(&writer);
            scope.spawn(move || {
                for number in 0..100 {
                    writer.append(&sample(thread * 100 + number)).unwrap();
                }
                writer.flush().unwrap();
            });
        }
    });
    assert_eq!((writer.durable(), writer.rows()), (801, 801));
    let run = writer.run();
    Arc::into_inner(writer).unwrap().seal().unwrap();
    let verified = store.verify(&run).unwrap();
    assert_eq!(verified.samples, 800);
    let mut ids: Vec<u64> = store
        .reader(&run)
        .unwrap()
        .rows()
        .filter_map(|row| sample_of(&row.unwrap().1).map(|sample| sample.index))
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..800).collect::<Vec<_>>());
}

#[test]
fn rows_larger_than_the_buffer_go_through_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let run = writer.run();
    let long = "x".repeat(3 << 20);
    for number in 0..6 {
        writer.append(&boxed(number, |sample| sample.output = Some(long.clone()))).unwrap();
    }
    writer.seal().unwrap();
    let rows: Vec<u64> = store.reader(&run).unwrap().rows().map(|row| row.unwrap().0).collect();
    assert_eq!(rows, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(store.verify(&run).unwrap().samples, 6);
}

#[test]
fn a_run_is_found_by_the_shortest_unique_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("runs"));
    let none = store.find("ab").unwrap_err();
    assert!(none.hint().unwrap().contains("there are no runs in"), "{none}");
    let mut runs: Vec<String> =
        (0..40).map(|seed| store.create(&spec(seed)).unwrap().run().to_string()).collect();
    runs.sort();
    let pair = runs.windows(2).find(|pair| pair[0][..1] == pair[1][..1]).unwrap();
    let shared = pair[0].chars().zip(pair[1].chars()).take_while(|(a, b)| a == b).count();
    let unique = &pair[0][..=shared.max(6)];
    assert_eq!(store.find(unique).unwrap().to_string(), pair[0]);
    assert_eq!(store.find(&unique.to_uppercase()).unwrap().to_string(), pair[0]);
    let names = store.short_ids().unwrap();
    for run in &runs {
        let short = names.of(&run.parse().unwrap());
        assert!(short.len() >= 4 && store.find(&short).unwrap().to_string() == *run, "{short}");
        assert!(short.len() == 4 || store.find(&short[..short.len() - 1]).is_err(), "{short}");
    }
    match store.find(&pair[0][..1]).unwrap_err() {
        error @ FindError::Ambiguous { .. } => assert!(error.hint().unwrap().contains(&pair[1])),
        other => panic!("{other}"),
    }
    let mut slip = pair[0].clone().into_bytes();
    slip[20] = if slip[20] == b'0' { b'1' } else { b'0' };
    let error = store.find(std::str::from_utf8(&slip).unwrap()).unwrap_err();
    assert!(error.hint().unwrap().contains(&pair[0]), "{:?}", error.hint());
    let rude = store.find("\u{1b}[31mzz").unwrap_err();
    assert!(!rude.to_string().contains('\u{1b}'), "{rude}");
}

#[test]
fn a_damaged_run_is_listed_with_the_reason_beside_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let good = store.create(&spec(1)).unwrap().run();
    let bad = store.create(&spec(2)).unwrap().run();
    fs::write(store.run_dir(&bad).join("log"), "something else\n").unwrap();
    fs::create_dir(folder.path().join("notes")).unwrap();
    fs::create_dir(folder.path().join("0".repeat(32))).unwrap();
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 2);
    for run in listed {
        match run.state {
            RunState::Damaged(reason) => {
                assert_eq!(run.id, bad);
                assert!(reason.contains("the first line is not `loadline-record 1`"), "{reason}");
            }
            state => assert_eq!((run.id, state, run.rows), (good, RunState::Unfinished, 1)),
        }
    }
}

#[test]
fn a_later_format_is_named_and_not_called_damage() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let run = store.create(&spec(1)).unwrap().run();
    let log = store.run_dir(&run).join("log");
    let text = fs::read_to_string(&log).unwrap().replacen("loadline-record 1\n", "loadline-record 2\n", 1);
    fs::write(&log, text).unwrap();
    let error = store.verify(&run).unwrap_err();
    assert!(error.to_string().ends_with("has record format 2; this program reads up to 1"), "{error}");
    assert!(error.damage().is_none() && error.hint().is_some());
}

#[test]
fn a_row_that_could_not_be_read_back_is_refused_and_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let infinite = boxed(1, |sample| sample.loglikelihoods[0].sum = f64::NEG_INFINITY);
    let error = writer.append(&infinite).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a log-likelihood of sample `sum-1`, epoch 0 is -inf: a record holds finite numbers only"
    );
    let nan = boxed(2, |sample| sample.scores[0].value = Value::Ratio { total: 1.0, per: f64::NAN });
    assert!(matches!(writer.append(&nan), Err(RecordError::NotFinite { .. })));
    let large = boxed(3, |sample| sample.output = Some("x".repeat(65 << 20)));
    assert!(matches!(writer.append(&large), Err(RecordError::TooLarge { .. })));
    writer.append(&sample(4)).unwrap();
    assert_eq!(writer.seal().unwrap().rows, 2);
}

#[test]
fn numbers_read_back_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let run = writer.run();
    let mut dice = crate::sim::Dice(1);
    let rows: Vec<Row> = (0..2000)
        .map(|number| {
            let odd = f64::from_bits(dice.roll(u64::MAX));
            boxed(number, |sample| sample.loglikelihoods[0].sum = if odd.is_finite() { odd } else { 0.1 })
        })
        .collect();
    rows.iter().for_each(|row| writer.append(row).unwrap());
    writer.seal().unwrap();
    let read: Vec<Row> = store.reader(&run).unwrap().rows().skip(1).map(|row| row.unwrap().1).collect();
    assert_eq!(read, rows);
}

#[test]
fn a_sample_answered_twice_or_another_specification_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let writer = store.create(&spec(1)).unwrap();
    let run = writer.run();
    let failed = boxed(1, |sample| (sample.output, sample.error) = (None, Some("no answer".into())));
    for row in [&failed, &failed, &sample(1)] {
        writer.append(row).unwrap();
    }
    writer.flush().unwrap();
    store.verify(&run).unwrap();
    writer.append(&sample(1)).unwrap();
    writer.close().unwrap();
    let error = store.verify(&run).unwrap_err();
    assert_eq!(error.damage().unwrap().row, Some(4));
    assert!(error.to_string().ends_with("sample `sum-1`, epoch 0, is answered a second time"), "{error}");

    let writer = store.create(&spec(2)).unwrap();
    let run = writer.run();
    writer.append(&Row::Spec(Box::new(spec(2)))).unwrap();
    writer.close().unwrap();
    assert!(store.verify(&run).unwrap_err().to_string().ends_with("a second specification"));
}

#[test]
fn a_row_that_the_specification_does_not_ask_for_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let beyond: [(Row, &str); 2] = [
        (
            boxed(3, |sample| sample.index = 20),
            "sample `sum-3`, epoch 0, has index 20, but the run has 20 samples",
        ),
        (
            boxed(3, |sample| sample.epoch = 1),
            "sample `sum-3`, epoch 1, is one epoch too many: the run has 1",
        ),
    ];
    for (seed, (row, words)) in (1..).zip(beyond) {
        let writer = store.create(&spec(seed)).unwrap();
        let run = writer.run();
        writer.append(&sample(3)).unwrap();
        writer.append(&row).unwrap();
        writer.close().unwrap();
        let error = store.verify(&run).unwrap_err();
        assert_eq!(error.damage().unwrap().row, Some(2));
        assert!(error.to_string().contains(words), "{error}");
    }
    // Rows are one sample's by their index, not by their id: two samples may have one id, and one sample two.
    let writer = store.create(&spec(3)).unwrap();
    let run = writer.run();
    writer.append(&sample(3)).unwrap();
    writer.append(&boxed(3, |sample| sample.index = 4)).unwrap();
    writer.flush().unwrap();
    store.verify(&run).unwrap();
    writer.append(&boxed(5, |sample| sample.index = 4)).unwrap();
    writer.close().unwrap();
    assert!(
        store.verify(&run).unwrap_err().to_string().contains("`sum-5`, epoch 0, is answered a second time")
    );
}

#[test]
fn a_record_under_another_runs_name_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let run = store.create(&spec(1)).unwrap().run();
    let other = spec(2).run_id().unwrap();
    fs::rename(store.run_dir(&run), store.run_dir(&other)).unwrap();
    let error = store.verify(&other).unwrap_err().to_string();
    assert!(error.contains(&format!("the specification is that of run {run}")), "{error}");
    assert!(store.resume(&other).err().unwrap().to_string().contains(&run.to_string()));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(file.join("runs")).create(&spec(1)).err().unwrap();
    assert!(error.to_string().contains(&file.display().to_string()), "{error}");
}

#[test]
fn a_seed_that_would_share_a_run_s_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path());
    let error = store.create(&spec((1 << 53) + 1)).err().unwrap();
    assert!(error.to_string().contains("9007199254740993 has no exact form"), "{error}");
    assert!(store.list().unwrap().is_empty());
}
