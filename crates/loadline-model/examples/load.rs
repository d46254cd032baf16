//! What one request costs the client: N requests at concurrency C, on a runtime like the command line's.
//!
//! `cargo run --release -p loadline-model --example load -- http://127.0.0.1:8100/v1 10000 200 [KEY=VALUE…]`
//!
//! CPU seconds are those of the whole process (Linux: /proc/self/stat, in ticks of 10 ms).
#![expect(clippy::print_stdout, reason = "an example speaks")]

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use futures_util::future::join_all;
use loadline_core::model::{CallContext, Generate, Prompt, Request, Sampling};
use loadline_core::{Model, Sample};
use loadline_model::{ModelArgs, open};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let base_url = args.next().ok_or("usage: load BASE_URL [REQUESTS [CONCURRENCY [KEY=VALUE…]]]")?;
    let requests: usize = args.next().as_deref().unwrap_or("10000").parse()?;
    let concurrency: usize = args.next().as_deref().unwrap_or("200").parse()?;
    let pairs: Vec<String> = args.collect();
    let model = open(&"openai/mock".parse()?, &ModelArgs::parse(Some(base_url), &pairs)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (cpu, wall) = (cpu_seconds()?, Instant::now());
    let failed = runtime.block_on(load(&*model, requests, concurrency));
    let (cpu, wall) = (cpu_seconds()? - cpu, wall.elapsed().as_secs_f64());
    let count = f64::from(u32::try_from(requests)?);
    println!(
        "{requests} requests at {concurrency}: {cpu:.2} CPU s, {:.1} us each, {wall:.2} s, {:.0} requests/s, {failed} failed",
        cpu / count * 1e6,
        count / wall,
    );
    Ok(())
}

/// Sends the requests, `concurrency` at a time; gives how many failed.
async fn load(model: &dyn Model, requests: usize, concurrency: usize) -> usize {
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let worker = || async {
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= requests {
                return;
            }
            let sample = sample(number);
            let context = CallContext { sample: &sample, epoch: 0, attempt: 1 };
            if model.call(&sample.input, &context).await.is_err() {
                failed.fetch_add(1, Relaxed);
            }
        }
    };
    join_all((0..concurrency).map(|_| worker())).await;
    failed.load(Relaxed)
}

/// A question of about fifty words.
fn sample(number: usize) -> Sample {
    let story = "A farmer counts the sheep on the hill and the goats by the river before the sun goes down. "
        .repeat(2);
    let prompt = Prompt::Text(format!("{story}How many are {number} and {number}? Answer with a number."));
    let sampling =
        Sampling { max_tokens: 64, temperature: Some(0.0), top_p: None, stop: Vec::new(), seed: None };
    Sample {
        id: number.to_string(),
        input: Request::Generate(Generate { prompt, sampling }),
        target: Vec::new(),
        gold: None,
        cluster: None,
        metadata: serde_json::Map::new(),
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("an unexpected /proc/self/stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(f64::from(ticks) / 100.0)
}
