//! `loadline quickstart license`: from nothing to a decision that anybody can verify, in one command.

use std::path::PathBuf;

use loadline_core::untrusted::one_line;
use loadline_exam::{Anchor, Report};
use loadline_local::catalogue;
use loadline_policy::Policy;
use loadline_policy::policy::{Role, Stage};
use serde_json::json;

use crate::authority::decide::Decided;
use crate::authority::exams::{self, Sitting};
use crate::authority::licenses::{self, Terms};
use crate::authority::office::Office;
use crate::authority::registry::{self, Reached};
use crate::authority::signing::{self, Wish};
use crate::authority::throwaway::{self, Place};
use crate::authority::{bundle, commit, finish, folder, roots, standing};
use crate::decided;
use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::models::Choice;
use crate::pull;
use crate::ui::{self, Ui, count};
use crate::verbs::exam::{Running, ask};
use crate::verbs::license::stage;
use crate::verbs::{model, verify};

/// What the folder is called when none is named.
const FOLDER: &str = "loadline-license";

/// Found a small authority, examine the local model, decide, log, have it witnessed, bundle and verify
///
/// Everything of it is on this machine and in one folder: an authority with its keys (locked with a random passphrase
/// that lies beside them), a second witness, the log, the exam, the decision, and `license.bundle`, which anybody can
/// verify. A deny is a fine answer, and ends with 0 like an allow: what counts is that it can be checked. Run it again
/// with the same `--out`, and it goes on where it stopped.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline quickstart license
  loadline quickstart license --out first
  loadline quickstart license --model fake/ability=0.9")]
pub struct License {
    /// Folder for all of it (default: `loadline-license`, or the first of that name with a number that is not there)
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,

    /// Another model: of `loadline models`, `gguf/PATH`, or a simulated subject (`fake/ability=0.9`)
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,

    /// Use this copy of the default model's file instead of downloading it; its digest is checked all the same
    #[arg(long, value_name = "PATH", env = "LOADLINE_MODEL_FILE")]
    pub model_file: Option<PathBuf>,

    /// File of a policy, or a policy that ships: starter, frontier, open-weights
    #[arg(long, value_name = "POLICY", default_value = "starter")]
    pub policy: String,

    /// For which stage of the policy
    #[arg(long, value_name = "STAGE", value_parser = stage, default_value = "limited")]
    pub stage: Stage,

    /// Print the end of it as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`License`].
pub fn run(args: &License, ui: &Ui) -> Result {
    let policy = documents::policy(&args.policy)?;
    let (choice, reached) = subject(args, ui)?;
    let place = args.out.as_ref().map_or_else(|| Place::fresh(FOLDER), Place::new);
    throwaway::set_up(&place, ui)?;
    let begun = begin(&place, &policy, &choice, reached, ui)?;
    let exit = examine(&place, &begun, ui)?;
    if exit != Exit::Ok {
        ui.hint(format_args!("`loadline quickstart license --out {}` goes on", place.path().display()));
        return Ok(exit);
    }
    let (decided, authority) = conclude(&place, &begun, args, ui)?;
    let report = verified(&place, authority, ui)?;
    show(args, &place, &decided, &report, ui)?;
    next(&place, &authority, &decided, choice.is_simulated(), ui);
    Ok(if report.holds { Exit::Ok } else { Exit::EvidenceInvalid })
}

/// The model to examine, and how it is reached again.
fn subject(args: &License, ui: &Ui) -> Result<(Choice, Reached)> {
    let reached = |reference: &str, file: Option<PathBuf>| Reached {
        reference: Some(reference.to_owned()),
        file,
        base_url: None,
        model_args: Vec::new(),
    };
    if let Some(model) = &args.model {
        let choice = Choice::parse(model)?;
        if choice.is_simulated() {
            ui.warning(
                "a simulated subject reads the answer key: nothing that follows is about a real model",
            );
        }
        return Ok((choice, reached(model, None)));
    }
    let known = catalogue::find(catalogue::DEFAULT)
        .ok_or_else(|| Failure::new(Exit::Unexpected, "the catalogue has no default model"))?;
    let path = match &args.model_file {
        Some(path) => path.clone(),
        None => pull::get(known, None, ui)?,
    };
    let path = path.canonicalize().unwrap_or(path);
    let choice = Choice::known_at(known, path.clone())?;
    Ok((choice, reached(&format!("local/{}", known.name), Some(path))))
}

/// Commits, registers and starts, as far as that is not done. Gives the exam's id.
fn begin(place: &Place, policy: &Policy, choice: &Choice, reached: Reached, ui: &Ui) -> Result<String> {
    let mut office = Office::open(&place.office())?;
    let log = office.folder.log();
    if let Ok(history) = office.history.exam(None) {
        let name = &office.history.registration(history.start.registration)?.name;
        let expected =
            choice.known().map_or_else(|| choice.reference.to_string(), |known| known.name.to_owned());
        if *name != expected && !expected.ends_with(name.as_str()) {
            let message = format!("`{}` holds the exam of {}", place.path().display(), one_line(name, 80));
            return Err(Failure::new(Exit::Usage, message).hint("take another folder with `--out`"));
        }
        return Ok(history.start.exam.hex());
    }
    if office.history.free_registration(None).is_none() {
        if office.history.free_commitment().is_none() {
            let committed = commit::commit(&mut office, policy)?;
            ui.status(
                "Committed",
                format_args!(
                    "to a secret for policy `{}`, entry {} of `{}`",
                    one_line(&policy.name, 80),
                    committed.commitment,
                    log.display()
                ),
            );
        }
        let candidate = model::of_choice(choice, None, reached, false, ui)?;
        let registered = registry::register(&mut office, &candidate, None)?;
        ui.status(
            "Registered",
            format_args!(
                "{}{}, entry {}: `{}`",
                one_line(&registered.name, 80),
                if choice.is_simulated() { " (simulated)" } else { "" },
                registered.registration,
                office.folder.model(registered.model).display()
            ),
        );
    }
    let history = exams::start(&mut office, None, ui)?;
    let (exam, attempt) = (history.start.exam, history.start.attempt);
    ui.status(
        "Started",
        format_args!(
            "the exam, attempt {attempt}, entry {}: `{}`",
            history.index,
            office.folder.exam(exam).display()
        ),
    );
    office.publish(ui)?;
    Ok(exam.hex())
}

/// Asks what has no answer yet, unless the exam has ended.
fn examine(place: &Place, exam: &str, ui: &Ui) -> Result<Exit> {
    let office = Office::open(&place.office())?;
    if office.history.exam(Some(exam))?.finish.is_some() {
        return Ok(Exit::Ok);
    }
    drop(office);
    let running = Running { exam: Some(exam.to_owned()), concurrency: None, office: place.office() };
    let (report, store) = ask(&running, ui)?;
    let answers: u64 = report.outcomes.iter().map(|outcome| outcome.results.answered).sum();
    ui.status("Asked", format_args!("{}: `{}`", count(answers, "question"), store.display()));
    Ok(report.exit)
}

/// Finishes, signs, decides, logs and bundles.
fn conclude(place: &Place, exam: &str, args: &License, ui: &Ui) -> Result<(Decided, loadline_core::Digest)> {
    let mut office = Office::open(&place.office())?;
    let sitting = exams::open(&office, Some(exam))?;
    let finished = finish::finish(&mut office, &sitting)?;
    let path = sitting.dir.join("attestation.json");
    ui.status("Attested", format_args!("the counts, entry {}: `{}`", finished.finish, path.display()));
    let sitting = exams::open(&office, Some(exam))?;
    sign(&office, &sitting, args.stage, ui)?;
    let issued = licenses::issue(&mut office, &sitting, args.stage, &Terms::default())?;
    crate::verbs::license::tell(&issued, &office, ui);
    office.publish(ui)?;
    let standing = standing::prolong(&office, std::time::Duration::from_secs(300))?;
    let path = office.folder.standing();
    ui.status("Signed", format_args!("standing of epoch {}: `{}`", standing.epoch, path.display()));
    let bytes = bundle::write(&office, &sitting, &issued.decided, &place.bundle())?;
    ui.status("Bundled", format_args!("{}: `{}`", ui::bytes(bytes), place.bundle().display()));
    Ok((issued.decided, office.chain.authority()))
}

/// Signs as the authority, once: what is signed is that the exam was looked at.
fn sign(office: &Office, sitting: &Sitting, stage: Stage, ui: &Ui) -> Result<()> {
    let attested = finish::attested(office, &sitting.history, &sitting.dir)?;
    if !signing::collect(&office.folder, office.chain.current(), attested.digest)?.is_empty() {
        return Ok(());
    }
    let wish = Wish { role: Role::Authority, stage, approves: true, at: roots::now()?.min(office.now) };
    let envelope = signing::sign(&attested, &wish, &office.key(loadline_trust::Role::Authority)?)?;
    let path = signing::path(&office.folder, &envelope)?;
    folder::write(&path, &envelope.to_bytes(), folder::PUBLIC)?;
    ui.status("Signed", format_args!("off, as authority, in your name: `{}`", path.display()));
    Ok(())
}

/// Verifies the bundle, as anybody would.
fn verified(place: &Place, authority: loadline_core::Digest, ui: &Ui) -> Result<Report> {
    let anchor = Anchor {
        root: Some(authority),
        standing: Some(folder::read(&place.authority().join("standing.json"))?),
        ..Anchor::at(roots::now()?)
    };
    let report = verify::check(&place.bundle(), &anchor)?;
    verify::conclude(&report, &place.bundle(), ui);
    Ok(report)
}

fn show(args: &License, place: &Place, decided: &Decided, report: &Report, ui: &Ui) -> Result<()> {
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "bundle": place.bundle(), "decision": decided.decision, "license": decided.license, "report": report,
        }))?;
    } else {
        if !report.holds {
            verify::checklist(report).write(&mut out, 0)?;
        }
        decided::write(&mut out, &decided.decision)?;
    }
    out.finish()
}

/// What to do next.
fn next(place: &Place, authority: &loadline_core::Digest, decided: &Decided, simulated: bool, ui: &Ui) {
    let (bundle, folder) = (place.bundle(), place.authority());
    let (bundle, folder) = (bundle.display(), folder.display());
    let mut commands = vec![
        (format!("loadline verify {bundle} --root {authority}"), "check all of it, as anybody can"),
        (format!("loadline authority show {folder}"), "who may sign what"),
        (format!("loadline log fsck {folder}"), "derive the whole log anew"),
    ];
    if decided.license.is_some() {
        commands.push((
            format!("loadline license show --authority {folder}"),
            "what is licensed, and until when",
        ));
    }
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or(0).min(60);
    ui.say(format_args!("\n{}", ui.styled(ui::STRONG, "What to do next")));
    for (command, what) in commands {
        ui.say(format_args!("  {command:width$}  {what}"));
    }
    if simulated {
        ui.warning("the subject was simulated: this decision is about no real model");
    }
}
