//! The checklist while it is made.

use std::collections::BTreeMap;
use std::fmt::Display;

use loadline_core::untrusted::one_line;

use super::report::{Status, Step, StepName};

/// The longest detail, in characters.
const MOST_CHARS: usize = 600;

/// Why a step does not hold.
pub(super) enum Not {
    /// It was looked at, and is wrong.
    Wrong(String),
    /// It could not be looked at.
    Looked(String),
}

/// What is wrong, with the place.
pub(super) fn wrong(at: impl Display, what: impl Display) -> Not {
    Not::Wrong(format!("{at}: {what}"))
}

/// The value that an earlier step gives.
pub(super) fn need<T>(value: Option<&T>, step: StepName) -> Result<&T, Not> {
    value.ok_or_else(|| Not::Looked(format!("needs step `{step}`")))
}

/// Steps and what became of them.
#[derive(Default)]
pub(super) struct Checklist(BTreeMap<StepName, (Status, String)>);

impl Checklist {
    /// Does a step: gives its value when it holds.
    pub(super) fn step<T>(
        &mut self,
        name: StepName,
        check: impl FnOnce() -> Result<(T, String), Not>,
    ) -> Option<T> {
        match check() {
            Ok((value, detail)) => {
                self.set(name, Status::Ok, &detail);
                Some(value)
            }
            Err(Not::Wrong(detail)) => {
                self.set(name, Status::Failed, &detail);
                None
            }
            Err(Not::Looked(detail)) => {
                self.set(name, Status::Skipped, &detail);
                None
            }
        }
    }

    /// Notes a step. A failure stays, whatever is noted after it.
    pub(super) fn set(&mut self, name: StepName, status: Status, detail: &str) {
        if self.0.get(&name).is_some_and(|(before, _)| *before == Status::Failed) {
            return;
        }
        self.0.insert(name, (status, one_line(detail, MOST_CHARS)));
    }

    /// Notes that a step that holds is not shown to hold; what was said of it stays.
    pub(super) fn doubt(&mut self, name: StepName) {
        if let Some((status, _)) = self.0.get_mut(&name).filter(|(status, _)| *status == Status::Ok) {
            *status = Status::Skipped;
        }
    }

    /// Whether a step holds.
    pub(super) fn holds(&self, name: StepName) -> bool {
        self.0.get(&name).is_some_and(|(status, _)| *status == Status::Ok)
    }

    /// Every step, in order.
    pub(super) fn finish(mut self) -> Vec<Step> {
        let step = |name| {
            let (status, detail) =
                self.0.remove(&name).unwrap_or((Status::Skipped, "the container does not hold".to_owned()));
            Step { name, status, detail }
        };
        StepName::ALL.into_iter().map(step).collect()
    }
}
