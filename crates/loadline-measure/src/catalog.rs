//! The tasks, groups and tags found in folders of task files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;

use crate::task::{Task, TaskError};
use crate::taskfile::config::{self, DocTo, TaskConfig, Turn};
use crate::taskfile::include::{Config, Loader, Setting};
use crate::taskfile::yaml::{Node, Yaml};
use crate::taskfile::{self, LoadOptions, data};
use crate::template::Templates;

/// Deepest nesting of groups.
const MAX_GROUP_DEPTH: usize = 32;
/// Keys of a group file that say what the group is; all others override its members' keys.
const GROUP_KEYS: &[&str] =
    &["group", "group_alias", "task", "aggregate_metric_list", "metadata", "include", "tag"];
/// Folders that editors and Python leave behind.
const SKIPPED_FOLDERS: &[&str] = &["__pycache__", ".ipynb_checkpoints"];

/// What kind of thing a name in the library is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// One task.
    Task,
    /// A file that names several tasks.
    Group,
    /// The tasks whose files carry the tag.
    Tag,
}

/// A name in the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name it is asked for by.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its file; a tag has none.
    pub path: Option<PathBuf>,
    /// For a task: `generate_until`, `multiple_choice`, `loglikelihood` or `loglikelihood_rolling`.
    pub output_type: Option<&'static str>,
    /// For a group or a tag: the names it stands for.
    pub members: Vec<String>,
    /// Why it cannot be run; empty when it can.
    pub reasons: Vec<String>,
}

/// All task files of some folders.
#[derive(Debug, Default)]
pub struct Library {
    entries: BTreeMap<String, Entry>,
    problems: Vec<TaskError>,
}

impl Library {
    /// Reads every `*.yaml` below these folders (a path may also be a file). A later folder wins over an earlier
    /// one; in one folder the first file in path order wins. Files without a `task` or `group` are templates for
    /// others and stand for nothing.
    ///
    /// # Errors
    /// When a folder is not there or cannot be listed. A file that cannot be read is a [problem](Self::problems).
    pub fn scan(include_paths: &[PathBuf]) -> Result<Self, TaskError> {
        let mut library = Self::default();
        let mut scanner = Scanner::default();
        for root in include_paths {
            let mut files = Vec::new();
            list(root, &mut files)?;
            files.sort();
            let mut found = BTreeMap::new();
            for file in &files {
                match scanner.entry(file) {
                    Ok(Some((entry, tags))) => register(&mut found, entry, tags),
                    Ok(None) => {}
                    Err(e) => library.problems.push(e),
                }
            }
            library.entries.append(&mut found);
        }
        library.judge_collections();
        Ok(library)
    }

    /// A group or tag can be run when every task in it can.
    fn judge_collections(&mut self) {
        let names: Vec<String> =
            self.entries.values().filter(|e| e.kind != EntryKind::Task).map(|e| e.name.clone()).collect();
        for name in names {
            let mut tasks = Vec::new();
            let mut missing = Vec::new();
            self.leaves(&name, 0, &mut tasks, &mut missing);
            let cannot = tasks.iter().filter(|t| !t.reasons.is_empty()).count();
            let mut reasons: Vec<String> = missing.iter().map(|m| format!("`{m}` is not there")).collect();
            if cannot > 0 {
                reasons.push(format!("{cannot} of its {} tasks cannot be run", tasks.len()));
            }
            if tasks.is_empty() && reasons.is_empty() {
                reasons.push("it has no tasks".to_owned());
            }
            if let Some(entry) = self.entries.get_mut(&name) {
                entry.reasons = reasons;
            }
        }
    }

    fn leaves<'l>(&'l self, name: &str, depth: usize, tasks: &mut Vec<&'l Entry>, missing: &mut Vec<String>) {
        match self.entries.get(name) {
            None => missing.push(name.to_owned()),
            Some(entry) if entry.kind == EntryKind::Task => tasks.push(entry),
            Some(_) if depth > MAX_GROUP_DEPTH => {}
            Some(entry) => {
                for member in &entry.members {
                    self.leaves(member, depth + 1, tasks, missing);
                }
            }
        }
    }

    /// All entries by name.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Files that cannot be read as task files at all: YAML errors, includes that are not there.
    pub fn problems(&self) -> &[TaskError] {
        &self.problems
    }

    /// The entry of this name.
    ///
    /// # Errors
    /// When there is none; the hint names the nearest.
    pub fn find(&self, name: &str) -> Result<&Entry, TaskError> {
        self.entries.get(name).ok_or_else(|| {
            let shown = loadline_core::untrusted::one_line(name, 80);
            let error = TaskError::new(format!("there is no task, group or tag `{shown}`"));
            match nearest(name, self.entries.keys().map(String::as_str)) {
                Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
                None => error.with_hint("`loadline tasks` lists what there is; --include-path adds folders"),
            }
        })
    }

    /// The tasks that a name (of a task, group or tag) or a path to a task file stands for, ready to run.
    ///
    /// # Errors
    /// When there is no such name or path, or one of the tasks cannot be run.
    pub fn load(&self, name_or_path: &str, options: &LoadOptions) -> Result<Vec<Task>, TaskError> {
        let mut expander = Expander { library: self, loader: Loader::default(), found: Vec::new() };
        if self.entries.contains_key(name_or_path) || !is_path(name_or_path) {
            self.find(name_or_path)?;
            expander.name(name_or_path, &[], 0)?;
        } else {
            let config = expander.loader.load(Path::new(name_or_path))?;
            expander.config(config, &[], 0)?;
        }
        let mut seen = HashSet::new();
        let mut tasks = Vec::new();
        for config in expander.found {
            let task = taskfile::build(&config, options)?;
            if seen.insert((task.identity.name.clone(), task.identity.digest)) {
                tasks.push(task);
            }
        }
        Ok(tasks)
    }
}

/// Whether a text that is no known name is meant as a path.
fn is_path(text: &str) -> bool {
    text.ends_with(".yaml") || text.ends_with(".yml") || Path::new(text).is_file()
}

fn register(found: &mut BTreeMap<String, Entry>, entry: Entry, tags: Vec<String>) {
    if entry.kind == EntryKind::Task && !found.contains_key(&entry.name) {
        for tag in tags {
            let empty = || Entry {
                name: tag.clone(),
                kind: EntryKind::Tag,
                path: None,
                output_type: None,
                members: Vec::new(),
                reasons: Vec::new(),
            };
            let known = found.entry(tag.clone()).or_insert_with(empty);
            if known.kind == EntryKind::Tag && !known.members.contains(&entry.name) {
                known.members.push(entry.name.clone());
            }
        }
    }
    found.entry(entry.name.clone()).or_insert(entry);
}

/// The `*.yaml` files below a folder, or the file itself.
fn list(root: &Path, files: &mut Vec<PathBuf>) -> Result<(), TaskError> {
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
struct Scanner {
    loader: Loader,
    templates: Templates,
    /// What is wrong with a template or pattern, by its text.
    checked: HashMap<String, Option<String>>,
}

impl Scanner {
    /// The file's entry and its tags; `None` for a template of other files.
    fn entry(&mut self, path: &Path) -> Result<Option<(Entry, Vec<String>)>, TaskError> {
        let config = self.loader.load(path)?;
        let text = |key: &str| config.get(key).and_then(|s| s.value.value.as_str().map(str::to_owned));
        let group = text("group").filter(|_| config.get("class").is_none());
        let (name, kind) = match (group, text("task")) {
            (Some(group), _) => (group, EntryKind::Group),
            (None, Some(task)) => (task, EntryKind::Task),
            (None, None) => return Ok(None),
        };
        let mut entry = Entry {
            name,
            kind,
            path: Some(path.to_owned()),
            output_type: None,
            members: Vec::new(),
            reasons: Vec::new(),
        };
        if kind == EntryKind::Group {
            entry.members =
                members(&config).into_iter().filter_map(|m| m.name().map(str::to_owned)).collect();
        } else {
            self.judge(&config, &mut entry);
        }
        Ok(Some((entry, tags(&config))))
    }

    /// Finds out why a task cannot be run.
    fn judge(&mut self, config: &Config, entry: &mut Entry) {
        let reading = match config::read(config) {
            Ok(reading) => reading,
            Err(e) => {
                entry.reasons.push(first_line(&e));
                return;
            }
        };
        entry.output_type = Some(reading.config.output_type.name());
        entry.reasons = reading.reasons;
        self.check_templates(&reading.config, &mut entry.reasons);
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

/// An item of a group's `task` list.
enum Member<'c> {
    /// A name of a task, group or tag.
    Name(&'c str),
    /// A task or group with keys of its own.
    Mapping { entries: &'c [(Node, Node)], name: &'c str, is_group: bool },
    /// Something else.
    Other(&'c Node),
}

impl Member<'_> {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) | Self::Mapping { name, .. } => Some(name),
            Self::Other(_) => None,
        }
    }
}

fn members(config: &Config) -> Vec<Member<'_>> {
    match config.get("task").map(|s: Setting<'_>| s.value) {
        Some(node) => members_of(node),
        None => Vec::new(),
    }
}

fn members_of(node: &Node) -> Vec<Member<'_>> {
    match &node.value {
        Yaml::Seq(items) => items.iter().map(member).collect(),
        Yaml::Str(_) => vec![member(node)],
        _ => Vec::new(),
    }
}

fn member(node: &Node) -> Member<'_> {
    match &node.value {
        Yaml::Str(name) => Member::Name(name),
        Yaml::Map(entries) => {
            let group = node.get("group").and_then(|n| n.value.as_str());
            match group.or_else(|| node.get("task").and_then(|n| n.value.as_str())) {
                Some(name) => Member::Mapping { entries, name, is_group: group.is_some() },
                None => Member::Other(node),
            }
        }
        _ => Member::Other(node),
    }
}

type Overrides = [(Node, Node)];

/// Turns names into configurations.
struct Expander<'l> {
    library: &'l Library,
    loader: Loader,
    found: Vec<Config>,
}

impl Expander<'_> {
    fn name(&mut self, name: &str, overrides: &Overrides, depth: usize) -> Result<(), TaskError> {
        let entry = self.library.find(name)?;
        match (&entry.path, entry.kind) {
            (Some(path), _) => {
                let config = self.loader.load(path)?;
                self.config(config, overrides, depth)
            }
            (None, _) => {
                let mut members = entry.members.clone();
                members.sort();
                members.iter().try_for_each(|member| self.name(member, overrides, depth + 1))
            }
        }
    }

    fn config(&mut self, config: Config, overrides: &Overrides, depth: usize) -> Result<(), TaskError> {
        if depth > MAX_GROUP_DEPTH {
            let message =
                format!("{}: groups are nested deeper than {MAX_GROUP_DEPTH}", config.path().display());
            return Err(TaskError::new(message).with_hint("does a group contain itself?"));
        }
        if config.get("group").is_none() || config.get("class").is_some() {
            let own = overrides.iter().filter(|(k, _)| k.value.as_str() != Some("task")).cloned().collect();
            let path = config.path().to_owned();
            self.found.push(config.overridden(own, &path));
            return Ok(());
        }
        let mut inner: Vec<(Node, Node)> = config
            .settings()
            .filter(|s| !s.key.value.as_str().is_some_and(|key| GROUP_KEYS.contains(&key)))
            .map(|s| (s.key.clone(), s.value.clone()))
            .collect();
        put(&mut inner, overrides);
        for member in members(&config) {
            self.member(&member, &config, &inner, depth)?;
        }
        Ok(())
    }

    fn member(
        &mut self,
        member: &Member<'_>,
        group: &Config,
        overrides: &Overrides,
        depth: usize,
    ) -> Result<(), TaskError> {
        match member {
            Member::Name(name) => self.name(name, overrides, depth + 1),
            Member::Other(node) => {
                let message = "a group's `task` list has names, and mappings with `task` or `group`";
                Err(taskfile::include::at_place(group.path(), node.at, message))
            }
            Member::Mapping { entries, name, is_group } => {
                let known = self.library.entries.contains_key(*name);
                let mut merged = overrides.to_vec();
                let skipped = if *is_group { "group" } else { "task" };
                let own: Vec<(Node, Node)> =
                    entries.iter().filter(|(k, _)| k.value.as_str() != Some(skipped)).cloned().collect();
                put(&mut merged, &own);
                if known {
                    return self.name(name, &merged, depth + 1);
                }
                let mut inline = if *is_group { entries.to_vec() } else { merged };
                if !*is_group {
                    put(
                        &mut inline,
                        &entries
                            .iter()
                            .filter(|(k, _)| k.value.as_str() == Some("task"))
                            .cloned()
                            .collect::<Vec<_>>(),
                    );
                }
                let config = Config::inline(inline, group.path());
                self.config(config, if *is_group { overrides } else { &[] }, depth + 1)
            }
        }
    }
}

/// Sets keys, the later value winning.
fn put(entries: &mut Vec<(Node, Node)>, more: &Overrides) {
    for (key, value) in more {
        match entries.iter_mut().find(|(known, _)| known.value == key.value) {
            Some(known) => known.1 = value.clone(),
            None => entries.push((key.clone(), value.clone())),
        }
    }
}
