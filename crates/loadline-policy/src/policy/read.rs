//! Reading a policy.

use loadline_core::model::Basis;

use super::{
    Attempts, DrillRule, Form, IntervalMethod, Marks, POLICY_FORMAT, Policy, Requirement, ScopeRule,
    SignOffRule, Source, Stage, StageRule, Test, Which, check,
};
use crate::basis::BasisName;
use crate::decimal::Decimal;
use crate::document::{self, Problems, Reader};

/// Most samples of one test.
const MOST_SAMPLES: u64 = 1_000_000;
/// Longest term of anything, in days: ten years.
const MOST_DAYS: u64 = 3_650;

/// Reads a policy (TOML, `docs/formats/policy.md`) and checks that it can mean what it says.
///
/// # Errors
/// Everything that is wrong with it, each with line and column.
pub fn parse(text: &str) -> Result<Policy, Problems> {
    document::read(text, |root| {
        root.format(POLICY_FORMAT);
        let (tests, stages) = (root.tables("test"), root.tables("stage"));
        let policy = Policy {
            format: POLICY_FORMAT.to_owned(),
            name: root.name("name"),
            version: root.text("version"),
            purpose: root.text("purpose"),
            scope: root.table("scope", scope).unwrap_or_else(nothing_in_scope),
            identity: root.choices::<BasisName>("identity").into_iter().map(Basis::from).collect(),
            attempts: root.table("attempts", attempts).unwrap_or(Attempts { most: 1, corrected: true }),
            max_age_days: root.count("max_age_days", 1, MOST_DAYS),
            blocks_from: root.choice("blocks_from"),
            valid_days: root.count("valid_days", 1, MOST_DAYS),
            survey_days: root.count("survey_days", 1, MOST_DAYS),
            assurance: root.texts("assurance"),
            drill: root.table_if("drill").map(|table| drill(&table)),
            tests: tests.iter().map(test).collect(),
            stages: stages.iter().map(stage).collect(),
        };
        check::document(root, &policy);
        for (reader, test) in tests.iter().zip(&policy.tests) {
            check::test(reader, &policy, test);
        }
        for (reader, rule) in stages.iter().zip(&policy.stages) {
            check::stage(reader, rule);
        }
        policy
    })
}

fn attempts(reader: &Reader<'_, '_>) -> Attempts {
    Attempts { most: reader.count("most", 1, 100), corrected: reader.flag("corrected") }
}

fn drill(reader: &Reader<'_, '_>) -> DrillRule {
    DrillRule {
        from: reader.choice("from"),
        max_age_days: reader.count("max_age_days", 1, MOST_DAYS),
        last_byte_ms: reader.count("last_byte_ms", 1, 600_000),
        streams: reader.count("streams", 1, 10_000),
    }
}

fn nothing_in_scope() -> ScopeRule {
    ScopeRule { laws: Vec::new(), below: super::Below::Full }
}

fn scope(reader: &Reader<'_, '_>) -> ScopeRule {
    let rule = ScopeRule { laws: reader.texts("laws"), below: reader.choice("below") };
    check::laws(reader, &rule.laws);
    rule
}

fn test(reader: &Reader<'_, '_>) -> Test {
    Test {
        id: reader.name("id"),
        risk: reader.choice("risk"),
        severity: reader.choice("severity"),
        source: source(reader),
        n: reader.count("n", 1, MOST_SAMPLES),
        metric: reader.text("metric"),
        requirement: requirement(reader),
        confidence: reader.decimal("confidence"),
        method: reader.choice_if("method").unwrap_or(IntervalMethod::ClopperPearson),
        light: reader.has("light") && reader.flag("light"),
        why: reader.text_if("why"),
    }
}

fn source(reader: &Reader<'_, '_>) -> Source {
    match (reader.has("suite"), reader.has("task")) {
        (false, true) => {
            let text = reader.text("task_digest");
            let digest = text.parse();
            if digest.is_err() && !text.is_empty() {
                let hint = "`sha256:` and 64 hexadecimal digits, as `loadline tasks` shows it";
                reader.problem("task_digest", "is not a digest", hint);
            }
            let digest = digest.unwrap_or(loadline_core::Digest([0; 32]));
            Source::Task { name: reader.text("task"), digest }
        }
        (suite, task) => {
            if suite == task {
                let message =
                    if suite { "has a `suite` and a `task`" } else { "has neither `suite` nor `task`" };
                reader.problem("", message, "give one of them");
            }
            let name = if suite { reader.name("suite") } else { String::new() };
            let levels = reader.counts("levels", 1, 100);
            if suite && levels.is_empty() {
                reader.problem("levels", "names no level", "write it as `levels = [1, 2]`");
            }
            let form = if suite { reader.choice("form") } else { Form::Generate };
            Source::Suite { name, form, levels }
        }
    }
}

fn requirement(reader: &Reader<'_, '_>) -> Requirement {
    let (least, most) = (reader.decimal_if("at_least"), reader.decimal_if("at_most"));
    let requirement = match (least, most) {
        (Some(bound), None) => Requirement::AtLeast(bound),
        (None, Some(bound)) => Requirement::AtMost(bound),
        (least, most) => {
            let message = if most.is_some() { "has `at_least` and `at_most`" } else { "requires no rate" };
            if most.is_some() || !(reader.has("at_least") || reader.has("at_most")) {
                reader.problem("", message, "give one of `at_least` and `at_most`, such as `at_least = 0.9`");
            }
            Requirement::AtLeast(least.unwrap_or_else(Decimal::zero))
        }
    };
    let bound: Which = reader.choice("bound");
    if reader.has("bound") && bound != requirement.which() {
        let hint = format!(
            "{requirement} is shown by the {} bound: with the other one, knowing nothing would pass",
            requirement.which()
        );
        reader.problem("bound", format!("the {bound} bound cannot show it"), hint);
    }
    requirement
}

fn stage(reader: &Reader<'_, '_>) -> StageRule {
    StageRule {
        stage: reader.choice::<Stage>("name"),
        sign_off: sign_offs(reader, "sign_off"),
        light_sign_off: sign_offs(reader, "light_sign_off"),
        min_days: reader.count_if("min_days", 1, MOST_DAYS),
        marks: reader.table_if("marks").map(|table| marks(&table)),
    }
}

fn sign_offs(reader: &Reader<'_, '_>, key: &'static str) -> Vec<SignOffRule> {
    let mut rules: Vec<SignOffRule> = Vec::new();
    for table in reader.tables(key) {
        let rule = SignOffRule {
            role: table.choice("role"),
            needed: table.count("needed", 1, 100),
            of: table.count("of", 1, 100),
        };
        if rule.needed > rule.of {
            table.problem("needed", format!("{} of {} cannot sign", rule.needed, rule.of), "raise `of`");
        }
        if rules.iter().any(|other| other.role == rule.role) {
            table.problem("role", format!("`{}` is there twice", rule.role), "");
        }
        rules.push(rule);
    }
    rules
}

fn marks(reader: &Reader<'_, '_>) -> Marks {
    Marks {
        requests_per_minute: reader.count_if("requests_per_minute", 1, 1_000_000_000),
        tokens_per_day: reader.count_if("tokens_per_day", 1, 1_000_000_000_000_000),
        context_tokens: reader.count_if("context_tokens", 1, 1_000_000_000),
        tools: reader.flag("tools"),
        regions: reader.texts("regions"),
        lease_s: reader.count("lease_s", 1, 86_400),
        log: reader.choice("log"),
    }
}
