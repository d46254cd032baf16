//! Filters: how an answer is read out of what a model wrote.
//!
//! A pipeline starts with the outputs of all epochs of one sample and hands them from step to step, as lm_eval
//! 0.4.13 does. Two things differ: a step after `take_first` works on the answer, not on each of its characters;
//! and an answer that `map` does not know is no answer.

use std::sync::OnceLock;

use loadline_core::suggest::nearest;

use crate::python::regex::{Found, Regex, escape};
use crate::python::strip;
use crate::task::TaskError;
use crate::taskfile::reader::Section;

/// The pipeline of a task that names none.
pub const DEFAULT_PIPELINE: &str = "none";

/// A named chain of steps.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// `filter_list: name`.
    pub name: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// One filter.
#[derive(Clone, Debug)]
pub enum Step {
    /// The first answer only.
    TakeFirst,
    /// The first answers only.
    TakeFirstK(usize),
    /// The answer that occurs most often; of several the earliest.
    MajorityVote,
    /// Without whitespace at both ends.
    RemoveWhitespace,
    /// In lower case.
    Lowercase,
    /// In upper case.
    Uppercase,
    /// The text of a match.
    Regex(Extract),
    /// The text of a match, else the letter of a choice whose text occurs, else a letter after a colon.
    MultiChoiceRegex(Extract, Ignore),
    /// An answer's entry in a table.
    Map {
        /// From answer to answer.
        table: Vec<(String, String)>,
        /// For answers that are not in the table.
        default: Option<String>,
    },
}

/// Which match of a pattern counts.
#[derive(Clone, Debug)]
pub struct Extract {
    pattern: Pattern,
    group_select: i64,
    fallback: String,
}

/// What `multi_choice_regex` leaves out before it looks for a choice's text.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    case: bool,
    punctuation: bool,
    regexes: Vec<Pattern>,
}

/// A pattern, compiled when it is first used.
#[derive(Clone, Debug)]
pub struct Pattern {
    source: String,
    compiled: OnceLock<Result<Regex, String>>,
}

impl Pattern {
    /// A pattern that has not been looked at yet.
    pub fn new(source: impl Into<String>) -> Self {
        Self { source: source.into(), compiled: OnceLock::new() }
    }

    /// As it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The compiled pattern.
    ///
    /// # Errors
    /// When it is none.
    pub fn regex(&self) -> Result<&Regex, String> {
        self.compiled
            .get_or_init(|| Regex::new(&self.source))
            .as_ref()
            .map_err(|e| format!("the pattern `{}` cannot be used: {e}", self.source))
    }
}

/// An answer on its way; `None` is no answer.
type Answer = Option<String>;

impl Pipeline {
    /// `take_first` alone.
    pub fn default_pipeline() -> Self {
        Self { name: DEFAULT_PIPELINE.to_owned(), steps: vec![Step::TakeFirst] }
    }

    /// Whether a step looks at the outputs of several epochs.
    pub fn groups_epochs(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::TakeFirstK(_) | Step::MajorityVote))
    }

    /// Whether a step needs the row's `choices`.
    pub fn needs_choices(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::MultiChoiceRegex(..)))
    }

    /// The patterns in its steps.
    pub fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.steps.iter().flat_map(|step| {
            let (extract, ignore) = match step {
                Step::Regex(extract) => (Some(extract), None),
                Step::MultiChoiceRegex(extract, ignore) => (Some(extract), Some(ignore)),
                _ => (None, None),
            };
            extract.map(|e| &e.pattern).into_iter().chain(ignore.into_iter().flat_map(|i| &i.regexes))
        })
    }

    /// The answers after the last step: one, unless no step takes one.
    ///
    /// # Errors
    /// When a step cannot be applied (a match takes too long, there are too few outputs); the sample is unscored.
    pub fn apply(&self, outputs: &[&str], choices: &[String]) -> Result<Vec<Answer>, String> {
        let mut answers: Vec<Answer> = outputs.iter().map(|text| Some((*text).to_owned())).collect();
        for step in &self.steps {
            answers = step.apply(answers, choices)?;
        }
        Ok(answers)
    }
}

impl Step {
    fn apply(&self, mut answers: Vec<Answer>, choices: &[String]) -> Result<Vec<Answer>, String> {
        let each = |answers: Vec<Answer>, f: &dyn Fn(&str) -> Result<Answer, String>| {
            answers.into_iter().map(|a| a.map_or(Ok(None), |text| f(&text))).collect()
        };
        match self {
            Self::TakeFirst => {
                answers.truncate(1);
                Ok(answers)
            }
            Self::TakeFirstK(k) if answers.len() < *k => {
                Err(format!("take_first_k needs {k} outputs, there are {}", answers.len()))
            }
            Self::TakeFirstK(k) => {
                answers.truncate(*k);
                Ok(answers)
            }
            Self::MajorityVote => Ok(majority(&answers).into_iter().collect()),
            Self::RemoveWhitespace => each(answers, &|text| Ok(Some(strip(text).to_owned()))),
            Self::Lowercase => each(answers, &|text| Ok(Some(text.to_lowercase()))),
            Self::Uppercase => each(answers, &|text| Ok(Some(text.to_uppercase()))),
            Self::Regex(extract) => {
                // lm_eval reads "no answer" as an empty text here.
                let answers = answers.into_iter().map(|a| Some(a.unwrap_or_default())).collect();
                each(answers, &|text| extract.first(text).map(Some))
            }
            Self::MultiChoiceRegex(extract, ignore) => {
                let finder = ChoiceFinder::new(ignore, choices)?;
                let answers = answers.into_iter().map(|a| Some(a.unwrap_or_default())).collect();
                each(answers, &|text| finder.find(extract, ignore, text).map(Some))
            }
            Self::Map { table, default } => each(answers, &|text| {
                let entry = table.iter().find(|(from, _)| from == text).map(|(_, to)| to.clone());
                Ok(entry.or_else(|| default.clone()))
            }),
        }
    }
}

fn majority(answers: &[Answer]) -> Option<Answer> {
    let count = |answer: &Answer| answers.iter().filter(|a| *a == answer).count();
    let mut best: Option<(&Answer, usize)> = None;
    for answer in answers {
        let votes = count(answer);
        if best.is_none_or(|(_, most)| votes > most) {
            best = Some((answer, votes));
        }
    }
    best.map(|(answer, _)| answer.clone())
}

impl Extract {
    /// The selected match, or `None` when there is none.
    fn select(&self, regex: &Regex, text: &str) -> Result<Option<Found>, String> {
        let mut found = regex.find_all(text)?;
        if found.is_empty() {
            return Ok(None);
        }
        let count = i64::try_from(found.len()).unwrap_or(i64::MAX);
        let at = if self.group_select < 0 { self.group_select + count } else { self.group_select };
        match usize::try_from(at) {
            Ok(at) if at < found.len() => Ok(Some(found.swap_remove(at))),
            _ => Ok(None),
        }
    }

    /// `regex`: the match, of several groups the first that is not empty, stripped; else the fallback.
    fn first(&self, text: &str) -> Result<String, String> {
        let answer = match self.select(self.pattern.regex()?, text)? {
            Some(Found::Text(text)) => text,
            Some(Found::Groups(groups)) => {
                groups.into_iter().find(|g| !g.is_empty()).unwrap_or_else(|| self.fallback.clone())
            }
            None => return Ok(self.fallback.clone()),
        };
        Ok(strip(&answer).to_owned())
    }
}

/// The two patterns that `multi_choice_regex` falls back to for a row's choices.
struct ChoiceFinder {
    by_text: Regex,
    letters: Vec<(String, String)>,
    by_letter: Regex,
}

impl ChoiceFinder {
    fn new(ignore: &Ignore, choices: &[String]) -> Result<Self, String> {
        let mut texts: Vec<String> = Vec::new();
        let mut letters = Vec::new();
        let mut plain = Vec::new();
        for (choice, letter) in choices.iter().zip('A'..) {
            let text = ignore.clean(strip(choice))?;
            letters.retain(|(known, _)| *known != text);
            letters.push((text.clone(), format!("({letter})")));
            texts.push(text);
            plain.push(escape(&letter.to_string()));
        }
        // Longest first, so that a choice which begins another cannot shadow it.
        let mut patterns: Vec<String> = texts.iter().map(|t| escape(t)).collect();
        patterns.sort_by_key(|p| std::cmp::Reverse(p.chars().count()));
        Ok(Self {
            by_text: Regex::new(&patterns.join("|"))?,
            letters,
            by_letter: Regex::new(&format!(":[\\s]*({})", plain.join("|")))?,
        })
    }

    fn find(&self, extract: &Extract, ignore: &Ignore, text: &str) -> Result<String, String> {
        let plain = |regex: &Regex, text: &str| -> Result<String, String> {
            Ok(match extract.select(regex, text)? {
                Some(Found::Text(text)) => strip(&text).to_owned(),
                Some(Found::Groups(groups)) => groups
                    .into_iter()
                    .find(|g| !g.is_empty())
                    .map(|g| strip(&g).to_owned())
                    .unwrap_or_default(),
                None => String::new(),
            })
        };
        let mut answer = plain(extract.pattern.regex()?, text)?;
        if answer.is_empty() {
            answer = plain(&self.by_text, &ignore.clean(text)?)?;
            if let Some((_, letter)) = self.letters.iter().find(|(known, _)| *known == answer) {
                answer.clone_from(letter);
            }
        }
        if answer.is_empty() {
            answer = plain(&self.by_letter, text)?;
            if !answer.is_empty() {
                answer = format!("({answer})");
            }
        }
        Ok(if answer.is_empty() { extract.fallback.clone() } else { answer })
    }
}

impl Ignore {
    fn clean(&self, text: &str) -> Result<String, String> {
        let mut text = text.to_owned();
        for pattern in &self.regexes {
            text = pattern.regex()?.replace_all(&text, "")?.into_owned();
        }
        if self.case {
            text = text.to_lowercase();
        }
        if self.punctuation {
            // Python removes the categories P*; `\p{P}` is the same set.
            static PUNCTUATION: OnceLock<Result<Regex, String>> = OnceLock::new();
            let regex = PUNCTUATION.get_or_init(|| Regex::new(r"\pP")).as_ref().map_err(Clone::clone)?;
            text = regex.replace_all(&text, "")?.into_owned();
        }
        Ok(text)
    }
}

const KNOWN: &[(&str, &[&str])] = &[
    ("take_first", &[]),
    ("take_first_k", &["k"]),
    ("majority_vote", &[]),
    ("remove_whitespace", &[]),
    ("lowercase", &[]),
    ("uppercase", &[]),
    ("regex", &["regex_pattern", "group_select", "fallback"]),
    (
        "multi_choice_regex",
        &[
            "regex_pattern",
            "group_select",
            "fallback",
            "ignore_case",
            "ignore_punctuation",
            "regexes_to_ignore",
        ],
    ),
    ("map", &["mapping_dict", "default_value"]),
];

/// Filters of lm_eval 0.4.13 that are not here yet.
const NOT_YET: &[&str] = &["regex_pos", "format_span", "custom", "decontaminate"];

/// Reads `filter_list`. What is not supported is a reason.
///
/// # Errors
/// When a filter or an option is not known or its value does not fit.
pub fn pipelines(top: &Section<'_>, reasons: &mut Vec<String>) -> Result<Vec<Pipeline>, TaskError> {
    let Some(list) = top.sections("filter_list")? else { return Ok(vec![Pipeline::default_pipeline()]) };
    let mut pipelines: Vec<Pipeline> = Vec::new();
    for section in list {
        section.only(&["name", "filter"])?;
        let name =
            section.text("name")?.ok_or_else(|| section.error("name", "a filter list needs a `name`"))?;
        let mut steps = Vec::new();
        for step in section.sections("filter")?.unwrap_or_default() {
            let Some(function) = step.text("function")? else {
                if !step.has("function") {
                    return Err(step.error("function", "a filter needs a `function`"));
                }
                continue;
            };
            if NOT_YET.contains(&function.as_str()) {
                reasons.push(format!("filter {function} is not supported yet"));
            } else {
                steps.push(self::step(&function, &step)?);
            }
        }
        pipelines.push(Pipeline { name, steps });
    }
    if pipelines.is_empty() {
        pipelines.push(Pipeline::default_pipeline());
    }
    Ok(pipelines)
}

fn step(function: &str, section: &Section<'_>) -> Result<Step, TaskError> {
    let Some((_, options)) = KNOWN.iter().find(|(name, _)| *name == function) else {
        let error = section.error("function", format!("filter `{function}` is not known"));
        let names = KNOWN.iter().map(|(name, _)| *name);
        return Err(match nearest(function, names.clone()) {
            Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
            None => error.with_hint(format!("known filters: {}", names.collect::<Vec<_>>().join(", "))),
        });
    };
    section.only(&[&["function"], *options].concat())?;
    Ok(match function {
        "take_first" => Step::TakeFirst,
        "take_first_k" => {
            let k = section.count("k")?.filter(|k| *k > 0);
            Step::TakeFirstK(
                k.ok_or_else(|| section.error("k", "take_first_k needs `k`, 1 or more"))? as usize
            )
        }
        "majority_vote" => Step::MajorityVote,
        "remove_whitespace" => Step::RemoveWhitespace,
        "lowercase" => Step::Lowercase,
        "uppercase" => Step::Uppercase,
        "regex" => Step::Regex(extract(section)?),
        "multi_choice_regex" => Step::MultiChoiceRegex(
            extract(section)?,
            Ignore {
                case: section.truth("ignore_case")?.unwrap_or(false),
                punctuation: section.truth("ignore_punctuation")?.unwrap_or(false),
                regexes: patterns(section, "regexes_to_ignore")?,
            },
        ),
        _ => Step::Map {
            table: section.table("mapping_dict")?.unwrap_or_default(),
            default: section.text("default_value")?,
        },
    })
}

fn extract(section: &Section<'_>) -> Result<Extract, TaskError> {
    let pattern = section.text("regex_pattern")?.unwrap_or_else(|| r"#### (\-?[0-9\.\,]+)".to_owned());
    Ok(Extract {
        pattern: Pattern::new(pattern),
        group_select: section.int("group_select")?.unwrap_or(0),
        fallback: section.text("fallback")?.unwrap_or_else(|| "[invalid]".to_owned()),
    })
}

/// A list of patterns, or one.
///
/// # Errors
/// When it is something else.
pub fn patterns(section: &Section<'_>, key: &str) -> Result<Vec<Pattern>, TaskError> {
    Ok(section.texts(key)?.unwrap_or_default().into_iter().map(Pattern::new).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(pattern: &str, group_select: i64) -> Extract {
        Extract { pattern: Pattern::new(pattern), group_select, fallback: "[invalid]".into() }
    }

    fn run(steps: Vec<Step>, outputs: &[&str], choices: &[&str]) -> Vec<String> {
        let choices: Vec<String> = choices.iter().map(|c| (*c).to_owned()).collect();
        let pipeline = Pipeline { name: "x".into(), steps };
        let answers = pipeline.apply(outputs, &choices).unwrap();
        answers.into_iter().map(|a| a.unwrap_or_else(|| "∅".into())).collect()
    }

    #[test]
    fn regex_selects_groups_and_falls_back() {
        let number = r"(-?[$0-9.,]{2,})|(-?[0-9]+)";
        for (pattern, select, text, expected) in [
            (r"#### (\-?[0-9\.\,]+)", 0, "#### 12 #### 13", "12"),
            (r"#### (\-?[0-9\.\,]+)", -1, "#### 12 #### 13", "13"),
            (r"#### (\-?[0-9\.\,]+)", 5, "#### 12", "[invalid]"),
            (number, -1, "first 10, then 7", "7"),
            (number, 0, "none", "[invalid]"),
            (r"answer is(.*)", 0, "the answer is  (A) \nx", "(A)"),
        ] {
            let out = run(vec![Step::Regex(extract(pattern, select)), Step::TakeFirst], &[text], &[]);
            assert_eq!(out, [expected], "{pattern} {select} {text}");
        }
    }

    #[test]
    fn multi_choice_regex_has_three_ways_to_find_a_letter() {
        let choices = ["Guilty", "Guilty of Romance", "Paris."];
        let ignore = Ignore { case: true, punctuation: true, regexes: vec![] };
        for (text, expected) in [
            ("I say (B) then", "(B)"),
            ("it is guilty of romance, surely", "(B)"),
            ("PARIS", "(C)"),
            ("Answer: C", "(C)"),
            ("nothing", "[invalid]"),
        ] {
            let step = Step::MultiChoiceRegex(extract(r"(\([A-Z]\))", 0), ignore.clone());
            assert_eq!(run(vec![step], &[text], &choices), [expected], "{text}");
        }
    }

    #[test]
    fn votes_tables_and_the_rest() {
        assert_eq!(run(vec![Step::MajorityVote], &["a", "b", "b", "a"], &[]), ["a"]);
        assert_eq!(
            run(vec![Step::TakeFirstK(3), Step::MajorityVote], &["a", "b", "b", "a", "a"], &[]),
            ["b"]
        );
        assert_eq!(run(vec![Step::RemoveWhitespace, Step::Uppercase], &[" x\n"], &[]), ["X"]);
        let table = vec![("yes".to_owned(), "1".to_owned())];
        let map = Step::Map { table, default: None };
        assert_eq!(run(vec![Step::Lowercase, map], &["YES", "no"], &[]), ["1", "∅"]);
        let short = Pipeline { name: "x".into(), steps: vec![Step::TakeFirstK(2)] };
        assert_eq!(short.apply(&["a"], &[]).unwrap_err(), "take_first_k needs 2 outputs, there are 1");
    }
}
