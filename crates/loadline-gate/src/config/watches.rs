//! `[[watch]]`: what of the traffic is scored, what is asked besides, and below what there is an alarm.

use std::path::Path;
use std::time::Duration;

use loadline_core::untrusted::one_line;
use loadline_policy::Named;
use loadline_policy::document::{Place, Reader};
use loadline_suites::Form;

use super::read::file;
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
        /// Where it is named.
        suite_at: Place,
        /// Its level, where the file says one.
        level: Option<u32>,
        /// Where that stands.
        level_at: Place,
        /// How often.
        every: Duration,
        /// Most tokens of an answer, where the file says so.
        max_tokens: Option<u64>,
    },
}

/// Below what there is an alarm, and where that figure is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FigureConfig {
    /// The operator's own.
    Own {
        /// The least share of right answers that is no reason for an alarm, as a decimal.
        least: String,
        /// Where it is from, in words.
        source: String,
    },
    /// What the licence rests on.
    Licensed(LicensedConfig),
}

/// A test that a licence rests on, by the files that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LicensedConfig {
    /// The decision that the licence carries the digest of.
    pub decision: FileRef,
    /// The policy that it was made under.
    pub policy: FileRef,
    /// The policy's test.
    pub test: String,
    /// Where it is named.
    pub test_at: Place,
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
    /// Below what there is an alarm.
    pub figure: FigureConfig,
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
        figure: figure(table, folder),
        alpha: if table.has("alpha") { part(table, "alpha") } else { "0.001".to_owned() },
        on_alarm: table.choice_if("on_alarm").unwrap_or(OnAlarm::Notice),
        at: FileRef { path: folder.into(), place: table.place("name"), key: "watch.name".to_owned() },
    }
}

fn figure(table: &Reader<'_, '_>, folder: &Path) -> FigureConfig {
    let (is_licensed, is_own) = (table.has("licensed"), table.has("least") || table.has("source"));
    let hint =
        "`licensed` takes the figure from a test of the licence; `least` with its `source` is your own";
    match (is_licensed, is_own) {
        (true, true) => table.problem("licensed", "stands beside `least` or `source`", hint),
        (false, false) => table.problem("", "has neither `licensed` nor `least`", hint),
        (true, false) => {
            if let Some(licensed) = table.table_if("licensed") {
                return FigureConfig::Licensed(self::licensed(&licensed, folder));
            }
        }
        (false, true) => {
            return FigureConfig::Own { least: part(table, "least"), source: table.text("source") };
        }
    }
    FigureConfig::Own { least: String::new(), source: String::new() }
}

fn licensed(table: &Reader<'_, '_>, folder: &Path) -> LicensedConfig {
    let named = |key| FileRef { key: format!("watch.licensed.{key}"), ..file(table, key, folder) };
    LicensedConfig {
        decision: named("decision"),
        policy: named("policy"),
        test: table.text("test"),
        test_at: table.place("test"),
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
    if table.has("licensed") {
        let hint = "no test of a licence scores traffic: give `least` and its `source`";
        table.problem("licensed", "stands beside `guard`", hint);
    }
    WatchedConfig::Live { guard, share }
}

fn probe(table: &Reader<'_, '_>) -> WatchedConfig {
    let suite = table.text("suite");
    let level = table.count_if("level", 1, 100).and_then(|level| u32::try_from(level).ok());
    let known = loadline_suites::require(&suite);
    let checked =
        known.and_then(|suite| loadline_suites::check(suite, Form::Generate, &[level.unwrap_or(1)]));
    if let Err(error) = checked {
        table.problem("suite", error.to_string(), "`loadline tasks` lists the suites and their levels");
    }
    let max_tokens = table.count_if("max_tokens", 1, 100_000);
    if max_tokens.is_some() && table.has("licensed") {
        let hint = "leave it out: the questions of a test come with their own";
        table.problem("max_tokens", "stands beside `licensed`", hint);
    }
    WatchedConfig::Probe {
        suite,
        suite_at: table.place("suite"),
        level,
        level_at: table.place("level"),
        every: Duration::from_secs(table.count("every_s", 1, 86_400)),
        max_tokens,
    }
}
