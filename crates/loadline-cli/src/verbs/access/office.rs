//! A programme in its folder: begun, opened; and what anybody can look at.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_access::lottery::Lottery;
use loadline_access::refusal::Refusal;
use loadline_access::store::StoreError;
use loadline_access::{Desk, Programme, programme};
use loadline_core::untrusted::one_line;
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::Random;
use loadline_tlog::VerifierKey;
use serde_json::Value;

use super::ask::Place;
use super::exit;
use crate::authority::roots;
use crate::documents;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{self, Ui};

/// The largest file of a draw that is read, in bytes.
const MAX_LOTTERY_BYTES: u64 = 16 << 20;

/// Begin a programme: check its file, and make its folder
///
/// `docs/access.md` has a file to begin with, `docs/formats/access.md` every key.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access init access.toml")]
pub struct Init {
    /// The programme's file
    #[arg(value_name = "PROGRAMME")]
    pub programme: PathBuf,
}

/// Show a programme's figures: how many applied, how long it took, how many were accepted. No names
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline access figures access.toml
  loadline access figures https://access.example.org --json")]
pub struct Figures {
    /// The programme: its file, or the URL where it is served
    #[arg(value_name = "PROGRAMME|URL")]
    pub programme: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Show how the places of a round were given, or draw again
#[derive(clap::Args)]
pub struct LotteryArgs {
    #[command(subcommand)]
    pub verb: LotteryVerb,
}

/// What to do with a draw.
#[derive(clap::Subcommand)]
pub enum LotteryVerb {
    /// Print a draw as JSON, as it is published
    Show {
        /// The programme: its file, or the URL where it is served
        #[arg(value_name = "PROGRAMME|URL")]
        programme: String,
        /// The round
        #[arg(value_name = "ROUND")]
        round: String,
    },
    /// Draw again from what was published, and compare
    Verify {
        /// A draw, as `loadline access draw` printed it
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Public key of the programme's log, from its file `signer.vkey`
        #[arg(long, value_name = "VKEY", value_parser = vkey)]
        vkey: Option<VerifierKey>,
    },
}

fn vkey(text: &str) -> std::result::Result<VerifierKey, String> {
    VerifierKey::parse(text.trim()).map_err(|error| error.to_string())
}

/// Reads a programme's file, with the keys that it names.
pub fn read(path: &Path) -> Result<Programme> {
    let text = documents::read(path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    programme::parse(&text, folder)
        .map_err(|problems| documents::wrong_in(&path.display().to_string(), &problems, "access", &text))
}

/// Opens a programme, and says what a crash left.
pub fn open(programme: &Programme, ui: &Ui) -> Result<Desk> {
    open_or(programme, |_| None, ui)
}

/// The same; what to do instead may be known better than the error does.
pub fn open_or(
    programme: &Programme,
    advice: impl FnOnce(&StoreError) -> Option<String>,
    ui: &Ui,
) -> Result<Desk> {
    let opened = Desk::open(Arc::new(RealDisk), programme.clone(), roots::now()?, random());
    let (desk, cut) = opened.map_err(|error| failure(&error).maybe_hint(advice(&error)))?;
    if let Some(cut) = cut {
        let bytes = ui::bytes(cut.bytes);
        ui.warning(format_args!(
            "a crash left {bytes} that were no whole row; they were cut and written down"
        ));
    }
    Ok(desk)
}

fn random() -> Random {
    Arc::new(|buffer| getrandom::fill(buffer).map_err(std::io::Error::other))
}

fn failure(error: &StoreError) -> Failure {
    let exit = match error {
        error if error.is_tampered() => Exit::EvidenceInvalid,
        StoreError::Missing(_) | StoreError::Exists(_) | StoreError::Name { .. } => Exit::Usage,
        _ => Exit::Unexpected,
    };
    Failure::of(exit, error).hint(error.hint())
}

/// A refusal, as the end of a command.
pub fn refused(refusal: &Refusal) -> Failure {
    let hint = Some(refusal.hint.clone()).filter(|hint| !hint.is_empty());
    Failure::new(exit(refusal.code.word()), refusal.message.clone()).maybe_hint(hint)
}

/// See [`Init`].
pub fn init(args: &Init, ui: &Ui) -> Result {
    let programme = read(&args.programme)?;
    let desk = Desk::found(Arc::new(RealDisk), programme, roots::now()?, random());
    let desk = desk.map_err(|error| failure(&error))?;
    ui.status("Founded", format_args!("`{}` in `{}`", desk.programme().name, desk.dir().display()));
    ui.hint("keep the folder: what was decided is there and nowhere else; publish `signer.vkey` and the programme's file");
    Ok(Exit::Ok)
}

/// See [`Figures`].
pub fn figures(args: &Figures, ui: &Ui) -> Result {
    let place = Place::open(&args.programme)?;
    let (value, estimates) = match place.programme() {
        None => (place.get("/figures")?, None),
        Some(programme) => {
            let figures = open(programme, ui)?.figures(roots::now()?);
            let value = serde_json::to_value(&figures);
            let value = value.map_err(|error| Failure::of(Exit::Unexpected, &error))?;
            (value, Some((figures.acceptance, figures.decision_days)))
        }
    };
    let mut out = ui.out();
    if args.json {
        out.json(&value)?;
    } else {
        let count =
            |name| value.pointer(&format!("/total/{name}")).and_then(Value::as_u64).unwrap_or_default();
        for name in [
            "applied",
            "waiting",
            "overdue",
            "accepted",
            "rejected",
            "withdrawn",
            "appeals",
            "overturned",
            "granted",
            "ended",
            "reported",
        ] {
            out.line(format_args!("{name:<13} {}", ui::thousands(count(name))))?;
        }
        let (acceptance, days) = estimates.unwrap_or_default();
        let line = |local: Option<String>, name: &str| {
            local.or_else(|| {
                value
                    .get(name)
                    .filter(|value| !value.is_null())
                    .map(|value| one_line(&value.to_string(), 300))
            })
        };
        let shown = |estimate: loadline_stats::Estimate| {
            format!("{estimate}  n={}  {} 95%", estimate.n, estimate.method.name())
        };
        let acceptance = line(acceptance.map(shown), "acceptance");
        let days = line(days.map(shown), "decision_days");
        out.line(format_args!(
            "acceptance    {}",
            acceptance.unwrap_or_else(|| "nothing was decided yet".to_owned())
        ))?;
        out.line(format_args!(
            "median days   {}",
            days.unwrap_or_else(|| "nothing was decided yet".to_owned())
        ))?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}

/// See [`LotteryArgs`].
pub fn lottery(args: &LotteryArgs, ui: &Ui) -> Result {
    match &args.verb {
        LotteryVerb::Show { programme, round } => {
            let place = Place::open(programme)?;
            let drawn: Lottery = match place.programme() {
                Some(programme) => {
                    open(programme, ui)?.lottery(round).map_err(|refusal| refused(&refusal))?
                }
                None => {
                    let value = place.get(&format!("/lottery/{}", path_part(round)?))?;
                    serde_json::from_value(value).map_err(|error| {
                        Failure::because(Exit::ModelUnreachable, "what is served there is no draw", &error)
                            .hint("check the URL: it is the part before `/lottery`")
                    })?
                }
            };
            let mut out = ui.out();
            out.json(&drawn)?;
            out.finish()?;
            Ok(Exit::Ok)
        }
        LotteryVerb::Verify { file, vkey } => verify(file, vkey.as_ref(), ui),
    }
}

/// A name that can stand in a path as it is.
fn path_part(name: &str) -> Result<&str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !name.is_empty() && name.bytes().all(plain) {
        return Ok(name);
    }
    Err(Failure::new(Exit::Usage, format!("`{}` is not the name of a round", one_line(name, 60)))
        .hint("letters, digits, `-`, `_` and `.`"))
}

fn verify(path: &Path, key: Option<&VerifierKey>, ui: &Ui) -> Result {
    use std::io::Read as _;
    let wrong = |exit, why: &str| {
        Failure::new(exit, format!("`{}`: {why}", path.display()))
            .hint("get the draw again from where it was published")
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_LOTTERY_BYTES).read_to_end(&mut bytes));
    read.map_err(|error| wrong(Exit::TaskInvalid, &error.to_string()))?;
    let drawn: Lottery = serde_json::from_slice(&bytes).map_err(|error| {
        wrong(Exit::TaskInvalid, &format!("no draw: {}", one_line(&error.to_string(), 200)))
    })?;
    drawn.verify(key).map_err(|why| wrong(Exit::EvidenceInvalid, &why))?;
    let accepted = ui::count(drawn.order.len() as u64, "application");
    ui.status(
        "Verified",
        format_args!(
            "the order of {accepted} follows from the checkpoint{}",
            if drawn.beacon.is_some() { " and the public randomness" } else { "" }
        ),
    );
    match (&drawn.announced, key) {
        (Some(announced), _) => {
            let value = one_line(drawn.beacon.as_deref().unwrap_or_default(), 100);
            ui.hint(format_args!(
                "compare the value `{value}` with what was announced: {}",
                one_line(announced, 200)
            ));
        }
        (None, None) => ui.hint("`--vkey` with the log's public key shows whose checkpoint it is"),
        (None, Some(_)) => ui.hint(
            "without a public randomness whoever runs the programme could have tried several checkpoints",
        ),
    }
    Ok(Exit::Ok)
}
