//! What a task file says, typed, with lm_eval 0.4.13's defaults.

use loadline_core::model::Sampling;
use loadline_core::suggest::nearest;

use super::include::Config;
use super::reader::Section;
use super::yaml::{Node, Yaml};
use crate::filter::{Pipeline, Step};
use crate::metric::Metric;
use crate::task::TaskError;

/// The keys of a task that lm_eval 0.4.13 knows.
pub const TASK_KEYS: &[&str] = &[
    "task",
    "task_alias",
    "tag",
    "custom_dataset",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "training_split",
    "validation_split",
    "test_split",
    "fewshot_split",
    "process_docs",
    "doc_to_text",
    "doc_to_target",
    "doc_to_image",
    "doc_to_audio",
    "unsafe_code",
    "doc_to_choice",
    "process_results",
    "use_prompt",
    "description",
    "target_delimiter",
    "fewshot_delimiter",
    "fewshot_config",
    "num_fewshot",
    "metric_list",
    "output_type",
    "generation_kwargs",
    "repeats",
    "filter_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "gen_prefix",
    "metadata",
    "include",
    "group",
    "task_list",
    "class",
];

const FEWSHOT_KEYS: &[&str] = &[
    "sampler",
    "split",
    "process_docs",
    "fewshot_indices",
    "samples",
    "doc_to_text",
    "doc_to_choice",
    "doc_to_target",
    "gen_prefix",
    "fewshot_delimiter",
    "target_delimiter",
];

/// What a model is asked for each sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputType {
    /// To write.
    GenerateUntil,
    /// Which of some continuations is likeliest.
    MultipleChoice,
    /// How likely one continuation is.
    Loglikelihood,
    /// How likely a whole text is.
    LoglikelihoodRolling,
}

impl OutputType {
    const ALL: [Self; 4] =
        [Self::GenerateUntil, Self::MultipleChoice, Self::Loglikelihood, Self::LoglikelihoodRolling];

    /// As it is written in a task file.
    pub fn name(self) -> &'static str {
        match self {
            Self::GenerateUntil => "generate_until",
            Self::MultipleChoice => "multiple_choice",
            Self::Loglikelihood => "loglikelihood",
            Self::LoglikelihoodRolling => "loglikelihood_rolling",
        }
    }
}

/// How a part of a prompt or an answer key comes from a row.
#[derive(Clone, Debug, PartialEq)]
pub enum DocTo {
    /// A column's name, or a template.
    Text(String),
    /// A fixed number.
    Int(i64),
    /// A fixed list.
    List(Vec<Node>),
}

/// How a row becomes a question with its answer, and how it is joined to the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The question.
    pub doc_to_text: Option<DocTo>,
    /// The answer.
    pub doc_to_target: Option<DocTo>,
    /// The choices.
    pub doc_to_choice: Option<DocTo>,
    /// Begins the answer.
    pub gen_prefix: Option<String>,
    /// Between question and answer.
    pub target_delimiter: String,
    /// After the answer.
    pub fewshot_delimiter: String,
}

/// How few-shot examples are chosen from their pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampler {
    /// At random, anew for each sample.
    Random,
    /// The first ones.
    FirstN,
}

/// Few-shot examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Fewshot {
    /// How many.
    pub count: u32,
    /// How they are chosen.
    pub sampler: Sampler,
    /// Their split, when it is named.
    pub split: Option<String>,
    /// Examples written in the task file.
    pub samples: Option<Vec<Node>>,
    /// How they are written.
    pub turn: Turn,
}

/// The names of the splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Splits {
    /// `training_split`.
    pub training: Option<String>,
    /// `validation_split`.
    pub validation: Option<String>,
    /// `test_split`.
    pub test: Option<String>,
}

/// What a task file says.
#[derive(Clone, Debug)]
pub struct TaskConfig {
    /// `task`.
    pub name: String,
    /// `metadata.version`.
    pub version: Option<String>,
    /// `output_type`.
    pub output_type: OutputType,
    /// The splits.
    pub splits: Splits,
    /// Before everything else in a prompt.
    pub description: String,
    /// Question and answer.
    pub turn: Turn,
    /// Examples.
    pub fewshot: Fewshot,
    /// How the model writes.
    pub sampling: Sampling,
    /// How often each sample is asked.
    pub repeats: u32,
    /// How answers are read out of outputs, one pipeline after the other.
    pub pipelines: Vec<Pipeline>,
    /// What is reported.
    pub metrics: Vec<Metric>,
}

/// A task file read: what it says, and why it cannot be run (empty when it can, its data aside).
#[derive(Clone, Debug)]
pub struct Reading {
    /// What it says.
    pub config: TaskConfig,
    /// What it needs that is not supported.
    pub reasons: Vec<String>,
}

/// The value of `task` when it is a text.
pub fn name(config: &Config) -> Option<&str> {
    config.get("task").and_then(|s| s.value.value.as_str())
}

/// Reads a merged file.
///
/// # Errors
/// When a key is not known or a value does not fit.
pub fn read(config: &Config) -> Result<Reading, TaskError> {
    let top = Section::top(config);
    let mut reasons = python(config);
    if !top.has("class") {
        top.only(TASK_KEYS)?;
    }
    unsupported_keys(&top, &mut reasons)?;
    let output_type = output_type(&top)?;
    let turn = turn(&top, None)?;
    let pipelines = crate::filter::pipelines(&top, &mut reasons)?;
    let metrics = crate::metric::metrics(&top, output_type, &mut reasons)?;
    let metadata = top.get("metadata").map(|(node, _)| node);
    let fewshot = fewshot(&top, &turn, &mut reasons)?;
    let config = TaskConfig {
        name: top
            .text("task")?
            .ok_or_else(|| top.error("task", "`task` is missing: the task has no name"))?,
        version: metadata
            .and_then(|node| node.get("version"))
            .filter(|node| node.value != Yaml::Null)
            .map(|node| node.value.key_text()),
        output_type,
        splits: Splits {
            training: top.text("training_split")?,
            validation: top.text("validation_split")?,
            test: top.text("test_split")?,
        },
        description: top.text("description")?.unwrap_or_default(),
        sampling: sampling(&top, &turn.fewshot_delimiter, &mut reasons)?,
        repeats: top.count("repeats")?.unwrap_or(1).max(1),
        turn,
        fewshot,
        pipelines,
        metrics,
    };
    let only_first = |p: &Pipeline| p.steps.iter().all(|s| matches!(s, Step::TakeFirst));
    if output_type != OutputType::GenerateUntil && !config.pipelines.iter().all(only_first) {
        reasons.push(format!("filters are not supported for {}", output_type.name()));
    }
    needed_keys(&top, &config, &mut reasons);
    Ok(Reading { config, reasons })
}

/// The reasons that are Python functions; they can be told even when the rest of the file is wrong.
pub fn python(config: &Config) -> Vec<String> {
    let mut reasons = Vec::new();
    for setting in config.settings() {
        functions(&setting.key.value.key_text(), setting.value, &mut reasons);
    }
    reasons
}

/// Every `!function` below a key is a reason of its own.
fn functions(key: &str, node: &Node, reasons: &mut Vec<String>) {
    match &node.value {
        Yaml::Function(name) => reasons.push(format!("needs Python: {key}: !function {name}")),
        Yaml::Seq(items) => items.iter().for_each(|item| functions(key, item, reasons)),
        Yaml::Map(entries) => {
            for (inner, value) in entries {
                if matches!(value.value, Yaml::Function(_) | Yaml::Seq(_) | Yaml::Map(_)) {
                    functions(&format!("{key}.{}", inner.value.key_text()), value, reasons);
                }
            }
        }
        _ => {}
    }
}

fn unsupported_keys(top: &Section<'_>, reasons: &mut Vec<String>) -> Result<(), TaskError> {
    for (key, why) in [
        ("doc_to_image", "images are not supported yet"),
        ("doc_to_audio", "audio is not supported yet"),
        ("use_prompt", "promptsource prompts are not supported"),
        ("process_results", "scoring by a Python function is not supported"),
        ("class", "a task that is a Python class is not supported"),
        ("custom_dataset", "data made by a Python function is not supported"),
    ] {
        if let Some((node, _)) = top.get(key) {
            reasons.push(format!("{why}: {key}: {}", short(&node.value)));
        }
    }
    if top.truth("unsafe_code")? == Some(true) {
        reasons.push("runs code that the model wrote (unsafe_code), which is not supported yet".to_owned());
    }
    Ok(())
}

fn short(value: &Yaml) -> String {
    loadline_core::untrusted::one_line(&value.key_text(), 60)
}

fn output_type(top: &Section<'_>) -> Result<OutputType, TaskError> {
    let Some(text) = top.text("output_type")? else { return Ok(OutputType::GenerateUntil) };
    OutputType::ALL.into_iter().find(|t| t.name() == text).ok_or_else(|| {
        let names = OutputType::ALL.map(OutputType::name);
        let error = top.error("output_type", format!("output_type `{text}` is not known"));
        match nearest(&text, names) {
            Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
            None => error.with_hint(format!("one of {}", names.join(", "))),
        }
    })
}

/// The keys of a question with its answer, of the task or of its few-shot examples (which take the task's where
/// they have none).
fn turn(section: &Section<'_>, outer: Option<&Turn>) -> Result<Turn, TaskError> {
    let doc_to = |key: &str| -> Result<Option<DocTo>, TaskError> {
        let Some((node, _)) = section.get(key) else { return Ok(None) };
        Ok(Some(match &node.value {
            Yaml::Str(text) => DocTo::Text(text.to_string()),
            Yaml::Int(i) => DocTo::Int(*i),
            Yaml::Bool(b) => DocTo::Int(i64::from(*b)),
            Yaml::Seq(items) if key != "doc_to_text" => DocTo::List(items.clone()),
            Yaml::Map(entries) if key == "doc_to_choice" => {
                DocTo::List(entries.iter().map(|(_, v)| v.clone()).collect())
            }
            other => return Err(section.error(key, format!("`{key}` cannot be {}", other.kind()))),
        }))
    };
    Ok(Turn {
        doc_to_text: doc_to("doc_to_text")?.or_else(|| outer?.doc_to_text.clone()),
        doc_to_target: doc_to("doc_to_target")?.or_else(|| outer?.doc_to_target.clone()),
        doc_to_choice: doc_to("doc_to_choice")?.or_else(|| outer?.doc_to_choice.clone()),
        gen_prefix: section.text("gen_prefix")?.or_else(|| outer?.gen_prefix.clone()),
        target_delimiter: section
            .text("target_delimiter")?
            .or_else(|| outer.map(|o| o.target_delimiter.clone()))
            .unwrap_or_else(|| " ".to_owned()),
        fewshot_delimiter: section
            .text("fewshot_delimiter")?
            .or_else(|| outer.map(|o| o.fewshot_delimiter.clone()))
            .unwrap_or_else(|| "\n\n".to_owned()),
    })
}

fn fewshot(top: &Section<'_>, turn: &Turn, reasons: &mut Vec<String>) -> Result<Fewshot, TaskError> {
    let mut fewshot = Fewshot {
        count: top.count("num_fewshot")?.unwrap_or(0),
        sampler: Sampler::Random,
        split: top.text("fewshot_split")?,
        samples: None,
        turn: turn.clone(),
    };
    let Some(section) = top.section("fewshot_config")? else { return Ok(fewshot) };
    section.only(FEWSHOT_KEYS)?;
    fewshot.turn = self::turn(&section, Some(turn))?;
    fewshot.split = section.text("split")?.or(fewshot.split);
    fewshot.sampler = match section.text("sampler")?.as_deref() {
        None | Some("default") => Sampler::Random,
        Some("first_n") => Sampler::FirstN,
        Some(other) => {
            reasons
                .push(format!("fewshot_config.sampler `{other}` is not supported; default and first_n are"));
            Sampler::Random
        }
    };
    if section.get("fewshot_indices").is_some() {
        reasons.push("fewshot_config.fewshot_indices is not supported".to_owned());
    }
    if let Some((node, _)) = section.get("samples") {
        let Yaml::Seq(items) = &node.value else {
            return Err(section.error("samples", "`samples` needs a list of mappings"));
        };
        if let Some(item) = items.iter().find(|item| !matches!(item.value, Yaml::Map(_))) {
            let message = format!("an example in `samples` is a mapping, this is {}", item.value.kind());
            return Err(section.error("samples", message));
        }
        fewshot.samples = Some(items.clone());
    }
    Ok(fewshot)
}

/// `generation_kwargs` as lm_eval normalises them: greedy unless a temperature is given, 256 tokens, and the
/// few-shot delimiter ends the answer.
fn sampling(top: &Section<'_>, delimiter: &str, reasons: &mut Vec<String>) -> Result<Sampling, TaskError> {
    let mut sampling = Sampling {
        max_tokens: 256,
        temperature: Some(0.0),
        top_p: None,
        stop: vec![delimiter.to_owned()],
        seed: None,
    };
    let Some(section) = top.section("generation_kwargs")? else { return Ok(sampling) };
    if section.has("until") {
        sampling.stop = section.texts("until")?.unwrap_or_default();
    }
    sampling.stop.retain(|stop| !stop.is_empty());
    for alias in ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"] {
        if let Some(tokens) = section.count(alias)? {
            sampling.max_tokens = tokens;
            break;
        }
    }
    let greedy = section.truth("do_sample")? == Some(false);
    sampling.temperature = if greedy { Some(0.0) } else { section.number("temperature")?.or(Some(0.0)) };
    sampling.top_p = section.number("top_p")?;
    let greedy = sampling.temperature == Some(0.0);
    for key in section.keys() {
        match key {
            "until"
            | "do_sample"
            | "temperature"
            | "top_p"
            | "max_gen_toks"
            | "max_new_tokens"
            | "max_tokens"
            | "max_completion_tokens" => {}
            // Without sampling these choose nothing.
            "top_k" | "min_p" | "typical_p" if greedy => {}
            "num_beams" if section.int("num_beams")? == Some(1) => {}
            other => reasons.push(format!("generation_kwargs.{other} is not supported yet")),
        }
    }
    Ok(sampling)
}

/// Keys that the output type cannot do without, when no Python function stands in for them.
fn needed_keys(top: &Section<'_>, config: &TaskConfig, reasons: &mut Vec<String>) {
    let rolling = config.output_type == OutputType::LoglikelihoodRolling;
    let choice = config.output_type == OutputType::MultipleChoice;
    for (key, there, needed) in [
        ("doc_to_text", config.turn.doc_to_text.is_some(), !rolling),
        ("doc_to_target", config.turn.doc_to_target.is_some(), true),
        ("doc_to_choice", config.turn.doc_to_choice.is_some(), choice),
    ] {
        let function =
            top.has(key) && reasons.iter().any(|r| r.starts_with(&format!("needs Python: {key}:")));
        if needed && !there && !function && !top.has("class") && !top.has("use_prompt") {
            reasons.push(format!("{key} is missing"));
        }
    }
}
