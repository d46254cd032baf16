//! Is this still the same model? Secret prompts, the answers of the model that was meant, and a two-sample test of
//! those of the one that answers now. `docs/formats/identity.md` is the page of the files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loadline_core::model::{CallContext, Generate, ModelIdentity, Prompt, Sampling};
use loadline_core::{Digest, Instant, Model, ModelError, Request, Sample};
use loadline_stats::two_sample::{self, Similarities, TwoSample};
use loadline_stats::{Estimate, StatsError};
use loadline_suites::{Form, Seed};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::models;

/// `format` of an enrolment.
pub const ENROLMENT_FORMAT: &str = "loadline-identity/1";
/// `format` of a report.
pub const REPORT_FORMAT: &str = "loadline-identity-report/1";
/// The suites whose questions are asked, in turn.
const SUITES: [&str; 5] =
    ["word-problems", "knights-and-knaves", "program-tracing", "instructions", "languages"];
/// The largest enrolment that is read.
const MAX_BYTES: u64 = 64 << 20;
/// Most words of an answer that are compared.
const MAX_WORDS: usize = 200;
/// Tries at one answer.
const TRIES: u32 = 3;
/// From this power on, by the lower end of its interval, finding nothing says something.
const ENOUGH_POWER: f64 = 0.8;
/// Trials of the power.
const TRIALS: u32 = 100;

/// What the model that is meant answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// [`ENROLMENT_FORMAT`].
    pub format: String,
    /// As it was asked for.
    pub model: String,
    /// On what its name rests.
    pub identity: ModelIdentity,
    /// When.
    pub made: Instant,
    /// Most tokens of an answer.
    pub max_tokens: u32,
    /// How it was asked.
    pub temperature: f64,
    /// The prompts. Whoever knows them can answer them as the model did.
    pub prompts: Vec<Asked>,
}

/// One prompt and its answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The prompt.
    pub prompt: Prompt,
    /// The answers, in the order in which they were asked for.
    pub answers: Vec<String>,
}

/// What a test says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A difference of the stated size would have been found, and none was.
    Same,
    /// There is a difference.
    Different,
    /// None was found, and one of the stated size would often not have been.
    Undetermined,
}

/// A test and what it rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: &'static str,
    /// What it says.
    pub verdict: Verdict,
    /// Always `inferred`: a statistical test verifies nothing.
    pub basis: &'static str,
    /// SHA-256 of the enrolment.
    pub enrolment: Digest,
    /// What was enrolled, as it was asked for.
    pub enrolled: String,
    /// What was tested, as it was asked for.
    pub model: String,
    /// What that says of itself.
    pub identity: ModelIdentity,
    /// When.
    pub tested: Instant,
    /// The test.
    pub test: TwoSample,
    /// From which p-value on there is no difference.
    pub alpha: f64,
    /// The difference that the power is about: a model that answers this share of prompts otherwise.
    pub share: f64,
    /// How often that difference would be found.
    pub power: Estimate,
    /// The seed of the exchanges and trials.
    pub seed: u64,
}

/// Prompts that nobody knows who does not know the seed.
pub fn prompts(seed: &Seed, count: usize) -> Result<Vec<Prompt>> {
    let suites: Vec<_> = SUITES.iter().filter_map(|name| loadline_suites::find(name)).collect();
    (0..count)
        .map(|at| {
            let suite = suites[at % suites.len()];
            let sample = suite.sample(seed, Form::Generate, 1, (at / suites.len()) as u64);
            match sample.input {
                Request::Generate(generate) => Ok(generate.prompt),
                _ => Err(Failure::new(Exit::Unexpected, format!("suite `{}` asks no text", suite.name()))),
            }
        })
        .collect()
}

/// How prompts are asked.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// Answers to each prompt.
    pub answers: usize,
    /// Most tokens of each.
    pub max_tokens: u32,
    /// 0 is greedy.
    pub temperature: f64,
    /// The first seed for sampling; each answer has its own.
    pub seed: u64,
    /// Requests under way at once.
    pub at_once: usize,
}

/// Asks every prompt as often as it should be; `progress` is told of each answer.
///
/// # Errors
/// When an answer cannot be had.
pub async fn ask(
    model: &Arc<dyn Model>,
    prompts: &[Prompt],
    how: Asking,
    progress: impl Fn(usize, usize),
) -> Result<Vec<Vec<String>>> {
    let all = prompts.len() * how.answers;
    let at_once = model.capabilities().max_concurrency.unwrap_or(how.at_once).clamp(1, how.at_once);
    let mut answers = vec![vec![String::new(); how.answers]; prompts.len()];
    let mut asked = tokio::task::JoinSet::new();
    let (mut next, mut done) = (0, 0);
    while done < all {
        while next < all && asked.len() < at_once {
            let (at, epoch) = (next / how.answers, next % how.answers);
            let (model, prompt) = (Arc::clone(model), prompts[at].clone());
            let seed = how.seed.wrapping_add(next as u64);
            asked.spawn(async move { (at, epoch, one(&*model, prompt, how, seed).await) });
            next += 1;
        }
        let Some(answer) = asked.join_next().await else { break };
        let (at, epoch, answer) = answer.map_err(|error| Failure::of(Exit::Unexpected, &error))?;
        answers[at][epoch] = answer.map_err(|error| models::model_failure(&error))?;
        done += 1;
        progress(done, all);
    }
    Ok(answers)
}

async fn one(
    model: &dyn Model,
    prompt: Prompt,
    how: Asking,
    seed: u64,
) -> std::result::Result<String, ModelError> {
    let sampling = Sampling {
        max_tokens: how.max_tokens,
        temperature: Some(how.temperature),
        top_p: None,
        stop: Vec::new(),
        seed: (how.temperature > 0.0).then_some(seed),
    };
    let request = Request::Generate(Generate { prompt, sampling });
    let id = Digest::of_json(&request).map(|digest| digest.hex()).unwrap_or_default();
    let sample = Sample {
        id,
        input: request.clone(),
        target: Vec::new(),
        gold: None,
        cluster: None,
        metadata: serde_json::Map::new(),
    };
    let mut attempt = 1;
    loop {
        let context = CallContext { sample: &sample, epoch: 0, attempt };
        match model.call(&request, &context).await {
            Ok(output) => return Ok(output.completion),
            Err(error) if error.is_retryable() && attempt < TRIES => {
                let wait = error.retry_after.unwrap_or(Duration::from_secs(1 << attempt));
                tokio::time::sleep(wait.min(Duration::from_secs(60))).await;
                attempt += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// The share of places at which two answers have the same word, of the places of the longer one.
fn similarity(a: &str, b: &str) -> f64 {
    let words = |text: &str| text.split_whitespace().take(MAX_WORDS).map(str::to_owned).collect::<Vec<_>>();
    let (a, b) = (words(a), words(b));
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 1.0;
    }
    a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / longer as f64
}

/// Compares answers with those of an enrolment. The test, the verdict and the power.
///
/// # Errors
/// When there are too few answers.
pub fn compare(
    enrolment: &Enrolment,
    answers: &[Vec<String>],
    settings: (f64, f64, u32, u64),
) -> std::result::Result<(TwoSample, Verdict, Estimate), StatsError> {
    let (alpha, share, permutations, seed) = settings;
    let mut both = Vec::new();
    let mut enrolled = Vec::new();
    for (asked, now) in enrolment.prompts.iter().zip(answers) {
        let all: Vec<_> = asked.answers.iter().chain(now).collect();
        both.push(Similarities::new(asked.answers.len(), now.len(), |i, j| similarity(all[i], all[j]))?);
        let size = asked.answers.len();
        let pairs = (0..size * size).map(|at| similarity(all[at / size], all[at % size]));
        enrolled.push((size, pairs.collect()));
    }
    let test = two_sample::test(&both, permutations, seed)?;
    let power = two_sample::power(&enrolled, share, alpha, TRIALS, seed)?;
    let verdict = match (test.p_value <= alpha, power.interval.lo >= ENOUGH_POWER) {
        (true, _) => Verdict::Different,
        (false, true) => Verdict::Same,
        (false, false) => Verdict::Undetermined,
    };
    Ok((test, verdict, power))
}

/// Reads an enrolment, and its digest.
///
/// # Errors
/// When it is none.
pub fn read(path: &Path) -> Result<(Enrolment, Digest)> {
    use std::io::Read as _;
    let shown = path.display();
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    file.map_err(|error| Failure::because(Exit::TaskInvalid, format!("cannot read `{shown}`"), &error))?;
    let hint = "`loadline gate identity enroll` makes it";
    let wrong =
        |why: String| Failure::new(Exit::TaskInvalid, format!("`{shown}` is no enrolment: {why}")).hint(hint);
    if bytes.len() as u64 > MAX_BYTES {
        return Err(wrong("it is too large".to_owned()));
    }
    let enrolment: Enrolment = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if enrolment.format != ENROLMENT_FORMAT {
        return Err(wrong(format!("its format is not `{ENROLMENT_FORMAT}`")));
    }
    if enrolment.prompts.is_empty() || enrolment.prompts.iter().any(|asked| asked.answers.len() < 4) {
        return Err(wrong("each prompt needs at least four answers".to_owned()));
    }
    Ok((enrolment, Digest::of(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn similarity_counts_words_at_their_places() {
        assert!((similarity("a b c d", "a b x d") - 0.75).abs() < 1e-12);
        assert!((similarity("a b", "a b c d") - 0.5).abs() < 1e-12);
        assert_eq!((similarity("", " "), similarity("", "a")), (1.0, 0.0));
    }

    /// Answers of a model that has four for each prompt, of six words each; `noise` in 256 of its answers are another model's.
    fn sampled(model: &str, round: u8, noise: u8, prompts: usize, answers: usize) -> Vec<Vec<String>> {
        let answer = |prompt: usize, at: usize| {
            let drawn = Digest::of_parts("draw", &[&[round], &prompt.to_le_bytes(), &at.to_le_bytes()]).0;
            let who = if drawn[0] < noise { "somebody else" } else { model };
            let words = Digest::of_parts(who, &[&prompt.to_le_bytes(), &[drawn[1] % 4]]).0;
            words.iter().take(6).map(|byte| format!("{} ", byte % 16)).collect()
        };
        (0..prompts).map(|prompt| (0..answers).map(|at| answer(prompt, at)).collect()).collect()
    }

    #[test]
    fn a_little_noise_is_no_other_model_and_another_model_is() {
        let prompts = (0..25).map(|at| Prompt::user(format!("{at}")));
        let asked = prompts.zip(sampled("m", 0, 0, 25, 8));
        let enrolment = Enrolment {
            format: ENROLMENT_FORMAT.to_owned(),
            model: "m".to_owned(),
            identity: ModelIdentity {
                basis: loadline_core::model::Basis::Absent,
                weights: None,
                settings: std::collections::BTreeMap::new(),
            },
            made: Instant::EPOCH,
            max_tokens: 8,
            temperature: 1.0,
            prompts: asked.map(|(prompt, answers)| Asked { prompt, answers }).collect(),
        };
        let verdict = |answers: &[Vec<String>]| {
            let (test, verdict, _) = compare(&enrolment, answers, (0.01, 0.2, 999, 3)).unwrap();
            (verdict, test.p_value)
        };
        for round in 1..=3 {
            // The same, and 3 % of its answers otherwise, as after a change of precision.
            for noise in [0, 8] {
                let (verdict, p) = verdict(&sampled("m", round, noise, 25, 4));
                assert_ne!(verdict, Verdict::Different, "{round} {noise} {p}");
            }
            let (verdict, p) = verdict(&sampled("other", round, 0, 25, 4));
            assert_eq!(verdict, Verdict::Different, "{p}");
        }
    }

    /// It is read for ever.
    #[test]
    fn the_golden_enrolment_is_read_and_compared() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/identity.json");
        let (enrolment, digest) = read(&path).unwrap();
        assert_eq!(digest, Digest::of(&std::fs::read(&path).unwrap()));
        let answers: Vec<_> = enrolment.prompts.iter().map(|asked| asked.answers.clone()).collect();
        let (test, verdict, power) = compare(&enrolment, &answers, (0.05, 0.5, 199, 1)).unwrap();
        assert_eq!((verdict, test.prompts, test.answers), (Verdict::Undetermined, 2, 16), "{test:?} {power}");
        assert!(test.p_value > 0.5 && power.interval.lo < ENOUGH_POWER);
    }

    #[test]
    fn prompts_follow_from_the_seed_and_differ() {
        let make = |seed| prompts(&Seed::from_bytes([seed; 32]), 25).unwrap();
        assert_eq!(make(1), make(1));
        let (one, two) = (make(1), make(2));
        assert!(one.iter().all(|prompt| !two.contains(prompt)));
        assert!((1..one.len()).all(|at| !one[..at].contains(&one[at])));
    }
}
