//! Four-choice questions answered by log-likelihood, as a run does it: `questions MODEL QUESTIONS [OPTION=VALUE…]`.
//!
//! A line of QUESTIONS is `{"prompt", "choices", "gold"}`. Prints one line of JSON: questions, accuracy, seconds,
//! peak memory. Linux only.
#![expect(clippy::print_stdout, reason = "the result of a benchmark")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use loadline_core::model::{Loglikelihood, Prompt};
use loadline_local::decoder::PIECE;
use loadline_local::{Engine, LocalOptions};

#[derive(serde::Deserialize)]
struct Question {
    prompt: String,
    choices: Vec<String>,
    gold: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, questions, options @ ..] = arguments.as_slice() else {
        return Err("usage: questions MODEL QUESTIONS [OPTION=VALUE…]".into());
    };
    let pairs = options.iter().filter_map(|option| option.split_once('='));
    let start = Instant::now();
    let (engine, _) = Engine::open(Path::new(model), &LocalOptions::from_pairs(pairs)?, None)?;
    let loaded = start.elapsed().as_secs_f64();
    let text = std::fs::read_to_string(questions)?;
    let questions: Vec<Question> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let mut right = 0;
    let mut next = questions.iter().peekable();
    while next.peek().is_some() {
        let (mut trees, mut gold, mut tokens) = (Vec::new(), Vec::new(), 0);
        while tokens < PIECE
            && let Some(question) = next.next()
        {
            let tree = engine.tree(&Loglikelihood {
                context: Prompt::Text(question.prompt.clone()),
                continuations: question.choices.iter().map(|choice| format!(" {choice}")).collect(),
            })?;
            tokens += tree.tokens();
            trees.push(tree);
            gold.push(question.gold);
        }
        for (output, gold) in engine.score(&trees, &|| false)?.iter().zip(gold) {
            let best = output.loglikelihoods.iter().enumerate().max_by(|a, b| a.1.sum.total_cmp(&b.1.sum));
            right += usize::from(best.map(|(choice, _)| choice) == Some(gold));
        }
    }
    println!(
        "{{\"questions\":{},\"right\":{right},\"load_seconds\":{loaded:.2},\"seconds\":{:.2},\"peak\":\"{}\"}}",
        questions.len(),
        start.elapsed().as_secs_f64(),
        peak()?,
    );
    Ok(())
}

fn peak() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().to_owned())
}
