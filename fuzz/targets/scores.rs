//! Files of scores (CSV, JSON lines), as `loadline estimate` and `compare` read them. The reader is part of the program, so
//! its file is compiled into this target.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// Largest input, in bytes.
const MOST: usize = 64 << 10;

#[path = "../../crates/loadline-cli/src/exit.rs"]
mod exit;
#[expect(dead_code, reason = "only what the target asks for is used")]
#[path = "../../crates/loadline-cli/src/failure.rs"]
mod failure;
#[expect(dead_code, reason = "only what the target asks for is used")]
#[path = "../../crates/loadline-cli/src/scores.rs"]
mod scores;
mod ui {
    //! In place of the terminal: the reader only counts words with it.
    pub fn count(number: u64, what: &str) -> String {
        format!("{number} {what}s")
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((selector, data)) = loadline_fuzz::selected(data, MOST) else { return };
    let name = ["scores.csv", "scores.jsonl", "scores"][usize::from(selector) % 3];
    let path = loadline_fuzz::scratch().join(name);
    std::fs::write(&path, data).expect("the scores are written");
    let column = str::to_owned;
    let columns =
        scores::Columns { id: column("id"), score: column("score"), cluster: column("cluster"), epoch: column("epoch") };
    for ids in [scores::Ids::Optional, scores::Ids::Required] {
        if let Ok(table) = scores::read(&path, &columns, ids) {
            assert!(!table.is_empty(), "a table without rows was read");
            let _ = loadline_stats::scores::pair(&table, &table);
        }
    }
});
