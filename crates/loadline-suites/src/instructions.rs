//! `instructions`: writing to rules that a program can check.

mod compose;
mod rule;

use loadline_core::{ModelOutput, Sample, Score, Value};
use serde_json::Map;

use self::compose::Brief;
use self::rule::Rule;
use crate::item::{Item, exact_match};
use crate::seed::Seed;
use crate::stream::Stream;
use crate::suite::{About, Form, Suite};
use crate::words::{ADJECTIVES, CITIES, DAYS, NAMES, OBJECTS};

/// Writing to rules that a program can check.
pub(crate) struct Instructions;

static ABOUT: About = About {
    construct: "Keeping several explicit rules of form at once while writing a short text: counts of bullets, \
                sentences, paragraphs and words, letters to avoid, words to use, capitals, beginnings, endings, JSON.",
    not_measured: "Whether the text is good, true, or about its topic beyond naming two words of it; following \
                   instructions about content, tone or safety; instructions over several turns.",
    validity: "A text of nonsense that keeps the rules scores 1. Words, sentences and bullets are counted by the \
               simple rules of docs/suites.md; a model that counts otherwise (a hyphenated word as two, say) loses, \
               most at level 5, where the number of words is exact.",
    guesser: "generate: gives the reference answer of another item.",
    levels: &[
        "one rule, besides two words to use",
        "two rules",
        "three rules",
        "five rules",
        "seven rules, with an exact number of words",
    ],
};

/// How many rules each level has.
const RULES: [usize; 5] = [1, 2, 3, 5, 7];

impl Suite for Instructions {
    fn name(&self) -> &'static str {
        "instructions"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn forms(&self) -> &'static [Form] {
        // What is written is what is asked about: there is nothing to choose from.
        &[Form::Generate]
    }

    fn sample(&self, seed: &Seed, _form: Form, level: u32, index: u64) -> Sample {
        let item = Item::new(self, seed, level, index);
        let stream = &mut item.stream("question");
        let place = usize::try_from(item.level.saturating_sub(1)).unwrap_or_default();
        let brief = Brief::draw(stream, RULES[place.min(RULES.len() - 1)], item.level > 4);
        // Kept as a rule like the others, so that the score needs nothing else.
        let topic = Rule::Include { words: vec![brief.job.to_owned(), brief.object.to_owned()] };
        let listed: Vec<String> =
            (1..).zip(&brief.rules).map(|(number, rule)| format!("{number}. {}", rule.says())).collect();
        let prompt = format!(
            "Write a short text in English about {}. The details are up to you, but use the words \"{}\" \
             and \"{}\".\n\nFollow {}:\n{}\n\nReply with the text only.",
            topic_of(stream, &brief),
            brief.job,
            brief.object,
            if listed.len() == 1 { "this rule" } else { "all of these rules" },
            listed.join("\n")
        );
        let rules: Vec<&Rule> = std::iter::once(&topic).chain(&brief.rules).collect();
        let mut metadata = Map::new();
        // Rules are plain data: they can always be written as JSON.
        metadata.insert("rules".into(), serde_json::to_value(&rules).unwrap_or_default());
        item.generate(prompt, brief.answer(), 512, metadata)
    }

    fn score(&self, sample: &Sample, output: &ModelOutput) -> Vec<Score> {
        let rules = sample.metadata.get("rules").cloned().unwrap_or_default();
        let rules: Vec<Rule> = match serde_json::from_value(rules) {
            Ok(rules) => rules,
            Err(error) => {
                return unscored(&format!("the sample's metadata has no `rules` to check: {error}"));
            }
        };
        if rules.is_empty() {
            return unscored("the sample's metadata has no `rules` to check");
        }
        let text = output.completion.rfind("</think>");
        let text = text.map_or(output.completion.as_str(), |at| &output.completion[at + "</think>".len()..]);
        let broken: Vec<&str> = rules.iter().filter(|rule| !rule.kept(text)).map(Rule::name).collect();
        let explanation = (!broken.is_empty()).then(|| format!("not kept: {}", broken.join(", ")));
        // A few rules: exact in a float.
        let share = f64::from(u32::try_from(rules.len() - broken.len()).unwrap_or(0))
            / f64::from(u32::try_from(rules.len()).unwrap_or(1));
        vec![
            exact_match(broken.is_empty(), None, explanation),
            Score {
                metric: "constraints".into(),
                value: Value::Number(share),
                answer: None,
                explanation: None,
            },
        ]
    }

    fn chance(&self, _form: Form, _level: u32) -> f64 {
        0.0
    }

    fn wrong_answer(&self, _sample: &Sample) -> String {
        // No occupation and no object in it.
        "I am sorry, but I cannot help with that.".to_owned()
    }
}

/// No score, and why.
fn unscored(reason: &str) -> Vec<Score> {
    ["exact_match", "constraints"]
        .into_iter()
        .map(|metric| Score {
            metric: metric.into(),
            value: Value::unscored(reason),
            answer: None,
            explanation: None,
        })
        .collect()
}

/// What the text is about.
fn topic_of(stream: &mut Stream, brief: &Brief) -> String {
    let with_article = |words: String| {
        let article = if words.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        format!("{article} {words}")
    };
    let others: Vec<&str> = OBJECTS.into_iter().filter(|object| *object != brief.object).collect();
    let object = with_article(format!("{} {}", stream.pick(&ADJECTIVES), brief.object));
    let second = with_article(format!("{} {}", stream.pick(&ADJECTIVES), stream.pick(&others)));
    format!(
        "{} called {} who finds {object} and {second} in {} on a {}",
        with_article(brief.job.to_owned()),
        stream.pick(&NAMES),
        stream.pick(&CITIES),
        stream.pick(&DAYS)
    )
}
