//! Showing licences, and bundling what they rest on.

use loadline_core::Digest;
use loadline_core::model::Basis;
use loadline_core::untrusted::one_line;
use loadline_policy::License;
use serde_json::json;

use super::{Bundle, Show};
use crate::authority::decide::{self, Decided};
use crate::authority::exams::{self, Sitting};
use crate::authority::history::LicenseHistory;
use crate::authority::licenses;
use crate::authority::office::Office;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Out, Ui};

/// See [`Show`].
pub fn show(args: &Show, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let chosen = match &args.license {
        Some(prefix) => vec![office.history.license(Some(prefix))?],
        None => office.history.licenses(),
    };
    let mut out = ui.out();
    let mut table = Table::default();
    for license in &chosen {
        let kept = licenses::read(&office, license.entry.license)?;
        if args.json {
            out.json(&json!({
                "digest": license.entry.license, "log_index": license.index, "standing": license.standing,
                "statement": kept.statement,
            }))?;
        } else if args.license.is_some() {
            whole(&mut out, license, &kept.statement.predicate)?;
        } else {
            table.row(row(license, &kept.statement.predicate, &office));
        }
    }
    table.write(&mut out, 0)?;
    out.finish()?;
    if chosen.is_empty() {
        ui.hint("no licence was issued: `loadline license issue --stage STAGE` decides about an exam");
    }
    Ok(Exit::Ok)
}

/// What a licence is worth at this moment, in a word.
fn state(license: &LicenseHistory, terms: &License, now: loadline_core::Instant) -> &'static str {
    match &license.standing {
        Some(standing) => standing.state.name(),
        None if !terms.validity.value.holds_at(now) => "expired",
        None => "holds",
    }
}

fn row(license: &LicenseHistory, terms: &License, office: &Office) -> [Cell; 5] {
    let state = state(license, terms, office.now);
    let style = if state == "holds" { ui::GOOD } else { ui::BAD };
    [
        Cell::left(&license.entry.license.hex()[..12]),
        Cell::left(state).styled(style),
        Cell::left(&terms.subject.value.name).styled(ui::STRONG),
        Cell::left(terms.stage.value),
        Cell::left(format!("until {}", terms.validity.value.expires.day())).styled(ui::DIM),
    ]
}

/// A value and on what it rests.
fn line(name: &str, value: impl std::fmt::Display, basis: Basis) -> [Cell; 3] {
    let basis = match basis {
        Basis::Verified => "verified",
        Basis::SelfReported => "self-reported",
        Basis::Inferred => "inferred",
        Basis::Absent => "absent",
    };
    [Cell::left(name).styled(ui::STRONG), Cell::left(value), Cell::left(basis).styled(ui::DIM)]
}

fn whole(out: &mut Out, license: &LicenseHistory, terms: &License) -> Result<()> {
    out.line(format_args!("licence {}", license.entry.license))?;
    let mut table = Table::default();
    let validity = terms.validity.value;
    let issuer = &terms.issuer.value;
    table.row(line("issuer", format!("{} ({})", issuer.name, issuer.id), terms.issuer.basis));
    let subject = &terms.subject.value;
    table.row(line("model", format!("{} {}", subject.name, subject.digest), terms.subject.basis));
    table.row(line("stage", terms.stage.value, terms.stage.basis));
    let policy = &terms.policy.value;
    table.row(line(
        "policy",
        format!("{} {} {}", policy.name, policy.version, policy.digest),
        terms.policy.basis,
    ));
    let decision = &terms.decision.value;
    table.row(line("decision", format!("{} {}", decision.outcome, decision.digest), terms.decision.basis));
    for evidence in &terms.evidence {
        let value = &evidence.value;
        table.row(line("evidence", format!("{}, attempt {}", value.id, value.attempt), evidence.basis));
    }
    for sign_off in &terms.sign_offs {
        let value = &sign_off.value;
        table.row(line("sign-off", format!("{} as {}", value.signer, value.role), sign_off.basis));
    }
    for scope in &terms.scope {
        table.row(line("scope", format!("{}: {}", scope.value.law, scope.value.verdict), scope.basis));
    }
    table.row(line("assurance", terms.assurance.value.join(", "), terms.assurance.basis));
    for condition in &terms.conditions.value {
        table.row(line("condition", condition, terms.conditions.basis));
    }
    table.row(line(
        "valid",
        format!("{} to {}", validity.not_before, validity.expires),
        terms.validity.basis,
    ));
    table.row(line("next survey", terms.next_survey.value, terms.next_survey.basis));
    table.write(out, 2)?;
    if let Some(standing) = &license.standing {
        let reason = one_line(&standing.reason, 500);
        out.line(format_args!("  {} since {}: {reason}", standing.state.name(), standing.since))?;
    }
    out.line("it does not say:")?;
    for limitation in terms.limitations.iter() {
        out.line(format_args!("  - {}", one_line(&limitation.text, 500)))?;
    }
    Ok(())
}

/// See [`Bundle`].
pub fn bundle(args: &Bundle, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let (sitting, decided) = match &args.exam {
        Some(exam) => of_exam(&office, exam, args.stage)?,
        None => of_license(&office, args.license.as_deref())?,
    };
    let bytes = crate::authority::bundle::write(&office, &sitting, &decided, &args.output)?;
    let outcome = crate::decided::word(decided.decision.outcome);
    ui.status("Bundled", format_args!("{outcome}, {}: `{}`", ui::bytes(bytes), args.output.display()));
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "file": args.output, "bytes": bytes, "outcome": decided.decision.outcome, "license": decided.license,
            "authority": office.chain.authority(),
        }))?;
    } else {
        out.line(args.output.display())?;
    }
    out.finish()?;
    ui.hint(format_args!(
        "anybody verifies it with `loadline verify {} --root {}`",
        args.output.display(),
        office.chain.authority()
    ));
    Ok(Exit::Ok)
}

fn of_exam(
    office: &Office,
    exam: &str,
    stage: Option<loadline_policy::policy::Stage>,
) -> Result<(Sitting, Decided)> {
    let sitting = exams::open(office, Some(exam))?;
    let stages = decide::stages(&sitting);
    let stage = match (stage, stages.as_slice()) {
        (Some(stage), _) => stage,
        (None, [only]) => *only,
        (None, []) => {
            return Err(Failure::new(Exit::Usage, "nothing was decided of this exam")
                .hint("decide with `loadline license issue --stage STAGE`"));
        }
        (None, several) => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            return Err(Failure::new(Exit::Usage, "several stages were decided of this exam")
                .hint(format!("say which one with `--stage`: {}", names.join(", "))));
        }
    };
    let decided = decide::kept(office, &sitting, stage)?;
    let decided = decided.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("stage `{stage}` was not decided of this exam"))
            .hint(format!("decide with `loadline license issue --stage {stage}`"))
    })?;
    Ok((sitting, decided))
}

fn of_license(office: &Office, prefix: Option<&str>) -> Result<(Sitting, Decided)> {
    let license = office.history.license(prefix)?;
    let digest: Digest = license.entry.license;
    let terms = licenses::read(office, digest)?.statement.predicate;
    let exams = office.history.iter().filter_map(|(_, entry)| match entry {
        loadline_exam::Entry::Start(start) if start.model == license.entry.model => Some(start.exam),
        _ => None,
    });
    for exam in exams {
        let sitting = exams::open(office, Some(&exam.hex()))?;
        if sitting.history.finish.is_none() {
            continue;
        }
        if let Some(decided) = decide::kept(office, &sitting, terms.stage.value)?
            && decided.license == Some(digest)
        {
            return Ok((sitting, decided));
        }
    }
    Err(Failure::new(Exit::EvidenceInvalid, format!("the exam of licence {digest} is not in this folder"))
        .hint("bundle it where the exam's folder is"))
}
