//! Torn at every byte, changed at every byte: cut, or found and located.

use std::path::PathBuf;
use std::sync::Arc;

use loadline_core::RunId;
use loadline_evidence::{RecordError, Store};

use crate::rows::{sample, spec};
use crate::sim::SimDisk;

/// A record on a disk, and where its frames are.
struct Subject {
    disk: SimDisk,
    run: RunId,
    log: PathBuf,
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    start: usize,
    end: usize,
    kind: u8,
    /// Rows before it.
    rows: u64,
}

fn store(disk: &SimDisk) -> Store {
    Store::with_disk("runs", Arc::new(disk.clone()), Arc::new(|| 7))
}

fn subject(sealed: bool) -> Subject {
    let spec = spec(20);
    let disk = SimDisk::default();
    let writer = store(&disk).create(&spec).unwrap();
    for number in 0..5 {
        writer.append(&sample(number)).unwrap();
        writer.flush().unwrap();
    }
    if sealed {
        writer.seal().unwrap();
    } else {
        writer.close().unwrap();
    }
    let run = spec.run_id().unwrap();
    let log = store(&disk).run_dir(&run).join("log");
    let bytes = disk.bytes(&log).unwrap();
    let frames = frames(&bytes);
    Subject { disk, run, log, bytes, frames }
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let (mut frames, mut rows) = (Vec::new(), 0);
    let mut start = bytes.iter().position(|b| *b == b'\n').unwrap() + 1;
    while start < bytes.len() {
        let end = start + bytes[start..].iter().position(|b| *b == b'\n').unwrap() + 1;
        frames.push(Frame { start, end, kind: bytes[start], rows });
        rows += u64::from(bytes[start] == b'R');
        start = end;
    }
    frames
}

impl Subject {
    fn with_log(&self, bytes: &[u8]) -> Store {
        let disk = self.disk.copy();
        disk.put(&self.log, bytes);
        store(&disk)
    }

    /// The frame that holds a byte; none for the first line.
    fn frame_at(&self, place: usize) -> Option<Frame> {
        self.frames.iter().copied().find(|frame| (frame.start..frame.end).contains(&place))
    }

    fn assert_damaged_at(&self, error: RecordError, place: usize, context: &str) {
        if place < "loadline-record 1\n".len() && matches!(error, RecordError::Version { .. }) {
            return;
        }
        let damage = error.damage().unwrap_or_else(|| panic!("{context}: {error}"));
        assert_eq!(damage.file, self.log, "{context}");
        let frame = self.frame_at(place);
        assert_eq!(damage.offset, Some(frame.map_or(0, |frame| frame.start as u64)), "{context}: {damage}");
        assert_eq!(damage.row, frame.map(|frame| frame.rows), "{context}: {damage}");
    }
}

#[test]
fn the_subject_has_rows_and_checkpoints() {
    let subject = subject(false);
    let kinds: String = subject.frames.iter().map(|frame| frame.kind as char).collect();
    assert_eq!(kinds, "RCRCRCRCRCRC");
}

#[test]
fn torn_at_any_byte_keeps_the_whole_rows_before() {
    let subject = subject(false);
    let beginning = subject.frames[1].end;
    for length in beginning..=subject.bytes.len() {
        let whole = subject.frames.iter().filter(|frame| frame.end <= length);
        let rows = whole.clone().filter(|frame| frame.kind == b'R').count() as u64;
        let end = whole.map(|frame| frame.end).max().unwrap();
        // What a crash can leave in place of the rest, and going on to the end, are tried where the last two
        // frames are.
        let in_full = length >= subject.frames[10].start;
        for filler in [None, Some(0), Some(b'x'), Some(b'C')].into_iter().take(if in_full { 4 } else { 1 }) {
            let mut bytes = subject.bytes[..length].to_vec();
            bytes.resize(if filler.is_some() { length + 300 } else { length }, filler.unwrap_or_default());
            let store = subject.with_log(&bytes);
            let seen = store.reader(&subject.run).unwrap().rows().map(Result::unwrap).count() as u64;
            assert_eq!(seen, rows, "{length}");
            let (resumed, writer) = store.resume(&subject.run).unwrap();
            assert_eq!((resumed.rows, resumed.bytes_cut), (rows, (bytes.len() - end) as u64), "{length}");
            if !in_full {
                continue;
            }
            writer.append(&sample(9)).unwrap();
            let seal = writer.seal().unwrap();
            assert_eq!(seal.rows, rows + 1 + u64::from(resumed.bytes_cut > 0));
            store.verify(&subject.run).unwrap();
        }
    }
}

#[test]
fn a_log_without_its_beginning_is_not_opened() {
    let subject = subject(false);
    for length in 0..subject.frames[0].end {
        let store = subject.with_log(&subject.bytes[..length]);
        let error = store.resume(&subject.run).err().unwrap_or_else(|| panic!("{length}"));
        assert!(error.damage().is_some(), "{length}: {error}");
        assert!(store.verify(&subject.run).is_err() && store.reader(&subject.run).is_err(), "{length}");
    }
}

#[test]
fn a_changed_bit_before_the_last_checkpoint_is_refused_and_located() {
    let subject = subject(false);
    let durable = subject.frames.last().unwrap().start;
    for place in 0..durable {
        let mut bytes = subject.bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        let store = subject.with_log(&bytes);
        let context = format!("byte {place}");
        let error = store.resume(&subject.run).err().unwrap_or_else(|| panic!("{context} was not found"));
        subject.assert_damaged_at(error, place, &context);
        subject.assert_damaged_at(store.verify(&subject.run).unwrap_err(), place, &context);
    }
}

#[test]
fn a_changed_bit_in_the_last_checkpoint_loses_no_row() {
    let subject = subject(false);
    let last = *subject.frames.last().unwrap();
    for place in last.start..last.end {
        let mut bytes = subject.bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        let store = subject.with_log(&bytes);
        let (resumed, _writer) = store.resume(&subject.run).unwrap();
        assert_eq!((resumed.rows, resumed.bytes_cut), (6, (last.end - last.start) as u64));
    }
}

#[test]
fn any_changed_bit_of_a_sealed_log_is_located_by_verify_and_by_reading() {
    let subject = subject(true);
    subject.with_log(&subject.bytes).verify(&subject.run).unwrap();
    for place in 0..subject.bytes.len() {
        for bit in [place % 8, (place + 3) % 8] {
            let mut bytes = subject.bytes.clone();
            bytes[place] ^= 1 << bit;
            let store = subject.with_log(&bytes);
            let context = format!("byte {place}, bit {bit}");
            subject.assert_damaged_at(store.verify(&subject.run).unwrap_err(), place, &context);
            let read =
                store.reader(&subject.run).and_then(|reader| reader.rows().collect::<Result<Vec<_>, _>>());
            subject.assert_damaged_at(read.unwrap_err(), place, &context);
        }
    }
}

#[test]
fn any_changed_bit_of_a_seal_is_found() {
    let subject = subject(true);
    let path = subject.log.with_file_name("seal.json");
    let seal = subject.disk.bytes(&path).unwrap();
    for place in 0..seal.len() {
        for bit in 0..8 {
            let mut bytes = seal.clone();
            bytes[place] ^= 1 << bit;
            let disk = subject.disk.copy();
            disk.put(&path, &bytes);
            let error = store(&disk).verify(&subject.run).unwrap_err();
            let named = error.damage().is_some_and(|damage| damage.file == path);
            assert!(named || matches!(error, RecordError::Version { .. }), "byte {place}: {error}");
        }
    }
}

#[test]
fn a_sealed_log_cut_short_or_added_to_is_found() {
    let subject = subject(true);
    for length in 0..subject.bytes.len() {
        let store = subject.with_log(&subject.bytes[..length]);
        assert!(store.verify(&subject.run).unwrap_err().damage().is_some(), "{length}");
    }
    for more in [b"x".as_slice(), b"\n", &subject.bytes[subject.frames[2].start..subject.frames[2].end]] {
        let store = subject.with_log(&[subject.bytes.as_slice(), more].concat());
        assert!(store.verify(&subject.run).unwrap_err().damage().is_some());
        let rows = store.reader(&subject.run).unwrap().rows().collect::<Result<Vec<_>, _>>();
        assert!(rows.unwrap_err().damage().is_some());
    }
}

#[test]
fn rows_moved_left_out_or_doubled_are_found() {
    for sealed in [false, true] {
        let subject = subject(sealed);
        let piece = |n: usize| subject.bytes[subject.frames[n].start..subject.frames[n].end].to_vec();
        let rebuild = |order: &[usize]| {
            let mut bytes = b"loadline-record 1\n".to_vec();
            order.iter().for_each(|n| bytes.extend(piece(*n)));
            bytes
        };
        assert_eq!(rebuild(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), subject.bytes);
        let orders: [&[usize]; 4] = [
            &[0, 1, 4, 3, 2, 5, 6, 7, 8, 9, 10, 11],
            &[0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            &[0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            &[2, 1, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ];
        for order in orders {
            let error = subject.with_log(&rebuild(order)).verify(&subject.run).unwrap_err();
            assert!(error.damage().is_some_and(|damage| damage.offset.is_some()), "{order:?}: {error}");
            assert!(subject.with_log(&rebuild(order)).resume(&subject.run).is_err(), "{order:?}");
        }
    }
}

#[test]
fn the_message_names_the_file_the_byte_the_row_and_what_differs() {
    let subject = subject(false);
    let frame = subject.frames[3];
    let mut bytes = subject.bytes.clone();
    bytes[frame.start + 40] ^= 1;
    let error = subject.with_log(&bytes).verify(&subject.run).unwrap_err();
    let text = error.to_string();
    for part in [
        format!("runs/{}/log: byte {}, row 2: the frame's check is ", subject.run, frame.start),
        "but its payload's is".to_owned(),
        "says that".to_owned(),
    ] {
        assert!(text.contains(&part), "{text}");
    }
    assert!(error.hint().unwrap().contains("--fresh"));
}
