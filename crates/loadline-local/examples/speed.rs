//! Tokens per CPU-second of a model file: reading 512 tokens, then writing 32.
//!
//! `speed FILE [--precision int8|f32] [--threads N] [--runs N] [--backend NAME]` prints one line of JSON, the same
//! fields as `benches/llama_speed.py`. CPU time is that of all threads of the process, from the scheduler's counters
//! in `/proc`, so this runs on Linux only.
#![expect(clippy::print_stdout, reason = "the result of a benchmark")]

use std::error::Error;
use std::path::PathBuf;

use loadline_local::decoder::{Batch, KvCache, NoHook};
use loadline_local::{Engine, LocalOptions};

const PROMPT: usize = 512;
const WRITTEN: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: speed FILE [--precision int8|f32] [--threads N] [--runs N]";
    let file = PathBuf::from(arguments.next().ok_or(usage)?);
    let (mut options, mut runs) =
        (LocalOptions { threads: Some(std::num::NonZeroUsize::MIN), ..Default::default() }, 3);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--precision" => options.precision = value.parse()?,
            "--threads" => options.threads = Some(value.parse()?),
            "--runs" => runs = value.parse()?,
            _ => return Err(usage.into()),
        }
    }
    let (clock, start) = (std::time::Instant::now(), cpu_seconds()?);
    let (engine, _) = Engine::open(&file, &options, None)?;
    let (load_seconds, load_cpu) = (clock.elapsed().as_secs_f64(), cpu_seconds()? - start);
    let (mut prefill, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let (a, b) = engine.install(|| run(&engine).map_err(|error| error.to_string()))?;
        prefill.push(PROMPT as f64 / a);
        decode.push(WRITTEN as f64 / b);
    }
    println!(
        "{{\"file\":{:?},\"precision\":\"{}\",\"prefill\":{:.1},\"decode\":{:.2},\"load_seconds\":{load_seconds:.2},\
         \"load_cpu\":{load_cpu:.2},\"peak_mib\":{:.0}}}",
        file.file_name().unwrap_or_default(),
        options.precision,
        median(&mut prefill),
        median(&mut decode),
        peak_mib()?,
    );
    Ok(())
}

/// CPU-seconds for the prompt and for the tokens written after it.
fn run(engine: &Engine) -> Result<(f64, f64), Box<dyn Error>> {
    let decoder = engine.decoder();
    let mut cache = KvCache::new(decoder.config());
    let mut read = |tokens: &[u32], from: usize| -> Result<u32, Box<dyn Error>> {
        let mut batch = Batch::default();
        let sees = if from == 0 { Vec::new() } else { std::iter::once(0..from).collect() };
        batch.push(tokens, 0, from, sees);
        let stream = decoder.forward(&batch, &mut [&mut cache], &mut NoHook)?;
        let logits = decoder.logits(&stream, tokens.len() - 1);
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        Ok(best.map_or(0, |(token, _)| token as u32))
    };
    let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| (i * 7919 + 13) % 30_000).collect();
    let start = cpu_seconds()?;
    let mut token = read(&prompt, 0)?;
    let middle = cpu_seconds()?;
    for written in 0..WRITTEN {
        token = read(&[token], PROMPT + written)?;
    }
    Ok((middle - start, cpu_seconds()? - middle))
}

/// Seconds that all threads of this process have run.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let mut nanoseconds = 0u64;
    for task in std::fs::read_dir("/proc/self/task")? {
        let counters = std::fs::read_to_string(task?.path().join("schedstat"))?;
        nanoseconds += counters.split(' ').next().ok_or("no counter")?.parse::<u64>()?;
    }
    Ok(nanoseconds as f64 * 1e-9)
}

fn peak_mib() -> Result<f64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
