//! Where a task's data is: which local files make each split.

use std::path::{Path, PathBuf};

use loadline_core::suggest::nearest;

use super::include::{Config, Document};
use super::reader::Section;
use super::yaml::{Node, Yaml};
use crate::dataset::{CsvOptions, Format};
use crate::task::TaskError;

/// The local data of a task.
#[derive(Clone, Debug)]
pub struct Data {
    source: Source,
    format: Format,
}

#[derive(Clone, Debug)]
enum Source {
    /// `data_files`: split and its paths as written, and the folders they may start at.
    Files { splits: Vec<(String, Vec<String>)>, bases: Vec<PathBuf> },
    /// A folder whose file names tell the splits.
    Folder { folder: PathBuf, extensions: &'static [&'static str] },
    /// One file for every split.
    File(PathBuf),
}

/// Settings of the hub's loader that change nothing about local files.
const IGNORED: &[&str] = &[
    "trust_remote_code",
    "revision",
    "streaming",
    "verification_mode",
    "download_mode",
    "token",
    "cache_dir",
    "num_proc",
    "keep_in_memory",
];
const ALL_EXTENSIONS: &[&str] = &["parquet", "jsonl", "ndjson", "json", "csv", "tsv"];

/// Finds the data of a task; `Err` is a reason that it cannot be run and what to do about it.
///
/// # Errors
/// The outer one: when `dataset_kwargs` has a key or value that does not fit.
pub fn locate(config: &Config) -> Result<Result<Data, TaskError>, TaskError> {
    let top = Section::top(config);
    let Some((node, document)) = top.get("dataset_path") else {
        return Ok(Err(TaskError::new("dataset_path is missing")));
    };
    let Yaml::Str(path) = &node.value else {
        return Err(top.error("dataset_path", "`dataset_path` needs a text"));
    };
    let kwargs = top.section("dataset_kwargs")?;
    let (format, extensions): (Format, &'static [&'static str]) = match &**path {
        "json" => (json_format(kwargs.as_ref())?, &["jsonl", "ndjson", "json"]),
        "csv" => (csv_format(kwargs.as_ref(), b',')?, &["csv", "tsv"]),
        "parquet" => (Format::Parquet, &["parquet"]),
        "text" | "arrow" | "imagefolder" | "audiofolder" | "webdataset" | "xml" | "pandas" | "sql" => {
            return Ok(Err(TaskError::new(format!("data of the kind `{path}` is not supported yet"))
                .with_hint("json, csv and parquet are")));
        }
        path => return at_path(path, config, document, kwargs.as_ref()),
    };
    let Some(kwargs) = kwargs else { return Ok(Err(no_files(path))) };
    kwargs.only(&known_options(path))?;
    if let Some((files, written_in)) = kwargs.get("data_files") {
        let splits = splits(files, &kwargs)?;
        if let Some(url) = splits.iter().flat_map(|(_, paths)| paths).find(|p| p.contains("://")) {
            return Ok(Err(TaskError::new(format!("data: {url} is not downloaded"))
                .with_hint("download it and name the local file in `data_files`")));
        }
        let source = Source::Files { splits, bases: bases(config, written_in) };
        return Ok(Ok(Data { source, format }));
    }
    let Some(folder) = kwargs.text("data_dir")? else { return Ok(Err(no_files(path))) };
    let (_, written_in) = kwargs.get("data_dir").unwrap_or((node, document));
    Ok(match bases(config, written_in).into_iter().map(|b| b.join(&folder)).find(|f| f.is_dir()) {
        Some(folder) => Ok(Data { source: Source::Folder { folder, extensions }, format }),
        None => Err(TaskError::new(format!("data: the folder `{folder}` (data_dir) is not there"))),
    })
}

fn no_files(builder: &str) -> TaskError {
    TaskError::new(format!("data: dataset_path is {builder}, but no data_files are named"))
        .with_hint("add `dataset_kwargs: {data_files: {test: FILE}}`")
}

fn known_options(builder: &str) -> Vec<&'static str> {
    let own: &[&str] = match builder {
        "json" => &["field"],
        "csv" => &["delimiter", "sep", "quotechar", "column_names", "names", "header"],
        _ => &[],
    };
    [&["data_files", "data_dir"], own, IGNORED].concat()
}

fn json_format(kwargs: Option<&Section<'_>>) -> Result<Format, TaskError> {
    let field = kwargs.map(|k| k.text("field")).transpose()?.flatten();
    Ok(Format::Json { field })
}

fn csv_format(kwargs: Option<&Section<'_>>, delimiter: u8) -> Result<Format, TaskError> {
    let mut options = CsvOptions { delimiter, ..CsvOptions::default() };
    let Some(kwargs) = kwargs else { return Ok(Format::Csv(options)) };
    let byte = |key: &str| -> Result<Option<u8>, TaskError> {
        match kwargs.text(key)?.as_deref().map(str::as_bytes) {
            None => Ok(None),
            Some([byte]) => Ok(Some(*byte)),
            Some(_) => Err(kwargs.error(key, format!("`{key}` must be one ASCII character"))),
        }
    };
    options.delimiter = byte("delimiter")?.or(byte("sep")?).unwrap_or(options.delimiter);
    options.quote = byte("quotechar")?.unwrap_or(options.quote);
    options.columns = kwargs.texts("column_names")?.or(kwargs.texts("names")?);
    // With names given, pandas takes the first line for data unless told otherwise.
    options.header = match kwargs.get("header").map(|(node, _)| &node.value) {
        None => !kwargs.has("header") && options.columns.is_none(),
        Some(Yaml::Int(0)) => true,
        Some(Yaml::Str(text)) if &**text == "infer" => options.columns.is_none(),
        Some(_) => return Err(kwargs.error("header", "`header` must be 0, null or left out")),
    };
    if !options.header && options.columns.is_none() {
        return Err(kwargs.error("header", "without a header line, `column_names` must name the columns"));
    }
    Ok(Format::Csv(options))
}

/// A dataset path that is no kind of file: something local, or a dataset on the hub.
fn at_path(
    path: &str,
    config: &Config,
    document: &Document,
    kwargs: Option<&Section<'_>>,
) -> Result<Result<Data, TaskError>, TaskError> {
    let name = Section::top(config).text("dataset_name")?;
    for base in bases(config, document) {
        let target = base.join(path);
        let Ok(metadata) = std::fs::metadata(&target) else { continue };
        if metadata.is_file() {
            let extension = target.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
            return Ok(format_of(&extension, kwargs)?
                .map(|format| Data { source: Source::File(target), format })
                .ok_or_else(|| TaskError::new(format!("data: `{path}` is no JSON, CSV or Parquet file"))));
        }
        let inner = name.as_ref().map(|n| target.join(n)).filter(|t| t.is_dir());
        let folder = inner.unwrap_or(target);
        if let Some(extension) = extension_in(&folder) {
            let format = format_of(extension, kwargs)?.unwrap_or(Format::Parquet);
            let extensions = match format {
                Format::Parquet => &["parquet"][..],
                Format::Json { .. } => &["jsonl", "ndjson", "json"],
                Format::Csv(_) => std::slice::from_ref(if extension == "tsv" { &"tsv" } else { &"csv" }),
            };
            return Ok(Ok(Data { source: Source::Folder { folder, extensions }, format }));
        }
    }
    let what = name.map(|n| format!("`{path}` ({n})")).unwrap_or_else(|| format!("`{path}`"));
    Ok(Err(TaskError::new(format!("data: {what} is a dataset on the hub, not here")).with_hint(
        "download its files, then write a task file that includes this one and has `dataset_path: json` (or csv, \
         parquet) and `dataset_kwargs: {data_files: {test: FILE}}`",
    )))
}

fn format_of(extension: &str, kwargs: Option<&Section<'_>>) -> Result<Option<Format>, TaskError> {
    Ok(Some(match extension {
        "json" | "jsonl" | "ndjson" => json_format(kwargs)?,
        "csv" => csv_format(kwargs, b',')?,
        "tsv" => csv_format(kwargs, b'\t')?,
        "parquet" => Format::Parquet,
        _ => return Ok(None),
    }))
}

/// The kind of data files that a folder (or its `data` folder) has.
fn extension_in(folder: &Path) -> Option<&'static str> {
    let files = data_files(folder, ALL_EXTENSIONS);
    ALL_EXTENSIONS.iter().copied().find(|e| files.iter().any(|(_, path)| has_extension(path, e)))
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e == extension)
}

/// Where relative paths may start: the file that has them, the task file, the current folder.
fn bases(config: &Config, written_in: &Document) -> Vec<PathBuf> {
    let mut bases = vec![written_in.folder().to_owned()];
    let task = config.document.folder().to_owned();
    if !bases.contains(&task) {
        bases.push(task);
    }
    bases.push(PathBuf::new());
    bases
}

/// `data_files` as a text, a list (both are the split `train`, as for the hub's loader) or a mapping.
fn splits(node: &Node, kwargs: &Section<'_>) -> Result<Vec<(String, Vec<String>)>, TaskError> {
    let wrong =
        || kwargs.error("data_files", "`data_files` needs a path, a list of paths or a mapping from splits");
    let paths = |node: &Node| -> Result<Vec<String>, TaskError> {
        match &node.value {
            Yaml::Str(path) => Ok(vec![path.to_string()]),
            Yaml::Seq(items) => {
                items.iter().map(|i| i.value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            _ => Err(wrong()),
        }
    };
    match &node.value {
        Yaml::Map(entries) => entries.iter().map(|(k, v)| Ok((k.value.key_text(), paths(v)?))).collect(),
        _ => Ok(vec![("train".to_owned(), paths(node)?)]),
    }
}

impl Data {
    /// How the files are read.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// The files of a split.
    ///
    /// # Errors
    /// When there is no such split, or one of its files is not there.
    pub fn files(&self, split: &str) -> Result<Vec<PathBuf>, TaskError> {
        match &self.source {
            Source::File(path) => Ok(vec![path.clone()]),
            Source::Files { splits, bases } => {
                let Some((_, paths)) = splits.iter().find(|(name, _)| name == split) else {
                    let known: Vec<&str> = splits.iter().map(|(name, _)| name.as_str()).collect();
                    return Err(no_split(split, "data_files", &known));
                };
                let mut found = Vec::new();
                for path in paths {
                    found.extend(resolve(path, bases)?);
                }
                Ok(found)
            }
            Source::Folder { folder, extensions } => split_of_folder(folder, extensions, split),
        }
    }
}

fn no_split(split: &str, place: &str, known: &[&str]) -> TaskError {
    let error = TaskError::new(format!("data: there is no split `{split}` in {place}"));
    match nearest(split, known.iter().copied()) {
        Some(meant) => error.with_hint(format!("did you mean `{meant}`?")),
        None if known.is_empty() => error,
        None => error.with_hint(format!("it has {}", known.join(", "))),
    }
}

/// A path as written, at the first base where it is; `*` stands for any part of a file name.
fn resolve(path: &str, bases: &[PathBuf]) -> Result<Vec<PathBuf>, TaskError> {
    for base in bases {
        let full = base.join(path);
        if !path.contains('*') {
            if full.exists() {
                return Ok(vec![full]);
            }
            continue;
        }
        let (Some(folder), Some(pattern)) = (full.parent(), full.file_name().and_then(|n| n.to_str())) else {
            continue;
        };
        let mut found: Vec<PathBuf> = list(folder)
            .into_iter()
            .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(|name| matches(pattern, name)))
            .collect();
        found.sort();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let mut looked: Vec<String> = Vec::new();
    for base in bases {
        let text = match base.as_os_str() {
            base if base.is_empty() => "the current folder".to_owned(),
            _ => base.display().to_string(),
        };
        if !looked.contains(&text) {
            looked.push(text);
        }
    }
    Err(TaskError::new(format!("data: `{path}` is not there (looked in {})", looked.join(", "))))
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

fn list(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).map(|e| e.flatten().map(|e| e.path()).collect()).unwrap_or_default();
    paths.sort();
    paths
}

/// The data files in a folder and in its `data` folder, each with the words its place gives: its name's stem and
/// the name of the folder it is in when that is neither.
fn data_files(folder: &Path, extensions: &[&str]) -> Vec<(Vec<String>, PathBuf)> {
    let mut found = Vec::new();
    for path in list(folder) {
        if path.is_dir() {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            for inner in list(&path) {
                if extensions.iter().any(|e| has_extension(&inner, e)) {
                    found.push((vec![stem(&inner), name.clone()], inner));
                }
            }
        } else if extensions.iter().any(|e| has_extension(&path, e)) {
            found.push((vec![stem(&path)], path));
        }
    }
    found
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The hub's other words for a split.
fn words(split: &str) -> &[&str] {
    match split {
        "train" => &["train", "training"],
        "validation" => &["validation", "valid", "dev", "val"],
        "test" => &["test", "testing", "eval", "evaluation"],
        _ => &[],
    }
}

fn split_of_folder(folder: &Path, extensions: &[&str], split: &str) -> Result<Vec<PathBuf>, TaskError> {
    let files = data_files(folder, extensions);
    let is = |name: &str, word: &str| {
        name == word || name.strip_prefix(word).is_some_and(|rest| rest.starts_with(['-', '_', '.']))
    };
    for word in std::iter::once(split).chain(words(split).iter().copied()) {
        let found: Vec<PathBuf> = files
            .iter()
            .filter(|(names, _)| names.iter().any(|n| is(n, word)))
            .map(|(_, p)| p.clone())
            .collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let names: Vec<&str> = files.iter().filter_map(|(names, _)| names.first().map(String::as_str)).collect();
    Err(no_split(split, &format!("the folder {}", folder.display()), &names))
}

#[cfg(test)]
mod tests {
    use super::super::include::Loader;
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn data(dir: &tempfile::TempDir) -> Result<Data, TaskError> {
        locate(&Loader::default().load(&dir.path().join("t.yaml")).unwrap()).unwrap()
    }

    fn names(dir: &tempfile::TempDir, split: &str) -> Vec<String> {
        let strip = |p: PathBuf| p.strip_prefix(dir.path()).unwrap().display().to_string();
        data(dir).unwrap().files(split).unwrap().into_iter().map(strip).collect()
    }

    #[test]
    fn data_files_start_where_they_are_written() {
        let dir = folder(&[
            ("t.yaml", "include: sub/base\n"),
            (
                "sub/base",
                "dataset_path: json\ndataset_kwargs: {data_files: {test: [a.jsonl, 'p-*.jsonl'], dev: b.jsonl}}\n",
            ),
            ("sub/a.jsonl", ""),
            ("sub/p-1.jsonl", ""),
            ("sub/p-0.jsonl", ""),
            ("b.jsonl", ""),
        ]);
        assert_eq!(names(&dir, "test"), ["sub/a.jsonl", "sub/p-0.jsonl", "sub/p-1.jsonl"]);
        assert_eq!(names(&dir, "dev"), ["b.jsonl"]);
        let error = data(&dir).unwrap().files("tst").unwrap_err();
        assert_eq!(error.message, "data: there is no split `tst` in data_files");
        assert_eq!(error.hint.as_deref(), Some("did you mean `test`?"));
    }

    #[test]
    fn folders_tell_splits_by_names() {
        let dir = folder(&[
            ("t.yaml", "dataset_path: here\n"),
            ("here/data/train-00000-of-00002.parquet", ""),
            ("here/data/train-00001-of-00002.parquet", ""),
            ("here/dev.parquet", ""),
            ("here/test/x.parquet", ""),
            ("here/README.md", ""),
        ]);
        assert_eq!(names(&dir, "train").len(), 2);
        assert_eq!(names(&dir, "validation"), ["here/dev.parquet"]);
        assert_eq!(names(&dir, "test"), ["here/test/x.parquet"]);
        assert_eq!(data(&dir).unwrap().format(), &Format::Parquet);
    }

    #[test]
    fn what_is_not_local_is_a_reason() {
        for (yaml, message) in [
            (
                "dataset_path: cais/mmlu\ndataset_name: all\n",
                "data: `cais/mmlu` (all) is a dataset on the hub, not here",
            ),
            ("dataset_path: text\n", "data of the kind `text` is not supported yet"),
            ("dataset_path: json\n", "data: dataset_path is json, but no data_files are named"),
            (
                "dataset_path: json\ndataset_kwargs: {data_files: 'hf://x/y.json'}\n",
                "data: hf://x/y.json is not downloaded",
            ),
            ("task: x\n", "dataset_path is missing"),
        ] {
            let dir = folder(&[("t.yaml", yaml)]);
            assert_eq!(data(&dir).unwrap_err().message, message);
        }
    }

    #[test]
    fn csv_options_are_checked() {
        let csv = |kwargs: &str| {
            let dir = folder(&[(
                "t.yaml",
                &format!("dataset_path: csv\ndataset_kwargs: {{data_files: a.csv, {kwargs}}}"),
            )]);
            let config = Loader::default().load(&dir.path().join("t.yaml")).unwrap();
            locate(&config).map(|d| d.unwrap().format().clone()).map_err(|e| e.message)
        };
        let Ok(Format::Csv(options)) = csv("column_names: [a, b], header: null") else { panic!() };
        assert_eq!((options.columns.unwrap().len(), options.header), (2, false));
        assert!(csv("delimiter: ab").unwrap_err().contains("one ASCII character"));
        assert!(csv("header: null").unwrap_err().contains("column_names"));
        assert!(csv("delimeter: ';'").unwrap_err().contains("unknown key `delimeter`"));
    }

    #[test]
    fn stars_match_any_part_of_a_name() {
        for (pattern, name, fits) in [
            ("a*.json", "ab.json", true),
            ("*", "x", true),
            ("a*b*c", "aXbYc", true),
            ("a*b", "a", false),
            ("*.json", "x.jsonl", false),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }
}
