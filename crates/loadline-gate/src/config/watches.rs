//! `[[watch]]`: what of the traffic is scored, what is asked besides, and below what there is an alarm.

use std::path::Path;
use std::time::Duration;

use loadline_core::untrusted::one_line;
use loadline_policy::Named;
use loadline_policy::document::Reader;
use loadline_suites::Form;

use super::{FileRef, GuardConfig, ModelConfig};

/// What happens when there is an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnAlarm {
    /// The operator is told.
    Notice,
    /// The operator is told, and this gate serves the model no more until they clear it.
    Suspend,
}

impl Named for OnAlarm {
    const ALL: &'static [Self] = &[Self::Notice, Self::Suspend];

    fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Suspend => "suspend_locally",
        }
    }
}

/// Where scores come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedConfig {
    /// A share of the traffic, scored by a guard: right where it does not match.
    Live {
        /// The guard, by name.
        guard: String,
        /// The share, as a decimal.
        share: String,
    },
    /// Questions of a suite from a secret seed, scored by it.
    Probe {
        /// The suite.
        suite: String,
        /// Its level.
        level: u32,
        /// How often.
        every: Duration,
        /// Most tokens of an answer.
        max_tokens: u64,
    },
}

/// A watch, as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// Its name.
    pub name: String,
    /// The models that it looks at.
    pub models: Vec<String>,
    /// Where scores come from.
    pub what: WatchedConfig,
    /// The least share of right answers that is no reason for an alarm, as a decimal.
    pub least: String,
    /// Where that figure is from, in words.
    pub source: String,
    /// The chance of a false alarm, as a decimal.
    pub alpha: String,
    /// What happens when there is an alarm.
    pub on_alarm: OnAlarm,
    /// The table.
    pub at: FileRef,
}

pub(super) fn watch(
    table: &Reader<'_, '_>,
    folder: &Path,
    models: &[ModelConfig],
    guards: &[GuardConfig],
) -> WatchConfig {
    let names = table.texts("models");
    if names.is_empty() {
        table.problem("models", "names no model", "name at least one");
    }
    for name in names.iter().filter(|name| models.iter().all(|model| model.name != **name)) {
        let message = format!("no model is named `{}`", one_line(name, 60));
        table.problem("models", message, "name one that stands under `[[model]]`");
    }
    let what = match (table.has("guard"), table.has("suite")) {
        (true, false) => live(table, guards),
        (false, true) => probe(table),
        _ => {
            let hint = "`guard` scores a share of the traffic, `suite` asks questions of its own";
            table.problem("", "has not exactly one of `guard` and `suite`", hint);
            WatchedConfig::Live { guard: String::new(), share: String::new() }
        }
    };
    WatchConfig {
        name: table.name("name"),
        models: names,
        what,
        least: part(table, "least"),
        source: table.text("source"),
        alpha: if table.has("alpha") { part(table, "alpha") } else { "0.001".to_owned() },
        on_alarm: table.choice_if("on_alarm").unwrap_or(OnAlarm::Notice),
        at: FileRef { path: folder.into(), place: table.place("name"), key: "watch.name".to_owned() },
    }
}

/// A number between 0 and 1, without either.
fn part(table: &Reader<'_, '_>, key: &'static str) -> String {
    let text = table.decimal(key).to_string();
    if !text.parse::<f64>().is_ok_and(|number| number > 0.0 && number < 1.0) {
        table.problem(key, format!("is {text}"), "a number above 0 and below 1, such as 0.9");
    }
    text
}

fn live(table: &Reader<'_, '_>, guards: &[GuardConfig]) -> WatchedConfig {
    let guard = table.text("guard");
    if guards.iter().all(|known| known.name != guard) {
        let message = format!("no guard is named `{}`", one_line(&guard, 60));
        let hint = "name one that stands under `[[guard]]`; `action = \"score\"` makes one for this alone";
        table.problem("guard", message, hint);
    }
    let share = table.decimal("share").to_string();
    if !share.parse::<f64>().is_ok_and(|number| number > 0.0 && number <= 1.0) {
        table.problem("share", format!("is {share}"), "a number above 0, at most 1, such as 0.01");
    }
    WatchedConfig::Live { guard, share }
}

fn probe(table: &Reader<'_, '_>) -> WatchedConfig {
    let suite = table.text("suite");
    let level = table.count_if("level", 1, 100).and_then(|level| u32::try_from(level).ok()).unwrap_or(1);
    let known = loadline_suites::require(&suite);
    let checked = known.and_then(|suite| loadline_suites::check(suite, Form::Generate, &[level]));
    if let Err(error) = checked {
        table.problem("suite", error.to_string(), "`loadline tasks` lists the suites and their levels");
    }
    WatchedConfig::Probe {
        suite,
        level,
        every: Duration::from_secs(table.count("every_s", 1, 86_400)),
        max_tokens: table.count_if("max_tokens", 1, 100_000).unwrap_or(512),
    }
}
