//! What differs in meaning between two policies, and which differences ask less.

use std::fmt;

use serde::Serialize;

use super::{DrillRule, Marks, Policy, Requirement, SignOffRule, StageRule, Test};
use crate::names::{Named as _, names};

names! {
    /// What a change does to the strictness of a policy.
    Effect {
        /// It asks less, or allows more.
        Weaker = "weaker",
        /// It asks more, or allows less.
        Stronger = "stronger",
        /// Neither follows from it.
        Other = "other",
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What differs, such as `test.arithmetic.at_least`.
    pub path: String,
    /// What it was; absent when it was not there.
    pub before: Option<String>,
    /// What it is; absent when it is no longer there.
    pub after: Option<String>,
    /// What that does.
    pub effect: Effect,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
        let (before, after) = (text(&self.before), text(&self.after));
        let line = format!("{}: {before} -> {after} ({})", self.path, self.effect);
        f.write_str(&loadline_core::untrusted::one_line(&line, 400))
    }
}

/// Every difference in meaning, in the order of the document.
pub fn diff(before: &Policy, after: &Policy) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    let c = &mut changes;
    c.other("name", &before.name, &after.name);
    c.other("version", &before.version, &after.version);
    c.other("purpose", &before.purpose, &after.purpose);
    c.set("scope.laws", &before.scope.laws, &after.scope.laws, Effect::Stronger);
    c.ordered("scope.below", before.scope.below, after.scope.below, Effect::Stronger);
    let words = |policy: &Policy| -> Vec<String> {
        policy.identity.iter().map(|basis| crate::basis::word(*basis).to_owned()).collect()
    };
    c.set("identity", &words(before), &words(after), Effect::Weaker);
    c.ordered("attempts.most", before.attempts.most, after.attempts.most, Effect::Weaker);
    c.ordered("attempts.corrected", before.attempts.corrected, after.attempts.corrected, Effect::Stronger);
    c.ordered("max_age_days", before.max_age_days, after.max_age_days, Effect::Weaker);
    c.ordered("blocks_from", before.blocks_from, after.blocks_from, Effect::Weaker);
    c.ordered("valid_days", before.valid_days, after.valid_days, Effect::Weaker);
    c.ordered("survey_days", before.survey_days, after.survey_days, Effect::Weaker);
    c.set("assurance", &before.assurance, &after.assurance, Effect::Other);
    c.drill(before.drill.as_ref(), after.drill.as_ref());
    for test in &before.tests {
        let path = format!("test.{}", test.id);
        match after.tests.iter().find(|other| other.id == test.id) {
            Some(other) => c.test(&path, test, other),
            None => c.push(path, Some(shown(test)), None, Effect::Weaker),
        }
    }
    for test in after.tests.iter().filter(|test| before.tests.iter().all(|other| other.id != test.id)) {
        c.push(format!("test.{}", test.id), None, Some(shown(test)), Effect::Stronger);
    }
    for rule in &before.stages {
        match after.stage(rule.stage) {
            Some(other) => c.stage(rule, other),
            None => c.push(format!("stage.{}", rule.stage), Some("allowed".into()), None, Effect::Stronger),
        }
    }
    for rule in after.stages.iter().filter(|rule| before.stage(rule.stage).is_none()) {
        c.push(format!("stage.{}", rule.stage), None, Some("allowed".into()), Effect::Weaker);
    }
    changes.0
}

fn shown(test: &Test) -> String {
    format!("{} {} of {}", test.metric, test.requirement, test.source)
}

struct Changes(Vec<Change>);

impl Changes {
    fn push(&mut self, path: String, before: Option<String>, after: Option<String>, effect: Effect) {
        self.0.push(Change { path, before, after, effect });
    }

    fn other<T: PartialEq + ToString>(&mut self, path: &str, before: &T, after: &T) {
        if before != after {
            self.push(path.to_owned(), Some(before.to_string()), Some(after.to_string()), Effect::Other);
        }
    }

    /// `more` is what a larger value does.
    fn ordered<T: PartialOrd + ToString>(&mut self, path: &str, before: T, after: T, more: Effect) {
        if before != after {
            let effect = if after > before { more } else { opposite(more) };
            self.push(path.to_owned(), Some(before.to_string()), Some(after.to_string()), effect);
        }
    }

    /// `more` is what an added member does. What was both added to and taken from is reported by member.
    fn set(&mut self, path: &str, before: &[String], after: &[String], more: Effect) {
        for gone in before.iter().filter(|member| !after.contains(member)) {
            self.push(path.to_owned(), Some(gone.clone()), None, opposite(more));
        }
        for new in after.iter().filter(|member| !before.contains(member)) {
            self.push(path.to_owned(), None, Some(new.clone()), more);
        }
    }

    /// An absent limit is the largest.
    fn limit(&mut self, path: String, before: Option<u64>, after: Option<u64>) {
        let size = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
        if before != after {
            let effect = if size(after) > size(before) { Effect::Weaker } else { Effect::Stronger };
            self.push(path, before.map(|n| n.to_string()), after.map(|n| n.to_string()), effect);
        }
    }

    fn test(&mut self, path: &str, before: &Test, after: &Test) {
        let at = |key: &str| format!("{path}.{key}");
        self.other(&at("risk"), &before.risk, &after.risk);
        self.ordered(&at("severity"), before.severity, after.severity, Effect::Stronger);
        self.other(&at("source"), &before.source, &after.source);
        self.other(&at("n"), &before.n, &after.n);
        self.other(&at("metric"), &before.metric, &after.metric);
        match (&before.requirement, &after.requirement) {
            (Requirement::AtLeast(a), Requirement::AtLeast(b)) => {
                self.ordered(&at("at_least"), a.clone(), b.clone(), Effect::Stronger);
            }
            (Requirement::AtMost(a), Requirement::AtMost(b)) => {
                self.ordered(&at("at_most"), a.clone(), b.clone(), Effect::Weaker);
            }
            (a, b) => self.other(&at("requirement"), &a.to_string(), &b.to_string()),
        }
        self.ordered(
            &at("confidence"),
            before.confidence.clone(),
            after.confidence.clone(),
            Effect::Stronger,
        );
        self.other(&at("method"), &before.method, &after.method);
        self.ordered(&at("light"), before.light, after.light, Effect::Stronger);
    }

    fn drill(&mut self, before: Option<&DrillRule>, after: Option<&DrillRule>) {
        match (before, after) {
            (Some(a), Some(b)) => {
                self.ordered("drill.from", a.from, b.from, Effect::Weaker);
                self.ordered("drill.max_age_days", a.max_age_days, b.max_age_days, Effect::Weaker);
                self.ordered("drill.last_byte_ms", a.last_byte_ms, b.last_byte_ms, Effect::Weaker);
                self.ordered("drill.streams", a.streams, b.streams, Effect::Stronger);
            }
            (Some(_), None) => self.push("drill".to_owned(), Some("asked".into()), None, Effect::Weaker),
            (None, Some(_)) => self.push("drill".to_owned(), None, Some("asked".into()), Effect::Stronger),
            (None, None) => {}
        }
    }

    fn stage(&mut self, before: &StageRule, after: &StageRule) {
        let path = format!("stage.{}", before.stage);
        self.sign_offs(&format!("{path}.sign_off"), &before.sign_off, &after.sign_off);
        self.sign_offs(&format!("{path}.light_sign_off"), &before.light_sign_off, &after.light_sign_off);
        let days = |rule: &StageRule| rule.min_days.unwrap_or(0);
        self.ordered(&format!("{path}.min_days"), days(before), days(after), Effect::Stronger);
        if let (Some(a), Some(b)) = (&before.marks, &after.marks) {
            self.marks(&format!("{path}.marks"), a, b);
        }
    }

    fn sign_offs(&mut self, path: &str, before: &[SignOffRule], after: &[SignOffRule]) {
        for role in super::Role::ALL {
            let find = |rules: &[SignOffRule]| {
                let rule = rules.iter().find(|rule| rule.role == *role);
                rule.map_or((0, 0), |rule| (rule.needed, rule.of))
            };
            let ((needed, of), (needed_after, of_after)) = (find(before), find(after));
            self.ordered(&format!("{path}.{role}.needed"), needed, needed_after, Effect::Stronger);
            if needed == needed_after {
                self.ordered(&format!("{path}.{role}.of"), of, of_after, Effect::Weaker);
            }
        }
    }

    fn marks(&mut self, path: &str, before: &Marks, after: &Marks) {
        let at = |key: &str| format!("{path}.{key}");
        self.limit(at("requests_per_minute"), before.requests_per_minute, after.requests_per_minute);
        self.limit(at("tokens_per_day"), before.tokens_per_day, after.tokens_per_day);
        self.limit(at("context_tokens"), before.context_tokens, after.context_tokens);
        self.ordered(&at("tools"), before.tools, after.tools, Effect::Weaker);
        match (before.regions.is_empty(), after.regions.is_empty()) {
            (false, true) => {
                self.push(at("regions"), Some(before.regions.join(" ")), None, Effect::Weaker);
            }
            (true, false) => {
                self.push(at("regions"), None, Some(after.regions.join(" ")), Effect::Stronger);
            }
            _ => self.set(&at("regions"), &before.regions, &after.regions, Effect::Weaker),
        }
        self.ordered(&at("lease_s"), before.lease_s, after.lease_s, Effect::Weaker);
        self.ordered(&at("log"), before.log, after.log, Effect::Weaker);
    }
}

fn opposite(effect: Effect) -> Effect {
    match effect {
        Effect::Weaker => Effect::Stronger,
        Effect::Stronger => Effect::Weaker,
        Effect::Other => Effect::Other,
    }
}
