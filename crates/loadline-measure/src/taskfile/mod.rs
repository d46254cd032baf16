//! Task files: the YAML of lm-evaluation-harness 0.4.13, read into a [`Task`].
//!
//! A file goes through `include` (merged with what it includes), `config` (typed, with lm_eval's defaults), `data`
//! (which files make each split), `prompt` and `examples` (what is asked) into `samples` and a `scorer`.
//! `docs/formats/task-file.md` says what of the format is supported.

pub(crate) mod config;
pub(crate) mod data;
mod examples;
pub(crate) mod include;
mod prompt;
pub(crate) mod reader;
mod samples;
mod scorer;
pub(crate) mod yaml;

use std::path::Path;
use std::sync::Arc;

use loadline_core::digest::{Digest, canonical_json};
use loadline_core::record::TaskIdentity;
use minijinja::value::ValueKind;

use self::config::{OutputType, Sampler, TaskConfig};
use self::examples::{Overlap, Pool};
use self::include::{Config, Loader};
use self::prompt::{Doc, Prompter, written_examples};
use self::samples::{FileSamples, doc};
use self::scorer::FileScorer;
use crate::dataset::Dataset;
use crate::task::{SampleSource as _, Task, TaskError};

/// Most rows that random few-shot examples are chosen from; they are kept in memory.
const MAX_POOL: u64 = 200_000;
/// Rows kept beyond those needed when the first ones are the examples: copies of the row asked are left out.
const SPARE_FIRST: u64 = 64;

/// How a task file is turned into a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Seed of the few-shot choice. With 1234, lm_eval's own default, the prompts are those of lm_eval.
    pub seed: u64,
    /// Overrides the file's `num_fewshot`.
    pub num_fewshot: Option<u32>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { seed: 1234, num_fewshot: None }
    }
}

/// Reads a task file, what it includes and its data (once, for their digest and number), and makes the task.
///
/// # Errors
/// When the file is not there, is not YAML, has a key that is not known or a value that does not fit, needs what
/// is not supported, or when its data cannot be read. A group is an error here; see [`crate::Library`].
pub fn load(path: &Path, options: &LoadOptions) -> Result<Task, TaskError> {
    build(&Loader::default().load(path)?, options)
}

/// Makes the task of a merged file.
///
/// # Errors
/// As [`load`].
pub(crate) fn build(merged: &Config, options: &LoadOptions) -> Result<Task, TaskError> {
    let file = merged.path().display().to_string();
    if merged.get("group").is_some() && config::name(merged).is_none() {
        return Err(TaskError::new(format!("{file}: is a group of tasks, not a task"))
            .with_hint("name it by its group name, with --include-path for its folder"));
    }
    let reading = config::read(merged)?;
    let name = reading.config.name.clone();
    if !reading.reasons.is_empty() {
        return Err(cannot_run(&name, &file, &reading.reasons));
    }
    let mut config = reading.config;
    config.fewshot.count = options.num_fewshot.unwrap_or(config.fewshot.count);
    check_patterns(&config).map_err(|e| TaskError::new(format!("{file}: {e}")))?;
    let located = data::locate(merged)?;
    let data = located.map_err(|e| TaskError { message: format!("{file}: {}", e.message), ..e })?;
    let open = |split: &str| -> Result<Dataset, TaskError> {
        let files =
            data.files(split).map_err(|e| TaskError { message: format!("{file}: {}", e.message), ..e })?;
        Dataset::open(&files, data.format())
    };
    let split = asked_split(&config).ok_or_else(|| no_split(&file))?;
    let asked = open(&split)?;
    let first = match asked.rows().next() {
        Some(row) => doc(0, row?, "sample"),
        None => return Err(no_rows(&asked, &split)),
    };
    let prompter = Prompter::new(&config, file.clone(), &crate::template::columns(&first.value))?;
    let (pool, pool_digests) = pool(&config, &split, &asked, &open, &file)?;
    let digest = digest(merged, &config, &asked, &pool_digests, data.format())?;
    let config = Arc::new(config);
    let any_target = prompter.answer(&first)?.kind() == ValueKind::Seq;
    let samples = FileSamples {
        config: config.clone(),
        prompter,
        data: asked,
        pool,
        seed: options.seed,
        any_target,
        file,
    };
    // What is wrong with every sample shows in the first.
    if let Some(first) = samples.iter().next() {
        first?;
    }
    let scorer = FileScorer::new(config.clone());
    Ok(Task {
        identity: TaskIdentity {
            name,
            version: config.version.clone().unwrap_or_else(|| "unversioned".to_owned()),
            digest,
        },
        description: describe(&config, samples.len()),
        metrics: scorer.specs(),
        scorer: Box::new(scorer),
        samples: Box::new(samples),
        epochs: config.repeats,
    })
}

fn cannot_run(name: &str, file: &str, reasons: &[String]) -> TaskError {
    let error = TaskError::new(format!("{name} ({file}) cannot be run: {}", reasons.join("; ")));
    if reasons.iter().any(|r| r.starts_with("needs Python")) {
        return error.with_hint(
            "do the function's work on the data beforehand, and write a task file without it over that data",
        );
    }
    error
}

/// The split that is asked: `test_split`, else `validation_split`.
pub(crate) fn asked_split(config: &TaskConfig) -> Option<String> {
    config.splits.test.clone().or_else(|| config.splits.validation.clone())
}

fn no_split(file: &str) -> TaskError {
    TaskError::new(format!("{file}: neither test_split nor validation_split is there"))
        .with_hint("`test_split: test` names the split that is asked")
}

fn no_rows(data: &Dataset, split: &str) -> TaskError {
    let files: Vec<String> = data.paths().map(|p| p.display().to_string()).collect();
    TaskError::new(format!("{}: no rows in the split `{split}`", files.join(", ")))
}

/// Compiles the patterns, so that a broken one shows before anything is asked.
///
/// # Errors
/// When one does not compile.
pub(crate) fn check_patterns(config: &TaskConfig) -> Result<(), String> {
    let filters = config.pipelines.iter().flat_map(crate::filter::Pipeline::patterns);
    for pattern in filters.chain(config.metrics.iter().flat_map(crate::metric::Metric::patterns)) {
        pattern.regex()?;
    }
    Ok(())
}

type Opener<'a> = dyn Fn(&str) -> Result<Dataset, TaskError> + 'a;

/// The few-shot examples' rows, and the digests of their files.
fn pool(
    config: &TaskConfig,
    asked_split: &str,
    asked: &Dataset,
    open: &Opener<'_>,
    file: &str,
) -> Result<(Option<Pool>, Vec<Digest>), TaskError> {
    let fewshot = &config.fewshot;
    if fewshot.count == 0 || config.output_type == OutputType::LoglikelihoodRolling {
        return Ok((None, Vec::new()));
    }
    let mut pool =
        Pool { docs: Vec::new(), sampler: fewshot.sampler, count: fewshot.count, overlap: Overlap::None };
    // lm_eval keeps the row asked out when these are equal, also when both are absent.
    let noticed = fewshot.split == config.splits.test;
    let mut digests = Vec::new();
    let source = match (&fewshot.split, written_examples(fewshot)) {
        (None, Some(samples)) => {
            let docs = samples.into_iter().enumerate();
            let place: Arc<str> = "in the task file".into();
            pool.docs = docs
                .map(|(i, value)| Doc { value, name: format!("example {i}").into(), place: place.clone() })
                .collect();
            "fewshot_config.samples".to_owned()
        }
        (named, _) => {
            let split = named
                .as_ref()
                .or(config.splits.training.as_ref())
                .or(config.splits.validation.as_ref())
                .map_or(asked_split, String::as_str);
            let data = if split == asked_split { asked.clone() } else { open(split)? };
            if split == asked_split && !noticed {
                pool.overlap = Overlap::Unnoticed;
            }
            pool.docs = pool_rows(&data, &pool, split)?;
            digests.extend(data.digests());
            format!("the split `{split}`")
        }
    };
    if noticed {
        pool.overlap = Overlap::DrawOneMore;
    }
    if (pool.docs.len() as u64) < u64::from(pool.needed()) {
        let message = format!(
            "{file}: {} few-shot examples are asked for, but {source} has only {} rows",
            fewshot.count,
            pool.docs.len()
        );
        return Err(TaskError::new(message).with_hint("lower num_fewshot"));
    }
    Ok((Some(pool), digests))
}

fn pool_rows(data: &Dataset, pool: &Pool, split: &str) -> Result<Vec<Doc>, TaskError> {
    let most = match pool.sampler {
        Sampler::FirstN => u64::from(pool.needed()) + SPARE_FIRST,
        Sampler::Random if data.len() > MAX_POOL => {
            let message = format!("the split `{split}` has {} rows", data.len());
            return Err(TaskError::new(format!(
                "{message}; few-shot examples are drawn from at most {MAX_POOL}"
            ))
            .with_hint("name a smaller fewshot_split, or `sampler: first_n`"));
        }
        Sampler::Random => MAX_POOL,
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    data.rows().take(most).enumerate().map(|(i, row)| Ok(doc(i, row?, "example"))).collect()
}

/// Keys that change neither questions nor scores, and those whose meaning is in the files' digests.
const NOT_DIGESTED: &[&str] = &[
    "task",
    "task_alias",
    "tag",
    "group",
    "task_list",
    "should_decontaminate",
    "doc_to_decontamination_query",
    "dataset_path",
    "dataset_name",
    "dataset_kwargs",
    "num_fewshot",
    "metadata",
];

/// The digest of everything that makes the questions and the scores: the merged file without comments and layout,
/// how the data is read, and the bytes of the data files.
fn digest(
    merged: &Config,
    config: &TaskConfig,
    asked: &Dataset,
    pool: &[Digest],
    format: &crate::dataset::Format,
) -> Result<Digest, TaskError> {
    let mut settings = serde_json::Map::new();
    for setting in merged.settings() {
        let key = setting.key.value.key_text();
        if !NOT_DIGESTED.contains(&key.as_str()) {
            settings.insert(key, setting.value.value.to_json());
        }
    }
    settings.insert("num_fewshot".to_owned(), config.fewshot.count.into());
    settings.insert("data".to_owned(), format.to_json());
    settings.insert("metadata.version".to_owned(), config.version.clone().into());
    let settings = canonical_json(&settings)
        .map_err(|e| TaskError::new(format!("{}: cannot be digested: {e}", merged.path().display())))?;
    let mut parts: Vec<&[u8]> = vec![&settings];
    let asked: Vec<Digest> = asked.digests().collect();
    parts.extend(asked.iter().map(|d| &d.0[..]));
    parts.push(b"few-shot examples");
    parts.extend(pool.iter().map(|d| &d.0[..]));
    Ok(Digest::of_parts("loadline task file 1", &parts))
}

fn describe(config: &TaskConfig, samples: u64) -> String {
    let asked = match config.output_type {
        OutputType::GenerateUntil => "written answers",
        OutputType::MultipleChoice => "multiple choice",
        OutputType::Loglikelihood => "log-likelihood of an answer",
        OutputType::LoglikelihoodRolling => "log-likelihood of whole texts",
    };
    format!("{asked}, {samples} samples, {}-shot", config.fewshot.count)
}
