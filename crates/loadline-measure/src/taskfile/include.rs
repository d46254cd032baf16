//! A task file with what it includes: later includes win over earlier ones, the file's own keys over both.

use std::collections::HashMap;
use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use loadline_core::untrusted::sanitize;

use super::yaml::{self, At, Node, Yaml};
use crate::task::TaskError;

/// Largest task file.
const MAX_BYTES: u64 = 8 << 20;
/// Longest chain of includes.
const MAX_CHAIN: usize = 32;

/// One file as it stands, without what it includes.
#[derive(Debug)]
pub struct Document {
    /// As it was asked for.
    pub path: PathBuf,
    entries: Vec<(Node, Node)>,
}

impl Document {
    /// The file's folder: relative paths in it start here.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }
}

/// A key's value and the file that sets it.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'c> {
    /// The key.
    pub key: &'c Node,
    /// The value.
    pub value: &'c Node,
    /// The file.
    pub document: &'c Document,
}

/// A file merged with what it includes.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file itself.
    pub document: Arc<Document>,
    /// Document and index of the entry there, in no particular order.
    settings: Vec<(Arc<Document>, usize)>,
    /// Every file that was read for it, itself included.
    files: Vec<PathBuf>,
}

impl Config {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Setting<'_>> {
        self.settings().find(|s| s.key.value.as_str() == Some(key))
    }

    /// All keys with their values.
    pub fn settings(&self) -> impl Iterator<Item = Setting<'_>> {
        self.settings.iter().map(|(document, index)| {
            let (key, value) = &document.entries[*index];
            Setting { key, value, document }
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.document.path
    }

    /// The same configuration with the entries of a mapping on top, as a group overrides its members' keys.
    #[must_use]
    pub fn overridden(&self, overrides: Vec<(Node, Node)>, written_in: &Path) -> Self {
        let mut merged = self.clone();
        let document = Arc::new(Document { path: written_in.to_owned(), entries: overrides });
        merged.put(&document);
        merged
    }

    fn put(&mut self, document: &Arc<Document>) {
        for index in 0..document.entries.len() {
            self.put_one(document, index);
        }
    }

    fn put_one(&mut self, document: &Arc<Document>, index: usize) {
        let key = &document.entries[index].0.value;
        let slot = (document.clone(), index);
        match self.settings.iter_mut().find(|(d, i)| d.entries[*i].0.value == *key) {
            Some(known) => *known = slot,
            None => self.settings.push(slot),
        }
    }
}

/// Reads task files; a file that many others include is read once.
#[derive(Debug, Default)]
pub struct Loader {
    included: HashMap<PathBuf, Result<Arc<Config>, TaskError>>,
}

impl Loader {
    /// Reads a file and what it includes.
    ///
    /// # Errors
    /// When a file is not there, is not YAML or not a mapping, or includes itself or one file twice.
    pub fn load(&mut self, path: &Path) -> Result<Config, TaskError> {
        self.load_chain(path, &mut Vec::new())
    }

    /// A mapping inside another file, with what it includes.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn written_inside(&mut self, entries: Vec<(Node, Node)>, path: &Path) -> Result<Config, TaskError> {
        self.merge(Arc::new(Document { path: path.to_owned(), entries }), &mut Vec::new())
    }

    fn load_chain(&mut self, path: &Path, chain: &mut Vec<PathBuf>) -> Result<Config, TaskError> {
        self.merge(Arc::new(read(path)?), chain)
    }

    fn merge(&mut self, document: Arc<Document>, chain: &mut Vec<PathBuf>) -> Result<Config, TaskError> {
        let path = &*document.path;
        let mut config =
            Config { document: document.clone(), settings: Vec::new(), files: vec![normal(path)] };
        chain.push(normal(path));
        for (include, at) in includes(&document)? {
            let target = normal(&document.folder().join(&include));
            let included = self.included(&target, &document, at, chain)?;
            if let Some(twice) = included.files.iter().find(|file| config.files.contains(file)) {
                let message = format!("`{}` is included twice", twice.display());
                return Err(at_place(path, at, message)
                    .with_hint("include it in one place only; lm_eval refuses this too"));
            }
            config.files.extend(included.files.iter().cloned());
            for (document, index) in &included.settings {
                if document.entries[*index].0.value.as_str() != Some("task_list") {
                    config.put_one(document, *index);
                }
            }
        }
        chain.pop();
        let own = (0..document.entries.len())
            .filter(|i| document.entries[*i].0.value.as_str() != Some("include"))
            .collect::<Vec<_>>();
        for index in own {
            config.put_one(&document, index);
        }
        Ok(config)
    }

    fn included(
        &mut self,
        target: &Path,
        from: &Document,
        at: At,
        chain: &mut Vec<PathBuf>,
    ) -> Result<Arc<Config>, TaskError> {
        if let Some(known) = self.included.get(target) {
            return known.clone();
        }
        if chain.iter().any(|seen| seen == target) || chain.len() >= MAX_CHAIN {
            let round = chain.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" → ");
            let message = format!("this includes itself: {round} → {}", target.display());
            return Err(at_place(&from.path, at, message));
        }
        if !target.is_file() {
            let message = format!("included file `{}` is not there", target.display());
            return Err(at_place(&from.path, at, message)
                .with_hint("a path in `include` starts at the folder of the file that has it"));
        }
        let loaded = self.load_chain(target, chain).map(Arc::new);
        self.included.insert(target.to_owned(), loaded.clone());
        loaded
    }
}

/// The paths in `include`, with their places.
fn includes(document: &Document) -> Result<Vec<(String, At)>, TaskError> {
    let Some((_, value)) = document.entries.iter().find(|(k, _)| k.value.as_str() == Some("include")) else {
        return Ok(Vec::new());
    };
    let one = |node: &Node| match &node.value {
        Yaml::Str(path) => Ok((path.to_string(), node.at)),
        other => {
            Err(at_place(&document.path, node.at, format!("`include` needs a path, not {}", other.kind())))
        }
    };
    match &value.value {
        Yaml::Seq(items) => items.iter().map(one).collect(),
        _ => Ok(vec![one(value)?]),
    }
}

fn read(path: &Path) -> Result<Document, TaskError> {
    let text = read_text(path)?;
    let root = yaml::parse(&text).map_err(|e| at_place(path, e.at, e.message))?;
    match root.value {
        Yaml::Map(entries) => Ok(Document { path: path.to_owned(), entries }),
        other => Err(at_place(path, root.at, format!("a task file is a mapping, this is {}", other.kind()))),
    }
}

/// A file's text, with a byte-order mark removed.
fn read_text(path: &Path) -> Result<String, TaskError> {
    let failed = |e: std::io::Error| {
        let error = TaskError::new(format!("{}: {e}", path.display()));
        match e.kind() {
            std::io::ErrorKind::NotFound => {
                error.with_hint("check the path; `loadline tasks` lists what there is")
            }
            _ => error,
        }
    };
    let file = fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TaskError::new(format!("{}: larger than {} MiB", path.display(), MAX_BYTES >> 20))
            .with_hint("a task file describes a task; data belongs into files of its own"));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        TaskError::new(format!("{}: not UTF-8 (byte {at})", path.display()))
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// A path without `.` and `..`, as far as the text of the path allows.
pub fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// An error at a place in a file: path, line and column, then the line itself with a caret below the place.
pub fn at_place(path: &Path, at: At, message: impl std::fmt::Display) -> TaskError {
    let head = format!("{}:{}:{}: {message}", path.display(), at.line, at.column);
    match read_text(path).ok().and_then(|text| excerpt(&text, at)) {
        Some(excerpt) => TaskError::new(format!("{head}\n{excerpt}")),
        None => TaskError::new(head),
    }
}

/// A line of a text with a caret below one of its columns. A long line is cut to what is around the column.
pub fn excerpt(text: &str, at: At) -> Option<String> {
    const WIDTH: usize = 96;
    let line = text.lines().nth(usize::try_from(at.line.checked_sub(1)?).ok()?)?;
    let column = usize::try_from(at.column.max(1) - 1).ok()?;
    let start = if column >= WIDTH { column - WIDTH / 2 } else { 0 };
    let shown: String = line
        .chars()
        .skip(start)
        .take(WIDTH)
        .map(|c| if c == '\t' || sanitize(c.encode_utf8(&mut [0; 4])).chars().ne([c]) { ' ' } else { c })
        .collect();
    let number = at.line.to_string();
    let pad = " ".repeat(number.len());
    Some(format!(" {number} | {}\n {pad} | {}^", shown.trim_end(), " ".repeat(column - start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn load(dir: &tempfile::TempDir, name: &str) -> Result<Config, TaskError> {
        Loader::default().load(&dir.path().join(name))
    }

    #[test]
    fn later_includes_win_and_own_keys_win_most() {
        let dir = folder(&[
            ("a.yaml", "include: [base, sub dir/more.yaml]\ntask: a\nz: own\n"),
            ("base", "x: base\ny: base\nz: base\ntask_list: [q]\n"),
            ("sub dir/more.yaml", "include: ../deep\ny: more\n"),
            ("deep", "w: deep\ny: deep\n"),
        ]);
        let config = load(&dir, "a.yaml").unwrap();
        for (key, expected) in [("x", "base"), ("y", "more"), ("z", "own"), ("w", "deep")] {
            assert_eq!(config.get(key).unwrap().value.value.as_str(), Some(expected), "{key}");
        }
        assert!(config.get("task_list").is_none() && config.get("include").is_none());
        assert!(config.get("y").unwrap().document.path.ends_with("sub dir/more.yaml"));
    }

    #[test]
    fn cycles_diamonds_and_missing_files_are_named() {
        let dir = folder(&[
            ("a.yaml", "task: a\ninclude: b.yaml\n"),
            ("b.yaml", "include: a.yaml\n"),
            ("d.yaml", "include: [l, r]\n"),
            ("l", "include: base\n"),
            ("r", "include: base\n"),
            ("base", "x: 1\n"),
            ("m.yaml", "include: nowhere.yaml\n"),
        ]);
        let message = load(&dir, "a.yaml").unwrap_err().message;
        assert!(message.contains("b.yaml:1:10: this includes itself"), "{message}");
        let message = load(&dir, "d.yaml").unwrap_err().message;
        assert!(message.contains("base` is included twice"), "{message}");
        let message = load(&dir, "m.yaml").unwrap_err().message;
        assert!(message.contains("nowhere.yaml` is not there"), "{message}");
        assert!(message.ends_with(" 1 | include: nowhere.yaml\n   |          ^"), "{message}");
    }

    #[test]
    fn excerpts_point_at_the_column_and_hide_control_characters() {
        let at = At { line: 2, column: 3 };
        assert_eq!(excerpt("x\nab\u{1b}c\n", at).unwrap(), " 2 | ab c\n   |   ^");
        let long = "x".repeat(500);
        let shown = excerpt(&long, At { line: 1, column: 400 }).unwrap();
        assert!(shown.lines().all(|l| l.len() < 110), "{shown}");
    }
}
