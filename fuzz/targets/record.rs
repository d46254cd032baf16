//! A sealed record, read as a stream. Selector even: the log as it is. Odd: each line is a payload behind its kind, and
//! the frames, with right lengths and checks, are made around them, so that what stands behind the check is reached.
//! The seal is the golden one, or the input's; a record that verifies under the golden seal has the golden rows.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use loadline_core::RunId;
use loadline_core::digest::{Hasher, hex};
use loadline_evidence::{Seal, Streamed, verify_stream};
use loadline_tlog::leaf_hash;

/// Largest input, in bytes.
const MOST: usize = 256 << 10;
const GOLDEN: &[u8] =
    include_bytes!("../../crates/loadline-evidence/tests/golden/v1/a5968a0cf9278a7bceea6e983b6f1302/log");
const SEAL: &[u8] = include_bytes!(
    "../../crates/loadline-evidence/tests/golden/v1/a5968a0cf9278a7bceea6e983b6f1302/seal.json"
);

fn framed(data: &[u8]) -> Vec<u8> {
    let mut log = b"loadline-record 1\n".to_vec();
    for line in data.split(|byte| *byte == b'\n') {
        let Some((kind, payload)) = line.split_first() else { continue };
        let hash = if *kind == b'R' {
            leaf_hash(payload)
        } else {
            let mut hasher = Hasher::new();
            hasher.update(&[*kind]);
            hasher.update(payload);
            hasher.finish().0
        };
        log.push(*kind);
        log.extend_from_slice(format!(" {:08x} {} ", payload.len(), hex(&hash[..8])).as_bytes());
        log.extend_from_slice(payload);
        log.push(b'\n');
    }
    log
}

fn streamed<'a>(seal: &'a [u8], log: &'a [u8], run: RunId) -> Streamed<'a, &'a [u8]> {
    let length = log.len() as u64;
    Streamed { name: "record", run, seal, log, length, most_rows: 10_000, most_row_bytes: 64 << 10 }
}

/// The run and the rows of the golden record.
fn golden() -> &'static (RunId, Vec<String>) {
    static ROWS: OnceLock<(RunId, Vec<String>)> = OnceLock::new();
    ROWS.get_or_init(|| {
        let seal: Seal = serde_json::from_slice(SEAL).expect("the good seal");
        let mut rows = Vec::new();
        verify_stream(streamed(SEAL, GOLDEN, seal.run), |_, row| rows.push(format!("{row:?}")))
            .expect("the good record");
        (seal.run, rows)
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    let (golden_run, golden_rows) = golden();
    let (seal, log) = if selector & 2 == 0 { (SEAL, data) } else { loadline_fuzz::halves(data) };
    let made = (selector & 1 == 1).then(|| framed(log));
    let log = made.as_deref().unwrap_or(log);
    let run = serde_json::from_slice(seal).map_or(*golden_run, |seal: Seal| seal.run);
    let mut rows = Vec::new();
    let verified =
        verify_stream(streamed(seal, log, run), |number, row| rows.push((number, format!("{row:?}"))));
    if verified.is_ok() && seal == SEAL {
        for (number, row) in rows {
            let same = usize::try_from(number).ok().and_then(|number| golden_rows.get(number));
            assert_eq!(same, Some(&row), "a sealed record has another row {number}");
        }
    }
});
