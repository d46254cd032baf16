//! `loadline stage`: propose, sign, show.

use std::path::{Path, PathBuf};

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_exam::Transition;
use loadline_exam::entry::StageEntry;
use loadline_policy::Named as _;
use loadline_policy::policy::{ModelStage, Step};
use loadline_trust::{Envelope, Role, SecretKey};
use serde_json::json;

use crate::authority::history::ModelHistory;
use crate::authority::office::{Office, OfficeArgs};
use crate::authority::stages::{self, Outcome, Wish};
use crate::authority::{folder, standing};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring;
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// Open a model step by step, and close it again
///
/// A model stands at `draft`, at a stage of a policy, or is `suspended` or `withdrawn`. Opening it further takes a licence
/// for that stage and the signatures of the stage's rule; going back takes one holder of the role `authority` or `stop`.
/// Every step is logged, and gates serve no licence that opens a model further than it stands open. Before its first
/// step a model's licences count as they were issued. Nothing follows `withdrawn` and `weights_released`.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: StageVerb,
}

/// What to do about a stage.
#[derive(clap::Subcommand)]
pub enum StageVerb {
    Propose(Propose),
    Sign(Sign),
    Show(Show),
}

/// Propose that a model goes to another stage, and sign that; with enough signatures it goes at once
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stage propose my-model --to limited --reason \"the red team found nothing\" -o limited.json
  loadline stage propose my-model --to suspended --reason \"under investigation\"")]
pub struct Propose {
    /// The model as it was registered, or the beginning of its digest or of a licence's
    #[arg(value_name = "LICENSE|MODEL")]
    pub model: String,

    /// draft, internal, red_team, external_audit, academic, limited, general, weights_released, suspended, withdrawn
    #[arg(long, value_name = "STAGE", value_parser = model_stage)]
    pub to: ModelStage,

    /// Why: one line, which everybody will read
    #[arg(long, value_name = "TEXT")]
    pub reason: String,

    /// File of your key (default: the authority's)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    #[command(flatten)]
    pub rest: Rest,
}

/// Add your signature to a proposal; in the authority's folder, with enough of them, the model goes there
///
/// Works on a machine of its own: with `--key`, and send back the file that is written.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stage sign stage.json --key me.age -o stage-me.json
  loadline stage sign stage.json --join stage-me.json")]
pub struct Sign {
    /// The proposal
    #[arg(value_name = "FILE")]
    pub proposal: PathBuf,

    /// Take in the signatures of this file of the same proposal (repeatable)
    #[arg(long, value_name = "FILE")]
    pub join: Vec<PathBuf>,

    /// File of your key (default: none with --join, else the authority's)
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,

    #[command(flatten)]
    pub rest: Rest,
}

/// What `propose` and `sign` ask for besides.
#[derive(clap::Args)]
pub struct Rest {
    /// Where the proposal is written while more must sign (default: stage.json, or in its place)
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// How long the standing counts at least that is signed when the model goes
    #[arg(long, value_name = "TIME", value_parser = super::standing::time, default_value = "5m")]
    pub lease: std::time::Duration,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// Show where a model stands, and how it came there
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline stage show my-model")]
pub struct Show {
    /// The model as it was registered, or the beginning of its digest or of a licence's
    #[arg(value_name = "LICENSE|MODEL")]
    pub model: String,

    #[command(flatten)]
    pub office: OfficeArgs,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

fn model_stage(text: &str) -> std::result::Result<ModelStage, String> {
    ModelStage::ALL.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| {
        let names: Vec<_> = ModelStage::ALL.iter().map(|stage| stage.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        StageVerb::Propose(args) => propose(args, ui),
        StageVerb::Sign(args) => sign(args, ui),
        StageVerb::Show(args) => show(args, ui),
    }
}

fn propose(args: &Propose, ui: &Ui) -> Result {
    let office = Office::open(&args.rest.office)?;
    let (model, license) = stages::resolve(&office, &args.model)?;
    let wish = Wish { model, license, to: args.to, reason: args.reason.clone() };
    if let Some(done) = stages::done(&office, &wish)? {
        return conclude(office, done, &args.rest, ui);
    }
    let transition = stages::propose(&office, &wish)?;
    let key = match &args.key {
        Some(path) => own_key(path, &args.rest)?,
        None => office.key(Role::Authority)?,
    };
    let envelope = transition.sign(&key).map_err(|error| Failure::of(Exit::Unexpected, &error))?;
    let output = args.rest.output.clone().unwrap_or_else(|| "stage.json".into());
    finish(office, &transition, &envelope, &output, &args.rest, ui)
}

fn own_key(path: &Path, rest: &Rest) -> Result<SecretKey> {
    keyring::check_form(path)?;
    Ok(keyring::read_hybrid(path, &rest.office.passphrase.get()?)?)
}

fn read(path: &Path) -> Result<(Transition, Envelope)> {
    let message = || format!("`{}` is no proposal of a stage", path.display());
    let envelope = Envelope::parse(&folder::read(path)?)
        .map_err(|error| Failure::because(Exit::EvidenceInvalid, message(), &error).hint(error.hint()))?;
    let transition = Transition::read(&envelope)
        .map_err(|error| Failure::because(Exit::EvidenceInvalid, message(), &error).hint(error.hint()))?;
    Ok((transition, envelope))
}

fn sign(args: &Sign, ui: &Ui) -> Result {
    let (transition, mut envelope) = read(&args.proposal)?;
    ui.status("Read", format_args!("{}: {}", way(&transition), one_line(&transition.reason, 400)));
    for path in &args.join {
        envelope = envelope.join(&read(path)?.1).map_err(|error| {
            let message = format!("`{}` does not go with `{}`", path.display(), args.proposal.display());
            Failure::because(Exit::Usage, message, &error).hint(error.hint())
        })?;
    }
    let is_here = args.rest.office.authority.join("log").join("head").exists();
    let office = is_here.then(|| Office::open(&args.rest.office)).transpose()?;
    let key = match (&args.key, &office) {
        (Some(path), _) => Some(own_key(path, &args.rest)?),
        (None, _) if !args.join.is_empty() => None,
        (None, Some(office)) => Some(office.key(Role::Authority)?),
        (None, None) => {
            return Err(
                Failure::new(Exit::Usage, "there is no key to sign with").hint("give one with `--key FILE`")
            );
        }
    };
    if let Some(key) = &key {
        envelope = envelope.cosign(key).map_err(|error| {
            let message = format!("key `{}` cannot sign this", one_line(key.public().name(), 60));
            Failure::because(Exit::Usage, message, &error)
                .hint("everybody signs once, with a key of their own")
        })?;
    }
    let output = args.rest.output.clone().unwrap_or_else(|| args.proposal.clone());
    match office {
        Some(office) => finish(office, &transition, &envelope, &output, &args.rest, ui),
        None => {
            kept(&envelope, &output, "whether they are enough is for the authority to say", &args.rest, ui)
        }
    }
}

fn way(transition: &Transition) -> String {
    format!("model {} from `{}` to `{}`", &transition.model.hex()[..12], transition.from, transition.to)
}

/// Logs a transition that enough have signed, and signs what follows from it for the gates; or keeps it for others.
fn finish(
    mut office: Office,
    transition: &Transition,
    envelope: &Envelope,
    output: &Path,
    rest: &Rest,
    ui: &Ui,
) -> Result {
    let index = match stages::log(&mut office, envelope)? {
        Outcome::Logged(index) => index,
        Outcome::Missing(what) => return kept(envelope, output, &what, rest, ui),
    };
    conclude(office, (index, transition.clone(), envelope.payload_digest()), rest, ui)
}

/// Signs for the gates what follows from a logged transition, and publishes the log.
fn conclude(
    mut office: Office,
    (index, transition, digest): (u64, Transition, Digest),
    rest: &Rest,
    ui: &Ui,
) -> Result {
    let word = match transition.from.step(transition.to) {
        Ok(Step::Promotion(_)) => "Promoted",
        _ => "Demoted",
    };
    ui.status(word, format_args!("{}, entry {index} of the log", way(&transition)));
    let standing = standing::prolong(&office, rest.lease)?;
    let path = office.folder.standing();
    let (epoch, end) = (standing.epoch, standing.expires);
    ui.status("Signed", format_args!("standing of epoch {epoch}, until {end}: `{}`", path.display()));
    office.publish(ui)?;
    if transition.to == ModelStage::WeightsReleased {
        ui.warning(RELEASED);
    }
    let mut out = ui.out();
    if rest.json {
        out.json(&json!({
            "index": index, "transition": digest, "model": transition.model, "from": transition.from,
            "to": transition.to, "license": transition.license, "epoch": epoch, "expires": end,
        }))?;
    } else {
        out.line(transition.to)?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

const RELEASED: &str =
    "its weights are public: a stop at a gate stops that gate only, and nobody can stop the model";

fn kept(envelope: &Envelope, output: &Path, missing: &str, rest: &Rest, ui: &Ui) -> Result {
    folder::write(output, &envelope.to_bytes(), folder::PUBLIC)?;
    let signed = envelope.claimed().count();
    ui.status_warn(
        "Proposed",
        format_args!("{signed} signed, nothing has changed yet ({missing}): `{}`", output.display()),
    );
    let mut out = ui.out();
    if rest.json {
        out.json(&json!({
            "file": output, "transition": envelope.payload_digest(), "signed": signed, "missing": missing,
        }))?;
    } else {
        out.line(output.display())?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

fn show(args: &Show, ui: &Ui) -> Result {
    let office = Office::open(&args.office)?;
    let (model, _) = stages::resolve(&office, &args.model)?;
    let history = office.history.stages(model);
    // Each step is checked against what was signed before it is shown.
    let mut signers = Vec::new();
    for (_, entry) in &history.steps {
        signers.push(stages::read(&office, entry)?.1);
    }
    let mut out = ui.out();
    if args.json {
        let step = |((index, entry), signers): (&(u64, StageEntry), &usize)| json!({ "index": index, "entry": entry, "signers": signers });
        let steps: Vec<_> = history.steps.iter().zip(&signers).map(step).collect();
        out.json(&json!({ "model": model, "stage": history.stage, "since": history.since, "steps": steps }))?;
    } else {
        out.line(format_args!("{} {}", history.stage, since(&history)))?;
        let mut table = Table::default();
        for ((index, entry), signers) in history.steps.iter().zip(&signers) {
            table.row([
                Cell::left(format!("entry {index}")).styled(ui::DIM),
                Cell::left(entry.at),
                Cell::left(format!("{} -> {}", entry.from, entry.to)).styled(ui::STRONG),
                Cell::left(ui::count(*signers as u64, "signature")),
                Cell::left(one_line(&entry.reason, 200)),
            ]);
        }
        table.write(&mut out, 2)?;
    }
    out.finish()?;
    notes(&office, model, &history, ui);
    Ok(Exit::Ok)
}

fn since(history: &ModelHistory) -> String {
    history.since.map_or_else(|| "(no step yet)".to_owned(), |since| format!("since {since}"))
}

/// What follows from where the model stands.
fn notes(office: &Office, model: Digest, history: &ModelHistory, ui: &Ui) {
    if history.stage == ModelStage::WeightsReleased {
        ui.warning(RELEASED);
    }
    if history.steps.is_empty() {
        ui.hint("no step of this model is logged: its licences count as they were issued");
        return;
    }
    let held = office.history.licenses();
    let held = held
        .iter()
        .filter(|license| license.entry.model == model && !history.stage.carries(license.entry.stage));
    for license in held {
        ui.warning(format_args!(
            "licence {} for `{}` is not served: the model does not stand open as far",
            &license.entry.license.hex()[..12],
            license.entry.stage
        ));
    }
}
