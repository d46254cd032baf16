//! A policy in plain words.

use std::fmt::Write as _;

use loadline_core::untrusted::one_line;

use super::{Below, IntervalMethod, LogMode, Marks, Policy, SignOffRule, Stage, StageRule, Test};

/// The policy in plain words, a sentence a line.
pub fn explain(policy: &Policy) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", one_line(&words, 400));
    };
    line(format!("Policy {} version {}: {}", policy.name, policy.version, policy.purpose));
    for words in rules(policy) {
        line(words);
    }
    if let Some(drill) = &policy.drill {
        line(format!(
            "From stage {} on: a stop was tried out within {} days on a gate that served the model, with at least {} \
             streams; the last byte came at most {} ms after the order, and none after the answer.",
            drill.from, drill.max_age_days, drill.streams, drill.last_byte_ms
        ));
    }
    for test in &policy.tests {
        line(required(policy, test));
    }
    for rule in &policy.stages {
        line(stage(rule));
    }
    line("A licence under this policy is not legal conformity.".to_owned());
    text
}

fn rules(policy: &Policy) -> Vec<String> {
    let below = match policy.scope.below {
        Below::Light => "only what is marked light is asked",
        Below::Full => "everything is asked all the same",
    };
    let identity: Vec<_> = policy.identity.iter().map(|basis| crate::basis::word(*basis)).collect();
    let attempts = match (policy.attempts.most, policy.attempts.corrected) {
        (1, _) => "Each test may be tried once.".to_owned(),
        (most, true) => {
            format!(
                "Each test may be tried {most} times; each try is held to more, so that the error stays as stated."
            )
        }
        (most, false) => {
            format!(
                "Each test may be tried {most} times; chance grows with each try and is not corrected for."
            )
        }
    };
    vec![
        format!(
            "Where {} {} out, {below}; in and indeterminate ask everything.",
            policy.scope.laws.join(" and "),
            if policy.scope.laws.len() == 1 { "says" } else { "say" },
        ),
        format!("That this is that model may rest on: {}.", identity.join(", ")),
        attempts,
        format!("Evidence and signatures count for {} days.", policy.max_age_days),
        format!(
            "A failed test stops a licence from severity {} on; lesser ones are disclosed in it.",
            policy.blocks_from
        ),
        format!(
            "A licence holds for {} days; the model is examined again after {}.",
            policy.valid_days, policy.survey_days
        ),
    ]
}

fn required(policy: &Policy, test: &Test) -> String {
    let method = match test.method {
        IntervalMethod::Wilson => "Wilson",
        IntervalMethod::ClopperPearson => "exact",
        IntervalMethod::Anytime => "at any time",
    };
    let confidence = policy.confidence(test);
    let held = if confidence == test.confidence {
        format!("at confidence {confidence}")
    } else {
        format!("at confidence {}, {} for each try", test.confidence, confidence.rounded(6))
    };
    format!(
        "Test {} ({}, {} severity{}): the {} bound of {} over {} samples of {} must be {} ({method}, {held}){}",
        test.id,
        test.risk,
        test.severity,
        if test.light { ", also light" } else { "" },
        test.requirement.which(),
        test.metric,
        test.n,
        test.source,
        test.requirement,
        test.why.as_ref().map_or_else(|| ".".to_owned(), |why| format!(": {why}")),
    )
}

fn stage(rule: &StageRule) -> String {
    let (full, light) = (signers(&rule.sign_off), signers(&rule.light_sign_off));
    let signed = if full == light { full } else { format!("{full} (light path: {light})") };
    let marks = match &rule.marks {
        Some(marks) => limits(marks),
        None if rule.stage == Stage::WeightsReleased => {
            "no limits, and no kill switch: public weights cannot be called back".to_owned()
        }
        None => "no limits".to_owned(),
    };
    let least = rule.min_days.map(|days| format!("; at least {days} days before the next"));
    format!("Stage {}: signed by {signed}; {marks}{}.", rule.stage, least.unwrap_or_default())
}

fn signers(rules: &[SignOffRule]) -> String {
    if rules.is_empty() {
        return "nobody".to_owned();
    }
    let each = rules.iter().map(|rule| format!("{} of {} {}", rule.needed, rule.of, rule.role));
    each.collect::<Vec<_>>().join(" and ")
}

fn limits(marks: &Marks) -> String {
    let mut parts = Vec::new();
    let limit = |number: Option<u64>, unit: &str| number.map(|number| format!("{number} {unit}"));
    parts.extend(limit(marks.requests_per_minute, "requests a minute"));
    parts.extend(limit(marks.tokens_per_day, "tokens a day"));
    parts.extend(limit(marks.context_tokens, "tokens of context"));
    parts.push(if marks.tools { "tools" } else { "no tools" }.to_owned());
    if !marks.regions.is_empty() {
        parts.push(format!("only in {}", marks.regions.join(", ")));
    }
    parts.push(format!("a lease of {} s", marks.lease_s));
    parts.push(match marks.log {
        LogMode::Durable => "every request on disk before it is served".to_owned(),
        LogMode::Async => "requests written down soon after; a crash loses some".to_owned(),
    });
    parts.join(", ")
}
