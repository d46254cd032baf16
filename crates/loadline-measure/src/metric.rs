//! Metrics: the value of one metric on one sample, as lm_eval 0.4.13 computes it.

use loadline_core::Value;
use loadline_core::model::ContinuationLoglikelihood;
use loadline_core::score::{Aggregation, MetricSpec};
use loadline_core::suggest::nearest;

use crate::filter::{Pattern, patterns};
use crate::task::TaskError;
use crate::taskfile::config::OutputType;
use crate::taskfile::reader::Section;

/// A metric of a task.
#[derive(Clone, Debug)]
pub struct Metric {
    kind: Kind,
    higher_is_better: bool,
}

/// What is computed. The first group is for choices, the second for text, the others for log-likelihoods.
#[derive(Clone, Debug)]
enum Kind {
    /// The likeliest choice is a right one.
    Acc,
    /// The choice that is likeliest per character is a right one.
    AccNorm,
    /// The choice that is likeliest per byte is a right one.
    AccBytes,
    /// Class chosen and class meant.
    F1,
    /// Squared distance between probabilities and answer key.
    Brier,
    /// The right choice is what the model would have written.
    ChoiceMatch,
    /// The answer equals the target.
    ExactMatch(Box<ExactMatch>),
    /// The target is what the model would have written.
    GreedyAcc,
    /// Log-likelihood of the target.
    Perplexity,
    /// Log-likelihood of the text, over its words.
    WordPerplexity,
    /// Log-likelihood of the text, over its bytes.
    BytePerplexity,
    /// The same, in bits.
    BitsPerByte,
}

/// What `exact_match` leaves out on both sides.
#[derive(Clone, Debug, Default)]
struct ExactMatch {
    regexes: Vec<Pattern>,
    case: bool,
    punctuation: bool,
    numbers: bool,
}

/// The right choices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gold {
    /// One.
    One(usize),
    /// Any of these.
    Any(Vec<usize>),
}

impl Gold {
    fn has(&self, index: usize) -> bool {
        match self {
            Self::One(gold) => *gold == index,
            Self::Any(golds) => golds.contains(&index),
        }
    }
}

impl Metric {
    /// Its name in a task file.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Kind::Acc | Kind::GreedyAcc => "acc",
            Kind::AccNorm => "acc_norm",
            Kind::AccBytes => "acc_bytes",
            Kind::F1 => "f1",
            Kind::Brier => "brier_score",
            Kind::ChoiceMatch | Kind::ExactMatch(_) => "exact_match",
            Kind::Perplexity => "perplexity",
            Kind::WordPerplexity => "word_perplexity",
            Kind::BytePerplexity => "byte_perplexity",
            Kind::BitsPerByte => "bits_per_byte",
        }
    }

    /// How it is reported, under a name that may carry a pipeline's.
    pub fn spec(&self, name: String) -> MetricSpec {
        MetricSpec { name, aggregation: self.aggregation(), higher_is_better: self.higher_is_better }
    }

    fn aggregation(&self) -> Aggregation {
        match self.kind {
            Kind::F1 => Aggregation::F1,
            Kind::Perplexity => Aggregation::Perplexity,
            Kind::WordPerplexity | Kind::BytePerplexity => Aggregation::WeightedPerplexity,
            Kind::BitsPerByte => Aggregation::BitsPerByte,
            _ => Aggregation::Mean,
        }
    }

    /// The patterns in its options.
    pub fn patterns(&self) -> &[Pattern] {
        match &self.kind {
            Kind::ExactMatch(options) => &options.regexes,
            _ => &[],
        }
    }

    /// For a multiple-choice sample. `choices` are without the delimiter before them.
    pub fn of_choices(&self, outputs: &[ContinuationLoglikelihood], choices: &[&str], gold: &Gold) -> Value {
        if outputs.len() != choices.len() || outputs.is_empty() {
            return Value::unscored(format!(
                "{} log-likelihoods for {} choices",
                outputs.len(),
                choices.len()
            ));
        }
        if outputs.iter().any(|o| !o.sum.is_finite()) {
            return Value::unscored("a log-likelihood is not a finite number");
        }
        let best = self.chosen(outputs, choices).unwrap_or_default();
        match (&self.kind, gold) {
            (Kind::Acc | Kind::AccNorm | Kind::AccBytes, _) => Value::correct(gold.has(best)),
            (Kind::ChoiceMatch, _) => {
                Value::correct((0..outputs.len()).any(|i| gold.has(i) && outputs[i].greedy))
            }
            (Kind::F1, Gold::One(gold)) => Value::Class { gold: class(*gold), predicted: class(best) },
            (Kind::Brier, Gold::One(gold)) => Value::Number(brier(outputs, *gold)),
            (Kind::F1 | Kind::Brier, Gold::Any(_)) => {
                Value::unscored(format!("{} needs one right choice, the answer key has several", self.name()))
            }
            _ => self.misplaced(),
        }
    }

    /// The choice that the metric takes for the model's: the likeliest, for some per character or per byte.
    pub fn chosen(&self, outputs: &[ContinuationLoglikelihood], choices: &[&str]) -> Option<usize> {
        if outputs.len() != choices.len() || outputs.is_empty() {
            return None;
        }
        let per = |choice: &str| match self.kind {
            Kind::AccNorm => choice.chars().count(),
            Kind::AccBytes => choice.len(),
            _ => 1,
        };
        #[expect(clippy::cast_precision_loss, reason = "a choice is shorter than 2^52")]
        Some(argmax(outputs.iter().zip(choices).map(|(o, choice)| o.sum / per(choice) as f64)))
    }

    /// For a written answer; right when it equals any of the targets. Several answers are averaged.
    pub fn of_text(&self, answers: &[Option<String>], targets: &[String]) -> Value {
        let Kind::ExactMatch(options) = &self.kind else { return self.misplaced() };
        if answers.is_empty() {
            return Value::unscored("no answer is left after the filters");
        }
        let right = |answer: &Option<String>| -> Result<bool, String> {
            let Some(answer) = answer else { return Ok(false) };
            let answer = options.clean(answer)?;
            for target in targets {
                if options.clean(target)? == answer {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        let mut hits = 0;
        for answer in answers {
            match right(answer) {
                Ok(hit) => hits += u32::from(hit),
                Err(why) => return Value::unscored(why),
            }
        }
        match answers.len() {
            1 => Value::correct(hits == 1),
            #[expect(clippy::cast_precision_loss, reason = "a handful of answers")]
            many => Value::Number(f64::from(hits) / many as f64),
        }
    }

    /// For the log-likelihood of one continuation.
    pub fn of_continuation(&self, output: ContinuationLoglikelihood) -> Value {
        match self.kind {
            Kind::GreedyAcc => Value::correct(output.greedy),
            Kind::Perplexity if output.sum.is_finite() => Value::Number(output.sum),
            Kind::Perplexity => Value::unscored("the log-likelihood is not a finite number"),
            _ => self.misplaced(),
        }
    }

    /// For the log-likelihood of a whole text.
    pub fn of_rolling(&self, output: ContinuationLoglikelihood, text: &str) -> Value {
        let per = match self.kind {
            Kind::WordPerplexity => words(text),
            Kind::BytePerplexity | Kind::BitsPerByte => text.len(),
            _ => return self.misplaced(),
        };
        if !output.sum.is_finite() {
            return Value::unscored("the log-likelihood is not a finite number");
        }
        #[expect(clippy::cast_precision_loss, reason = "a text is shorter than 2^52")]
        Value::Ratio { total: output.sum, per: per as f64 }
    }

    fn misplaced(&self) -> Value {
        Value::unscored(format!("metric {} does not fit what the model was asked", self.name()))
    }
}

fn class(index: usize) -> i64 {
    i64::try_from(index).unwrap_or(i64::MAX)
}

/// Index of the largest number; of equal ones the first, as `numpy.argmax` has it.
fn argmax(numbers: impl Iterator<Item = f64>) -> usize {
    let mut best = (0, f64::NEG_INFINITY);
    for (i, number) in numbers.enumerate() {
        if number > best.1 {
            best = (i, number);
        }
    }
    best.0
}

/// Sum over the choices of (probability − 1 for the right one)², the probabilities being the softmax of the
/// log-likelihoods. Brier, Monthly Weather Review 78 (1950).
fn brier(outputs: &[ContinuationLoglikelihood], gold: usize) -> f64 {
    let most = outputs.iter().map(|o| o.sum).fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = outputs.iter().map(|o| (o.sum - most).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().enumerate().map(|(i, w)| (w / total - if i == gold { 1.0 } else { 0.0 }).powi(2)).sum()
}

/// `len(re.split(r"\s+", text))`.
fn words(text: &str) -> usize {
    let mut runs = 0;
    let mut in_space = false;
    for c in text.chars() {
        let space = crate::python::is_space(c);
        runs += usize::from(space && !in_space);
        in_space = space;
    }
    runs + 1
}

impl ExactMatch {
    fn clean(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for pattern in &self.regexes {
            text = pattern.regex()?.replace_all(&text, "")?.into_owned();
        }
        if self.case {
            text = text.to_lowercase();
        }
        if self.punctuation {
            text.retain(|c| !c.is_ascii_punctuation());
        }
        if self.numbers {
            text.retain(|c| !c.is_ascii_digit());
        }
        Ok(text)
    }
}

const OPTIONS: &[&str] = &[
    "metric",
    "aggregation",
    "higher_is_better",
    "hf_evaluate",
    "ignore_case",
    "ignore_punctuation",
    "ignore_numbers",
    "regexes_to_ignore",
    // Written in some of lm_eval's own task files, and without effect there.
    "average",
    "weight_by_size",
];

/// Metrics of lm_eval 0.4.13 that are not here yet.
const NOT_YET: &[&str] =
    &["bleu", "chrf", "chrf++", "ter", "mcc", "likelihood", "acc_mutual_info", "acc_all", "bypass"];

/// Reads `metric_list`, or takes the output type's own metrics. What is not supported is a reason.
///
/// # Errors
/// When an option is not known or its value does not fit.
pub fn metrics(
    top: &Section<'_>,
    output_type: OutputType,
    reasons: &mut Vec<String>,
) -> Result<Vec<Metric>, TaskError> {
    // A Python function makes the values then: the names are its own.
    if top.has("process_results") {
        return Ok(Vec::new());
    }
    let Some(list) = top.sections("metric_list")? else {
        let names: &[&str] = match output_type {
            OutputType::GenerateUntil => &["exact_match"],
            OutputType::MultipleChoice => &["acc", "acc_norm"],
            OutputType::Loglikelihood => &["perplexity", "acc"],
            OutputType::LoglikelihoodRolling => &["word_perplexity", "byte_perplexity", "bits_per_byte"],
        };
        let known = names.iter().filter_map(|name| known(name, output_type));
        return Ok(known.map(|(kind, higher_is_better, _)| Metric { kind, higher_is_better }).collect());
    };
    let mut metrics: Vec<Metric> = Vec::new();
    for section in list {
        let Some(name) = section.text("metric")? else {
            if !section.has("metric") {
                return Err(section.error("metric", "an entry of `metric_list` needs a `metric`"));
            }
            continue;
        };
        match known(&name, output_type) {
            None => reasons.push(unsupported(&name, output_type)),
            Some((kind, higher, aggregation)) => {
                section.only(OPTIONS)?;
                if let Some(asked) = section.text("aggregation")?.filter(|asked| asked != aggregation) {
                    reasons.push(format!("metric {name} with aggregation {asked} is not supported yet"));
                }
                let kind = match kind {
                    Kind::ExactMatch(_) => Kind::ExactMatch(Box::new(exact_match(&section)?)),
                    kind => kind,
                };
                let higher_is_better = section.truth("higher_is_better")?.unwrap_or(higher);
                metrics.retain(|m| m.name() != name);
                metrics.push(Metric { kind, higher_is_better });
            }
        }
    }
    Ok(metrics)
}

fn exact_match(section: &Section<'_>) -> Result<ExactMatch, TaskError> {
    Ok(ExactMatch {
        regexes: patterns(section, "regexes_to_ignore")?,
        case: section.truth("ignore_case")?.unwrap_or(false),
        punctuation: section.truth("ignore_punctuation")?.unwrap_or(false),
        numbers: section.truth("ignore_numbers")?.unwrap_or(false),
    })
}

/// What a metric computes for an output type, whether more is better, and the one aggregation it goes with.
fn known(name: &str, output_type: OutputType) -> Option<(Kind, bool, &'static str)> {
    Some(match (output_type, name) {
        (OutputType::MultipleChoice, "acc") => (Kind::Acc, true, "mean"),
        (OutputType::MultipleChoice, "acc_norm") => (Kind::AccNorm, true, "mean"),
        (OutputType::MultipleChoice, "acc_bytes") => (Kind::AccBytes, true, "mean"),
        (OutputType::MultipleChoice, "f1") => (Kind::F1, true, "f1"),
        (OutputType::MultipleChoice, "brier_score") => (Kind::Brier, false, "brier_score"),
        (OutputType::MultipleChoice, "exact_match") => (Kind::ChoiceMatch, true, "mean"),
        (OutputType::GenerateUntil, "exact_match") => (Kind::ExactMatch(Box::default()), true, "mean"),
        (OutputType::Loglikelihood, "acc") => (Kind::GreedyAcc, true, "mean"),
        (OutputType::Loglikelihood, "perplexity") => (Kind::Perplexity, false, "perplexity"),
        (OutputType::LoglikelihoodRolling, "word_perplexity") => {
            (Kind::WordPerplexity, false, "weighted_perplexity")
        }
        (OutputType::LoglikelihoodRolling, "byte_perplexity") => {
            (Kind::BytePerplexity, false, "weighted_perplexity")
        }
        (OutputType::LoglikelihoodRolling, "bits_per_byte") => (Kind::BitsPerByte, false, "bits_per_byte"),
        _ => return None,
    })
}

const NAMES: &[&str] = &[
    "acc",
    "acc_norm",
    "acc_bytes",
    "f1",
    "brier_score",
    "exact_match",
    "perplexity",
    "word_perplexity",
    "byte_perplexity",
    "bits_per_byte",
];

fn unsupported(name: &str, output_type: OutputType) -> String {
    if NOT_YET.contains(&name) {
        format!("metric {name} is not supported yet")
    } else if NAMES.contains(&name) {
        format!("metric {name} is not supported for {}", output_type.name())
    } else {
        match nearest(name, NAMES.iter().chain(NOT_YET).copied()) {
            Some(meant) => format!("metric {name} is not known; did you mean `{meant}`?"),
            None => format!("metric {name} is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(sums: &[f64]) -> Vec<ContinuationLoglikelihood> {
        sums.iter().map(|&sum| ContinuationLoglikelihood { sum, tokens: 1, greedy: sum > -1.0 }).collect()
    }

    fn metric(name: &str, output_type: OutputType) -> Metric {
        let (kind, higher_is_better, _) = known(name, output_type).unwrap();
        Metric { kind, higher_is_better }
    }

    #[test]
    fn choices_are_ranked_by_sum_characters_and_bytes() {
        // Per choice -4, -5.5, -6; per character -2, -1.83, -2; per byte -2, -1.83, -1.
        let outputs = outputs(&[-4.0, -5.5, -6.0]);
        let choices = ["ab", "abc", "שלו"];
        let right = |name: &str, gold: Gold| {
            metric(name, OutputType::MultipleChoice).of_choices(&outputs, &choices, &gold).number().unwrap()
        };
        for (name, best) in [("acc", 0), ("acc_norm", 1), ("acc_bytes", 2)] {
            for gold in 0..3 {
                assert_eq!(right(name, Gold::One(gold)), f64::from(u8::from(gold == best)), "{name} {gold}");
            }
            assert_eq!(right(name, Gold::Any(vec![best, 2])), 1.0, "{name}");
        }
        assert_eq!(right("exact_match", Gold::One(0)), 0.0);
        let f1 = metric("f1", OutputType::MultipleChoice);
        assert_eq!(f1.of_choices(&outputs, &choices, &Gold::One(1)), Value::Class { gold: 1, predicted: 0 });
        assert!(matches!(f1.of_choices(&outputs, &choices, &Gold::Any(vec![1])), Value::Unscored(_)));
        assert!(matches!(f1.of_choices(&outputs, &["a"], &Gold::One(0)), Value::Unscored(_)));
    }

    #[test]
    fn the_first_of_equal_choices_wins() {
        let acc = metric("acc", OutputType::MultipleChoice);
        assert_eq!(acc.of_choices(&outputs(&[-2.0, -2.0]), &["a", "b"], &Gold::One(0)), Value::correct(true));
    }

    #[test]
    fn brier_of_an_even_guess_over_four_is_three_quarters() {
        let brier = metric("brier_score", OutputType::MultipleChoice);
        let value = brier.of_choices(&outputs(&[-3.0; 4]), &["a"; 4], &Gold::One(2));
        assert!((value.number().unwrap() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn exact_match_leaves_out_what_it_is_told_to() {
        let with = |regexes: &[&str], case, punctuation, numbers| Metric {
            kind: Kind::ExactMatch(Box::new(ExactMatch {
                regexes: regexes.iter().map(|r| Pattern::new(*r)).collect(),
                case,
                punctuation,
                numbers,
            })),
            higher_is_better: true,
        };
        let check = |metric: &Metric, answer: &str, target: &str| {
            metric.of_text(&[Some(answer.to_owned())], &[target.to_owned()]).number() == Some(1.0)
        };
        let plain = with(&[], false, false, false);
        assert!(check(&plain, "a", "a") && !check(&plain, "a ", "a") && !check(&plain, "A", "a"));
        assert!(check(&with(&[], true, false, false), "ÄB", "äb"));
        assert!(
            check(&with(&[], false, true, false), "(a.)", "a")
                && !check(&with(&[], false, true, false), "a…", "a")
        );
        assert!(check(&with(&[], false, false, true), "a12", "a3"));
        assert!(check(
            &with(&[",", r"\$", r"(?s).*#### ", r"\.$"], false, false, false),
            "x #### $1,234.",
            "1234"
        ));
        assert!(matches!(
            with(&["("], false, false, false).of_text(&[Some("a".into())], &["a".into()]),
            Value::Unscored(_)
        ));
    }

    #[test]
    fn several_targets_and_several_answers() {
        let exact = metric("exact_match", OutputType::GenerateUntil);
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        assert_eq!(exact.of_text(&[Some("b".into())], &texts(&["a", "b"])), Value::correct(true));
        assert_eq!(exact.of_text(&[Some("b".into()), None], &texts(&["b"])), Value::Number(0.5));
        assert_eq!(exact.of_text(&[None], &texts(&["b"])), Value::correct(false));
    }

    #[test]
    fn perplexities_are_ratios() {
        let output = ContinuationLoglikelihood { sum: -6.0, tokens: 3, greedy: false };
        let value = |name: &str| metric(name, OutputType::LoglikelihoodRolling).of_rolling(output, " é  b ");
        assert_eq!(value("word_perplexity"), Value::Ratio { total: -6.0, per: 4.0 });
        assert_eq!(value("byte_perplexity"), Value::Ratio { total: -6.0, per: 7.0 });
        assert_eq!(
            metric("perplexity", OutputType::Loglikelihood).of_continuation(output),
            Value::Number(-6.0)
        );
    }
}
