//! Reading folders of task files into entries.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::member::names;
use super::{Entry, EntryKind};
use crate::task::TaskError;
use crate::taskfile::config::{self, DocTo, TaskConfig, Turn};
use crate::taskfile::include::{Config, Loader};
use crate::taskfile::yaml::Yaml;
use crate::taskfile::{self, data};
use crate::template::Templates;

/// Folders that editors and Python leave behind.
const SKIPPED_FOLDERS: &[&str] = &["__pycache__", ".ipynb_checkpoints"];

/// What a file holds.
pub struct Found {
    /// Its entry.
    pub entry: Entry,
    /// A task's tags.
    pub tags: Vec<String>,
    /// A group's tasks that are written inside it.
    pub written: Vec<Entry>,
}

/// Adds an entry and its tags; the first of a name stays.
pub fn register(found: &mut BTreeMap<String, Entry>, entry: Entry, tags: Vec<String>) {
    if entry.kind == EntryKind::Task && !found.contains_key(&entry.name) {
        for tag in tags {
            let empty = || new_entry(tag.clone(), EntryKind::Tag, None);
            let known = found.entry(tag.clone()).or_insert_with(empty);
            if known.kind == EntryKind::Tag && !known.members.contains(&entry.name) {
                known.members.push(entry.name.clone());
            }
        }
    }
    found.entry(entry.name.clone()).or_insert(entry);
}

/// The `*.yaml` files below a folder, or the file itself.
pub fn list(root: &Path, files: &mut Vec<PathBuf>) -> Result<(), TaskError> {
    let failed = |e: std::io::Error| TaskError::new(format!("{}: {e}", root.display()));
    if fs::metadata(root).map_err(failed)?.is_file() {
        files.push(root.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            if !SKIPPED_FOLDERS.iter().any(|skipped| entry.file_name() == *skipped) {
                list(&path, files)?;
            }
        } else if path.extension().is_some_and(|e| e == "yaml") && (kind.is_file() || path.is_file()) {
            files.push(path);
        }
    }
    Ok(())
}

/// Reads files into entries; remembers what many files share.
#[derive(Default)]
pub struct Scanner {
    loader: Loader,
    templates: Templates,
    /// What is wrong with a template or pattern, by its text.
    checked: HashMap<String, Option<String>>,
}

impl Scanner {
    /// The file's entry and its tags; `None` for a template of other files.
    pub fn read(&mut self, path: &Path) -> Result<Option<Found>, TaskError> {
        let config = self.loader.load(path)?;
        let text = |key: &str| config.get(key).and_then(|s| s.value.value.as_str().map(str::to_owned));
        let group = text("group").filter(|_| config.get("class").is_none());
        let (name, kind) = match (group, text("task")) {
            (Some(group), _) => (group, EntryKind::Group),
            (None, Some(task)) => (task, EntryKind::Task),
            (None, None) => return Ok(None),
        };
        let mut entry = new_entry(name, kind, Some(path.to_owned()));
        let mut written = Vec::new();
        match (kind, config.get("task")) {
            (EntryKind::Group, Some(list)) => {
                let mut inside = Vec::new();
                names(list.value, &mut entry.members, &mut inside);
                for (name, entries) in inside {
                    let mut task = new_entry(name, EntryKind::Task, Some(path.to_owned()));
                    match self.loader.written_inside(entries.to_vec(), path) {
                        Ok(config) => self.judge(&config, &mut task),
                        Err(e) => task.reasons.push(first_line(&e)),
                    }
                    written.push(task);
                }
            }
            (EntryKind::Group, None) => {}
            _ => self.judge(&config, &mut entry),
        }
        Ok(Some(Found { entry, tags: tags(&config), written }))
    }

    /// Finds out why a task cannot be run.
    fn judge(&mut self, config: &Config, entry: &mut Entry) {
        let reading = match config::read(config) {
            Ok(reading) => reading,
            Err(e) => {
                entry.reasons = config::python(config);
                entry.reasons.push(first_line(&e));
                return;
            }
        };
        entry.output_type = Some(reading.config.output_type.name());
        entry.reasons = reading.reasons;
        self.check_templates(&reading.config, &mut entry.reasons);
        // These make their own data.
        if config.get("class").is_some() || config.get("custom_dataset").is_some() {
            return;
        }
        match data::locate(config) {
            Err(e) | Ok(Err(e)) => entry.reasons.push(first_line(&e)),
            Ok(Ok(found)) => match taskfile::asked_split(&reading.config) {
                None => entry.reasons.push("neither test_split nor validation_split is there".to_owned()),
                Some(split) => {
                    if let Err(e) = found.files(&split) {
                        entry.reasons.push(first_line(&e));
                    }
                }
            },
        }
    }

    fn check_templates(&mut self, config: &TaskConfig, reasons: &mut Vec<String>) {
        let mut sources = vec![("description", config.description.as_str())];
        for (turn, inherited) in [(&config.turn, None), (&config.fewshot.turn, Some(&config.turn))] {
            sources.extend(turn_sources(turn, inherited));
        }
        for (key, source) in sources {
            if source.contains('{') {
                let templates = &self.templates;
                let check = || templates.check(source).err().map(|e| e.message);
                if let Some(why) = self.checked.entry(source.to_owned()).or_insert_with(check) {
                    reasons.push(format!("{key}: {why}"));
                }
            }
        }
        let filters = config.pipelines.iter().flat_map(crate::filter::Pipeline::patterns);
        for pattern in filters.chain(config.metrics.iter().flat_map(crate::metric::Metric::patterns)) {
            // A template never begins like this.
            let key = format!("re:{}", pattern.source());
            if let Some(why) = self.checked.entry(key).or_insert_with(|| pattern.regex().err()) {
                reasons.push(why.clone());
            }
        }
    }
}

fn turn_sources<'t>(turn: &'t Turn, inherited: Option<&'t Turn>) -> Vec<(&'static str, &'t str)> {
    let parts = |turn: &'t Turn| {
        [
            ("doc_to_text", turn.doc_to_text.as_ref()),
            ("doc_to_target", turn.doc_to_target.as_ref()),
            ("doc_to_choice", turn.doc_to_choice.as_ref()),
        ]
    };
    let known = inherited.map(parts);
    let mut sources: Vec<(&'static str, &'t str)> = Vec::new();
    for (i, (key, part)) in parts(turn).into_iter().enumerate() {
        if let (Some(DocTo::Text(text)), true) = (part, known.is_none_or(|k| k[i].1 != part)) {
            sources.push((key, text));
        }
    }
    sources.extend(turn.gen_prefix.as_deref().map(|prefix| ("gen_prefix", prefix)));
    sources
}

fn first_line(error: &TaskError) -> String {
    let line = error.message.lines().next().unwrap_or_default();
    match &error.hint {
        Some(hint) if hint.starts_with("did you mean") => format!("{line}; {hint}"),
        _ => line.to_owned(),
    }
}

fn tags(config: &Config) -> Vec<String> {
    match config.get("tag").map(|s| &s.value.value) {
        Some(Yaml::Str(tag)) => vec![tag.to_string()],
        Some(Yaml::Seq(items)) => items.iter().filter_map(|n| n.value.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

fn new_entry(name: String, kind: EntryKind, path: Option<PathBuf>) -> Entry {
    Entry { name, kind, path, output_type: None, members: Vec::new(), reasons: Vec::new() }
}
