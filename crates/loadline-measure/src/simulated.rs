//! A simulated subject of known ability: what tests and demonstrations measure against.
//!
//! `fake/ability=0.7` answers 70 % of samples right, decided by a hash of the sample's id and the epoch: the same
//! ones in every run. `fake/rule=follow` keeps the rules of every sample and `fake/rule=break` breaks them: what the two
//! ends of a suite of conduct look like. All read the answer key, which no real model's adapter does.

use std::collections::BTreeMap;
use std::time::Duration;

use loadline_core::model::{
    Basis, BoxFuture, CallContext, Capabilities, ContinuationLoglikelihood, ModelIdentity, Request,
    SIMULATED_PROVIDER,
};
use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Sample, Usage};

/// What can be set, in the order in which it is named to the user.
const KEYS: [&str; 4] = ["ability", "rule", "latency", "error"];
/// Longest simulated latency.
const MAX_LATENCY: Duration = Duration::from_secs(3600);

/// A simulated subject. Its name says all of it: `ability=0.7`, or `rule=follow` or `rule=break` (the same as abilities
/// of 1 and 0), and optionally `latency=20ms` (before every answer) and `error=0.05` (the share of attempts that fail
/// like a server that is down), with commas between.
#[derive(Clone, Debug)]
pub struct Simulated {
    reference: ModelRef,
    ability: f64,
    latency: Duration,
    error: f64,
}

/// Why a name is not that of a simulated subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`fake/{name}` is not a simulated subject: {why}")]
pub struct SimulatedError {
    name: String,
    why: String,
}

impl SimulatedError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        "write `fake/ability=0.7` (a share between 0 and 1), `fake/rule=follow` or `fake/rule=break`, and if you like \
         `,latency=20ms` and `,error=0.05`"
    }
}

impl Simulated {
    /// Reads what follows `fake/`.
    ///
    /// # Errors
    /// When a setting is unknown, missing or out of its range.
    pub fn parse(name: &str) -> Result<Self, SimulatedError> {
        let fail = |why: String| SimulatedError { name: one_line(name, 80), why };
        let mut settings = BTreeMap::new();
        for part in name.split(',') {
            let Some((key, value)) = part.split_once('=') else {
                return Err(fail(format!("`{}` has no `=`", one_line(part, 40))));
            };
            let Some(&known) = KEYS.iter().find(|&&known| known == key) else {
                let near =
                    nearest(key, KEYS).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(fail(format!("there is no setting `{}`{near}", one_line(key, 40))));
            };
            if settings.insert(known, value).is_some() {
                return Err(fail(format!("`{known}` is given twice")));
            }
        }
        let share = |key: &str, value: &str| match value.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
            _ => Err(fail(format!("{key} is `{}`, expected a number from 0 to 1", one_line(value, 40)))),
        };
        let ability = match (settings.get("ability"), settings.get("rule").copied()) {
            (Some(_), Some(_)) => return Err(fail("it has an ability and a rule".to_owned())),
            (None, None) => return Err(fail("it has no ability".to_owned())),
            (Some(ability), None) => share("ability", ability)?,
            (None, Some("follow")) => 1.0,
            (None, Some("break")) => 0.0,
            (None, Some(other)) => {
                return Err(fail(format!("rule is `{}`, expected `follow` or `break`", one_line(other, 40))));
            }
        };
        Ok(Self {
            reference: ModelRef { provider: SIMULATED_PROVIDER.to_owned(), name: name.to_owned() },
            ability,
            error: settings.get("error").map_or(Ok(0.0), |value| share("error", value))?,
            latency: match settings.get("latency") {
                None => Duration::ZERO,
                Some(value) => parse_latency(value).ok_or_else(|| {
                    fail(format!("latency is `{}`, expected a time like 20ms or 2s", one_line(value, 40)))
                })?,
            },
        })
    }

    /// The share of samples it answers right.
    pub fn ability(&self) -> f64 {
        self.ability
    }

    fn answer(&self, request: &Request, context: &CallContext<'_>) -> Result<ModelOutput, ModelError> {
        let draw = |what, attempt: u32| draw(what, &context.sample.id, context.epoch, attempt);
        if draw("error", context.attempt) < self.error {
            return Err(ModelError::new(ModelErrorKind::Server, "simulated failure of the server"));
        }
        let right = draw("answer", 0) < self.ability;
        Ok(match request {
            Request::Generate(generate) => {
                let completion = if right { right_text(context.sample) } else { wrong_text(context.sample) };
                let usage = usage(&generate.prompt.text(), &completion);
                ModelOutput { completion, usage, ..ModelOutput::default() }
            }
            Request::Loglikelihood(request) => {
                let usage = usage(&request.context.text(), "");
                let loglikelihoods = choose(&request.continuations, context.sample, right, draw("choice", 0));
                ModelOutput { loglikelihoods, usage, ..ModelOutput::default() }
            }
            Request::Rolling(request) => {
                let one = likelihood(&request.text, -0.5 - draw("rolling", 0), false);
                ModelOutput {
                    loglikelihoods: vec![one],
                    usage: usage(&request.text, ""),
                    ..ModelOutput::default()
                }
            }
        })
    }
}

impl Model for Simulated {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        ModelIdentity { basis: Basis::Verified, weights: None, settings: BTreeMap::new() }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { generate: true, loglikelihood: true, max_concurrency: None }
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        Box::pin(async move {
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            self.answer(request, context)
        })
    }
}

/// A uniform number in [0, 1) from the hash of what is decided, for which sample and epoch (and attempt).
fn draw(what: &str, id: &str, epoch: u32, attempt: u32) -> f64 {
    let numbers = [epoch.to_be_bytes(), attempt.to_be_bytes()].concat();
    let Digest(bytes) = Digest::of_parts("loadline/simulated/1", &[what.as_bytes(), id.as_bytes(), &numbers]);
    let number = bytes.iter().take(8).fold(0u64, |number, &byte| number << 8 | u64::from(byte));
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    let unit = (number >> 11) as f64 / (1u64 << 53) as f64;
    unit
}

fn right_text(sample: &Sample) -> String {
    sample.target.first().cloned().unwrap_or_default()
}

/// Something that no scorer takes for the target.
fn wrong_text(sample: &Sample) -> String {
    let of_suite = loadline_suites::wrong_answer(sample);
    if !of_suite.is_empty() {
        return of_suite;
    }
    let is_in_target = |text: &str| sample.target.iter().any(|t| t.to_lowercase().contains(text));
    let wrong = ["wrong", "mistaken", "incorrect"].into_iter().find(|text| !is_in_target(text));
    wrong.unwrap_or("?").to_owned()
}

/// Makes the gold continuation the likeliest when right, another one when wrong: as a sum and per byte alike.
fn choose(
    continuations: &[String],
    sample: &Sample,
    right: bool,
    draw: f64,
) -> Vec<ContinuationLoglikelihood> {
    let golds = golds(continuations, sample);
    let likeliest = if right {
        golds.first().copied()
    } else {
        let others: Vec<usize> = (0..continuations.len()).filter(|i| !golds.contains(i)).collect();
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        #[expect(clippy::allow_attributes_without_reason, reason = "a place in a short list")]
        let place = (draw * others.len() as f64) as usize;
        others.get(place).copied()
    };
    let one = |(i, text): (usize, &String)| {
        let is_likeliest = likeliest == Some(i);
        likelihood(text, if is_likeliest { -1e-6 } else { -10.0 }, is_likeliest)
    };
    continuations.iter().enumerate().map(one).collect()
}

/// The right continuations: the one that the key names, or those that are a target after the delimiter. A
/// continuation without choices beside it is right.
fn golds(continuations: &[String], sample: &Sample) -> Vec<usize> {
    if let Some(gold) = sample.gold {
        return vec![gold];
    }
    if continuations.len() == 1 {
        return vec![0];
    }
    let those = |is_right: &dyn Fn(&str, &str) -> bool| -> Vec<usize> {
        let is_gold = |i: &usize| sample.target.iter().any(|target| is_right(&continuations[*i], target));
        (0..continuations.len()).filter(is_gold).collect()
    };
    let alike = those(&|continuation, target| continuation.trim_start() == target.trim_start());
    // Another delimiter than white space stands before the choice.
    if alike.is_empty() { those(&|continuation, target| continuation.ends_with(target)) } else { alike }
}

fn likelihood(text: &str, per_byte: f64, greedy: bool) -> ContinuationLoglikelihood {
    #[expect(clippy::cast_precision_loss, reason = "a text is shorter than 2^52 bytes")]
    let bytes = text.len().max(1) as f64;
    ContinuationLoglikelihood { sum: per_byte * bytes, tokens: tokens(text).max(1), greedy }
}

/// About as many tokens as a real tokenizer would count.
fn tokens(text: &str) -> u32 {
    u32::try_from(text.len().div_ceil(4)).unwrap_or(u32::MAX)
}

fn usage(input: &str, output: &str) -> Usage {
    Usage { input_tokens: tokens(input).into(), output_tokens: tokens(output).into() }
}

fn parse_latency(text: &str) -> Option<Duration> {
    let latency = if let Some(ms) = text.strip_suffix("ms") {
        Duration::from_millis(ms.parse().ok()?)
    } else {
        Duration::from_secs(text.strip_suffix('s')?.parse().ok()?)
    };
    (latency <= MAX_LATENCY).then_some(latency)
}

#[cfg(test)]
mod tests {
    use super::*;
    use loadline_core::model::{Generate, Loglikelihood, Prompt, Sampling};

    fn sample(id: usize, input: Request) -> Sample {
        let metadata = serde_json::Map::new();
        Sample {
            id: id.to_string(),
            input,
            target: vec!["42".into()],
            gold: Some(1),
            cluster: None,
            metadata,
        }
    }

    fn generate() -> Request {
        let sampling = Sampling { max_tokens: 8, temperature: None, top_p: None, stop: vec![], seed: None };
        Request::Generate(Generate { prompt: Prompt::user("6 * 7?"), sampling })
    }

    fn ask(model: &Simulated, sample: &Sample, epoch: u32, attempt: u32) -> Result<ModelOutput, ModelError> {
        model.answer(&sample.input, &CallContext { sample, epoch, attempt })
    }

    #[test]
    fn it_is_right_as_often_as_its_ability_says_and_on_the_same_samples() {
        let model = Simulated::parse("ability=0.7").unwrap();
        let is_right = |id| ask(&model, &sample(id, generate()), 0, 1).unwrap().completion == "42";
        let right: Vec<bool> = (0..10_000).map(is_right).collect();
        let share = right.iter().filter(|&&right| right).count();
        assert!((6_850..=7_150).contains(&share), "{share}");
        assert_eq!(right[..100], (0..100).map(is_right).collect::<Vec<_>>());
        for (ability, expected) in [("ability=0", false), ("ability=1", true)] {
            let model = Simulated::parse(ability).unwrap();
            assert!((0..200).all(|id| {
                (ask(&model, &sample(id, generate()), 0, 1).unwrap().completion == "42") == expected
            }));
        }
    }

    #[test]
    fn the_choice_is_gold_exactly_when_it_is_right() {
        let continuations = ["a long wrong continuation", " x", " the third"].map(String::from).to_vec();
        let request =
            Request::Loglikelihood(Loglikelihood { context: Prompt::Text("q".into()), continuations });
        for (name, expected) in [("ability=1", true), ("ability=0", false)] {
            let model = Simulated::parse(name).unwrap();
            for id in 0..50 {
                let output = ask(&model, &sample(id, request.clone()), 0, 1).unwrap();
                let argmax =
                    |f: &dyn Fn(usize) -> f64| (0..3).max_by(|&a, &b| f(a).total_cmp(&f(b))).unwrap();
                let sums = output.loglikelihoods;
                let lengths = [25.0, 2.0, 10.0];
                assert_eq!(argmax(&|i| sums[i].sum) == 1, expected);
                assert_eq!(argmax(&|i| sums[i].sum / lengths[i]) == 1, expected);
                assert_eq!(sums[1].greedy, expected);
            }
        }
    }

    #[test]
    fn of_several_right_choices_one_is_chosen_exactly_when_it_is_right() {
        for delimiter in [" ", "\n", ": "] {
            let continuations: Vec<String> =
                ["no", "yes or no", "maybe", "never"].iter().map(|c| format!("{delimiter}{c}")).collect();
            let context = Prompt::Text("q".into());
            let request = Request::Loglikelihood(Loglikelihood { context, continuations });
            for (name, expected) in [("ability=1", true), ("ability=0", false)] {
                let model = Simulated::parse(name).unwrap();
                for id in 0..50 {
                    let mut sample = sample(id, request.clone());
                    (sample.gold, sample.target) = (None, vec!["maybe".into(), "never".into()]);
                    let output = ask(&model, &sample, 0, 1).unwrap();
                    let best = output.loglikelihoods.iter().position(|l| l.greedy).unwrap();
                    assert_eq!([2, 3].contains(&best), expected, "{delimiter:?} {name} {best}");
                }
            }
        }
    }

    #[test]
    fn errors_are_drawn_anew_for_every_attempt() {
        let model = Simulated::parse("ability=1,error=0.5").unwrap();
        let failed = |id, attempt| ask(&model, &sample(id, generate()), 0, attempt).is_err();
        assert!((400..600).contains(&(0..1000).filter(|&id| failed(id, 1)).count()));
        assert!((200..300).contains(&(0..1000).filter(|&id| failed(id, 1) && failed(id, 2)).count()));
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        for (name, why) in [
            ("ability=1.5", "ability is `1.5`, expected a number from 0 to 1"),
            ("ability=-0.1", "ability is `-0.1`, expected a number from 0 to 1"),
            ("ability=NaN", "ability is `NaN`, expected a number from 0 to 1"),
            ("abilty=0.5", "there is no setting `abilty`; did you mean `ability`?"),
            ("0.7", "`0.7` has no `=`"),
            ("latency=2s", "it has no ability"),
            ("ability=0.5,latency=soon", "latency is `soon`, expected a time like 20ms or 2s"),
            ("ability=0.5,ability=0.6", "`ability` is given twice"),
            ("rule=bend", "rule is `bend`, expected `follow` or `break`"),
            ("rule=follow,ability=1", "it has an ability and a rule"),
        ] {
            let error = Simulated::parse(name).unwrap_err();
            assert_eq!(error.to_string(), format!("`fake/{name}` is not a simulated subject: {why}"));
        }
    }

    #[test]
    fn suite_items_get_right_and_wrong_answers_that_score_so() {
        for suite_task in crate::suite_task::all() {
            let task = suite_task.task(3, Some(40));
            for (name, expected) in
                [("ability=1", 1.0), ("ability=0", 0.0), ("rule=follow", 1.0), ("rule=break", 0.0)]
            {
                let model = Simulated::parse(name).unwrap();
                for sample in task.samples.iter().map(Result::unwrap) {
                    let output = ask(&model, &sample, 0, 1).unwrap();
                    let scores = task.scorer.score(&sample, &[output]);
                    assert_eq!(
                        scores[0].value.number(),
                        Some(expected),
                        "{} {}",
                        suite_task.name(),
                        sample.id
                    );
                }
            }
        }
    }
}
