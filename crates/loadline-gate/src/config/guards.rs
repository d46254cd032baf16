//! `[[guard]]`: what guards go by, and how often each was wrong.

use std::path::Path;
use std::time::Duration;

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_policy::document::Reader;
use loadline_policy::policy::Stage;

use super::{FileRef, ModelConfig, UpstreamConfig, read};
use crate::guard::{
    Action, Classifier, Counts, Judge, MAX_PATTERNS, Measured, OnFailure, Rule, Side, compile,
};

/// A guard, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardConfig {
    /// Its name.
    pub name: String,
    /// Which way it looks.
    pub side: Side,
    /// What it does.
    pub action: Action,
    /// What happens when it cannot decide.
    pub on_failure: OnFailure,
    /// The longest match that is found in a stream, in bytes.
    pub window: usize,
    /// Longest wait for a classifier or a judge.
    pub timeout: Duration,
    /// Only at these models.
    pub models: Vec<String>,
    /// Only at these stages.
    pub stages: Vec<Stage>,
    /// What it goes by, unless that is in a file.
    pub rule: Option<Rule>,
    /// The file of its patterns.
    pub patterns_file: Option<FileRef>,
    /// How often it was wrong; none where `measured = "none"`.
    pub measured: Option<Measured>,
    /// The table.
    pub at: FileRef,
}

impl GuardConfig {
    /// The upstream that it asks, by name.
    pub fn upstream(&self) -> Option<&str> {
        match &self.rule {
            Some(Rule::Classifier(classifier)) => Some(&classifier.upstream),
            Some(Rule::Judge(judge)) => Some(&judge.upstream),
            _ => None,
        }
    }
}

pub(super) fn guard(
    table: &Reader<'_, '_>,
    folder: &Path,
    models: &[ModelConfig],
    upstreams: &[UpstreamConfig],
) -> GuardConfig {
    let (rule, patterns_file) = rule(table, folder, upstreams);
    let asks = matches!(rule, Some(Rule::Classifier(_) | Rule::Judge(_)));
    for key in ["on_failure", "timeout_ms"] {
        if !asks && table.has(key) {
            table.problem(key, "is for a classifier or a judge", "leave it out");
        }
    }
    let side = table.choice("on");
    let action = table.choice("action");
    if side == Side::Input && action == Action::Cut {
        let hint = "`refuse` or `flag`";
        table.problem("action", "cuts a stream, and a request is none", hint);
    }
    let only = table.texts("models");
    for name in only.iter().filter(|name| models.iter().all(|model| model.name != **name)) {
        let message = format!("no model is named `{}`", one_line(name, 60));
        table.problem("models", message, "name one that stands under `[[model]]`");
    }
    let window = table.count_if("window_bytes", 16, 65_536).unwrap_or(256);
    let timeout = table.count_if("timeout_ms", 1, 600_000).unwrap_or(5_000);
    GuardConfig {
        name: table.name("name"),
        side,
        action,
        on_failure: table.choice_if("on_failure").unwrap_or(OnFailure::Closed),
        window: usize::try_from(window).unwrap_or(usize::MAX),
        timeout: Duration::from_millis(timeout),
        models: only,
        stages: table.choices("stages"),
        rule,
        patterns_file,
        measured: measured(table),
        at: FileRef { path: folder.into(), place: table.place("name"), key: "guard.name".to_owned() },
    }
}

fn rule(
    table: &Reader<'_, '_>,
    folder: &Path,
    upstreams: &[UpstreamConfig],
) -> (Option<Rule>, Option<FileRef>) {
    let mut rules = Vec::new();
    let mut file = None;
    if let Some(pattern) = table.text_if("pattern") {
        let patterns = vec![pattern];
        if let Err((_, why)) = compile(&patterns) {
            table.problem("pattern", why, "the syntax is that of Rust's `regex`: no look-around");
        }
        rules.push(Rule::Patterns(patterns));
    }
    if table.has("patterns_file") {
        file = Some(read::file(table, "patterns_file", folder));
    }
    rules.extend(table.count_if("max_tokens", 1, 100_000_000).map(Rule::MaxTokens));
    rules.extend(table.table_if("classifier").map(|table| classifier(&table, upstreams)));
    rules.extend(table.table_if("judge").map(|table| judge(&table, upstreams)));
    if rules.len() + usize::from(file.is_some()) != 1 {
        let hint = "one of `pattern`, `patterns_file`, `max_tokens`, `classifier`, `judge`";
        table.problem("", "has not exactly one rule", hint);
    }
    (rules.into_iter().next().filter(|_| file.is_none()), file)
}

fn upstream(table: &Reader<'_, '_>, upstreams: &[UpstreamConfig]) -> String {
    let name = table.text("upstream");
    if !name.is_empty() && upstreams.iter().all(|upstream| upstream.name != name) {
        let message = format!("no upstream is named `{}`", one_line(&name, 60));
        table.problem("upstream", message, "name one that stands under `[[upstream]]`");
    }
    name
}

fn classifier(table: &Reader<'_, '_>, upstreams: &[UpstreamConfig]) -> Rule {
    let field = table.text("field");
    if !field.is_empty() && !field.starts_with('/') {
        table.problem("field", "is no JSON pointer", "such as `/score` or `/results/0/score`");
    }
    Rule::Classifier(Classifier {
        upstream: upstream(table, upstreams),
        input: table.text_if("input").unwrap_or_else(|| "input".to_owned()),
        model: table.text_if("model"),
        field,
        threshold: table.decimal("threshold").to_string(),
    })
}

fn judge(table: &Reader<'_, '_>, upstreams: &[UpstreamConfig]) -> Rule {
    Rule::Judge(Judge {
        upstream: upstream(table, upstreams),
        model: table.text("model"),
        prompt: table.text("prompt"),
        answer_tokens: table.count_if("answer_tokens", 1, 100_000).unwrap_or(16),
    })
}

/// How often it was wrong. That nobody has measured it must be said.
fn measured(table: &Reader<'_, '_>) -> Option<Measured> {
    if table.is_text("measured") {
        if table.text("measured") != "none" {
            table.problem("measured", "is neither a table nor `none`", HOW_TO_MEASURE);
        }
        return None;
    }
    if !table.has("measured") {
        table.problem("measured", "is missing", HOW_TO_MEASURE);
        return None;
    }
    let table = table.table_if("measured")?;
    let counts = |key| {
        let read = |table: &Reader<'_, '_>| {
            let (k, n) = (table.count("k", 0, 1_000_000_000), table.count("n", 1, 1_000_000_000));
            if k > n {
                table.problem("k", format!("is {k} of {n}"), "`k` of `n` texts");
            }
            Counts { k, n }
        };
        table.table(key, read).unwrap_or(Counts { k: 0, n: 1 })
    };
    let digest = |key| {
        let text = table.text_if(key)?;
        let digest = text.parse().ok();
        if digest.is_none() {
            table.problem(key, "is not a digest", "`sha256:` and 64 digits");
        }
        digest
    };
    let day = table.text("date");
    let date = format!("{day}T00:00:00Z").parse().unwrap_or_else(|_| {
        if !day.is_empty() {
            table.problem("date", format!("`{}` is no day", one_line(&day, 40)), "such as `2027-01-15`");
        }
        Instant::EPOCH
    });
    if !table.has("guard") {
        table.problem("guard", "is missing", HOW_TO_MEASURE);
    }
    Some(Measured {
        false_refusal: counts("false_refusal"),
        miss: counts("miss"),
        on: table.text("on"),
        date,
        guard: digest("guard").unwrap_or(Digest([0; 32])),
        good: digest("good"),
        bad: digest("bad"),
    })
}

const HOW_TO_MEASURE: &str =
    "`loadline gate guard measure` writes it; `measured = \"none\"` says that nobody has measured it";

/// The patterns of a file: one a line; empty lines and those that begin with `#` are none. Each with its line.
pub(super) fn patterns(text: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim_end_matches('\r')));
    let (numbers, patterns): (Vec<_>, Vec<_>) = lines
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|(at, line)| (at, line.to_owned()))
        .unzip();
    if patterns.is_empty() || patterns.len() > MAX_PATTERNS {
        return Err(format!("{} patterns; from 1 to {MAX_PATTERNS} may be", patterns.len()));
    }
    compile(&patterns).map_err(|(at, why)| format!("line {}: {why}", numbers[at - 1]))?;
    Ok(patterns)
}
