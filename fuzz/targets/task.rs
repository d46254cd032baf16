//! Task files, the data they name, templates, filters and metrics. The input is a YAML text, a NUL byte, the data; the
//! data stands beside the task file as JSON lines, JSON and CSV. What loads is asked and scored a few times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use loadline_core::ModelOutput;
use loadline_measure::taskfile::{LoadOptions, load};

/// Largest input, in bytes.
const MOST: usize = 32 << 10;
/// Samples that are asked of each task.
const ASKED: usize = 4;

fuzz_target!(|data: &[u8]| {
    if data.len() > MOST {
        return;
    }
    let (task, rows) = loadline_fuzz::halves(data);
    let folder = loadline_fuzz::scratch();
    let path = folder.join("task.yaml");
    std::fs::write(&path, task).expect("the task file is written");
    for name in ["d.jsonl", "d.json", "d.csv"] {
        std::fs::write(folder.join(name), rows).expect("the data is written");
    }
    let Ok(task) = load(&path, &LoadOptions::default()) else { return };
    for sample in task.samples.iter().take(ASKED) {
        let Ok(sample) = sample else { continue };
        let right = sample.target.first().cloned().unwrap_or_default();
        for completion in
            [right.clone(), format!("The answer is ({right}). 42\n\n#### 1,000.50"), String::new()]
        {
            let output = ModelOutput { completion, ..ModelOutput::default() };
            let outputs = [output.clone(), output];
            let once = task.scorer.score(&sample, &outputs[..1]);
            assert_eq!(
                once.len(),
                task.scorer.score(&sample, &outputs[..1]).len(),
                "scoring is not repeatable"
            );
            if task.scorer.groups_epochs() {
                let _ = task.scorer.score(&sample, &outputs);
            }
        }
    }
});
