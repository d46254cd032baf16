//! The local runtime: tokens per CPU-second for prefill and decode, beside llama.cpp in the same run.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{build, median, root, run};

const FILES: &[&str] = &["gemma-3-270m-q4_k_m.gguf", "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"];

/// `cargo xtask bench local`. Alternates ours and the peer's, so that a drift of the machine meets both.
pub fn bench(words: &[&str]) -> Result<(), String> {
    let runs = crate::runs(words)?;
    let ours = build(&["--package", "loadline-local", "--example", "speed"], "examples/speed")?;
    let script = root().join("crates/loadline-local/benches/llama_speed.py");
    let python = crate::flag(words, "--python");
    for file in FILES {
        let model = models_folder()?.join(file);
        if !model.exists() {
            println!("left out: {file}: get it with `loadline pull`");
            continue;
        }
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            mine.push(speeds(Command::new(&ours).arg(&model).args(["--runs", "1"]))?);
            if let Some(python) = python {
                theirs.push(speeds(Command::new(python).arg(&script).arg(&model).args(["1", "1"]))?);
            }
        }
        for (index, what) in ["prefill of 512 tokens", "decode of 32 tokens"].iter().enumerate() {
            let own = median(mine.iter().map(|pair| pair[index]));
            print!("{file:<44} {what:<22} {:>7.1} tokens per CPU-s [{:.1}, {:.1}]", own.0, own.1, own.2);
            if theirs.is_empty() {
                println!();
                continue;
            }
            let peer = median(theirs.iter().map(|pair| pair[index]));
            let ratio = median(mine.iter().zip(&theirs).map(|(a, b)| a[index] / b[index]));
            println!("   llama.cpp {:.1}   ratio {:.2} [{:.2}, {:.2}]", peer.0, ratio.0, ratio.1, ratio.2);
        }
    }
    Ok(())
}

/// Both print one line of JSON with `prefill` and `decode`, in tokens per CPU-second.
fn speeds(command: &mut Command) -> Result<[f64; 2], String> {
    let used = run(command)?;
    let line: Option<serde_json::Value> = serde_json::from_str(used.stdout.trim()).ok();
    let number = |name: &str| line.as_ref().and_then(|line| line[name].as_f64());
    match (number("prefill"), number("decode")) {
        (Some(prefill), Some(decode)) => Ok([prefill, decode]),
        _ => Err(format!("{command:?}: exit {:?}, no speeds in `{}`", used.code, used.stdout.trim())),
    }
}

fn models_folder() -> Result<PathBuf, String> {
    let cache = std::env::var_os("LOADLINE_CACHE").map(PathBuf::from).or_else(|| {
        std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
            .map(|cache| cache.join("loadline"))
    });
    cache.map(|cache| cache.join("models")).ok_or_else(|| "HOME is not set".to_owned())
}
