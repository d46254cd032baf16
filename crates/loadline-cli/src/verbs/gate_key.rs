//! `loadline gate key`: callers' keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::untrusted::one_line;
use loadline_core::{Instant, Secret};
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::Random;
use loadline_gate::keys::{Key, KeyFile, KeyState, KeysError, NewKey};
use loadline_gate::ledger::Limits;
use loadline_policy::Named as _;
use loadline_policy::policy::Stage;
use serde_json::json;

use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::table::{Cell, Table};
use crate::ui::{self, Ui};

/// Make, list, rotate and revoke callers' keys
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: KeyVerb,
}

/// What to do with keys.
#[derive(clap::Subcommand)]
pub enum KeyVerb {
    New(New),
    List(List),
    Rotate(Rotate),
    Revoke(Revoke),
}

/// Make a key. It is shown once, and kept as its SHA-256
///
/// A running gate takes it up when it reads its configuration again (SIGHUP).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate key new keys.json --subject ada --role scientist --days 90
  loadline gate key new keys.json --subject lab --role scientist --model small --tokens-per-day 200000")]
pub struct New {
    /// The file of keys; made when it is not there
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Whose key: what it asks can be exported and erased by this name
    #[arg(long, value_name = "NAME")]
    pub subject: String,
    /// What the caller is; the gate's configuration says which stages are open to whom
    #[arg(long, value_name = "NAME")]
    pub role: String,
    /// Only this stage (repeatable)
    #[arg(long, value_name = "STAGE", value_parser = stage)]
    pub stage: Vec<Stage>,
    /// Only this model (repeatable)
    #[arg(long, value_name = "NAME")]
    pub model: Vec<String>,
    /// For so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=36_600))]
    pub days: Option<u64>,
    /// Draw on this quota, with the other keys that do
    #[arg(long, value_name = "NAME")]
    pub quota: Option<String>,
    /// Most requests in a minute
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u64>,
    /// Most tokens in a minute
    #[arg(long, value_name = "N")]
    pub tokens_per_minute: Option<u64>,
    /// Most tokens in a day (UTC)
    #[arg(long, value_name = "N")]
    pub tokens_per_day: Option<u64>,
    /// Most tokens in all
    #[arg(long, value_name = "N")]
    pub tokens_per_term: Option<u64>,
}

/// List the keys: how each begins, whose it is, and how it stands
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate key list keys.json
  loadline gate key list keys.json --json")]
pub struct List {
    /// The file of keys
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Make a key in another's place, for the same; the old one works some hours longer
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate key rotate keys.json 3f9a01c2d4e5
  loadline gate key rotate keys.json 3f9a01c2d4e5 --overlap-hours 0")]
pub struct Rotate {
    /// The file of keys
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The key, by its id
    #[arg(value_name = "ID")]
    pub id: String,
    /// How long both work
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u64).range(0..=8_784))]
    pub overlap_hours: u64,
}

/// Revoke a key
///
/// A running gate refuses it when it has read its configuration again (SIGHUP).
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate key revoke keys.json 3f9a01c2d4e5 && systemctl reload loadline-gate")]
pub struct Revoke {
    /// The file of keys
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The key, by its id
    #[arg(value_name = "ID")]
    pub id: String,
}

fn stage(text: &str) -> std::result::Result<Stage, String> {
    Stage::ALL.iter().copied().find(|stage| stage.name() == text).ok_or_else(|| {
        let names: Vec<_> = Stage::ALL.iter().map(|stage| stage.name()).collect();
        format!("one of {}", names.join(", "))
    })
}

/// See [`Args`].
///
/// # Errors
/// When the file of keys cannot be read or written, or there is no such key.
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        KeyVerb::New(args) => new(args, ui),
        KeyVerb::List(args) => list(args, ui),
        KeyVerb::Rotate(args) => rotate(args, ui),
        KeyVerb::Revoke(args) => revoke(args, ui),
    }
}

fn failure(error: &KeysError) -> Failure {
    let exit = match error {
        KeysError::Form { .. } => Exit::TaskInvalid,
        KeysError::Unknown { .. } | KeysError::Over(_) | KeysError::Value(_) => Exit::Usage,
        _ => Exit::Unexpected,
    };
    Failure::of(exit, error).hint(error.hint())
}

fn random() -> Random {
    Arc::new(|buffer| getrandom::fill(buffer).map_err(std::io::Error::other))
}

fn new(args: &New, ui: &Ui) -> Result {
    let now = roots::now()?;
    let key = NewKey {
        subject: args.subject.clone(),
        role: args.role.clone(),
        stages: args.stage.clone(),
        models: args.model.clone(),
        expires: args.days.map(|days| now.plus_days(days)),
        quota: args.quota.clone(),
        limits: Limits {
            requests_per_minute: args.requests_per_minute,
            tokens_per_minute: args.tokens_per_minute,
            tokens_per_day: args.tokens_per_day,
            tokens_per_term: args.tokens_per_term,
        },
    };
    make(&args.file, ui, |file| file.issue(key, now, &random()).map(|(secret, key)| (secret, key.clone())))
}

fn rotate(args: &Rotate, ui: &Ui) -> Result {
    let (now, overlap_s) = (roots::now()?, args.overlap_hours * 3600);
    make(&args.file, ui, |file| {
        file.rotate(&args.id, overlap_s, now, &random()).map(|(secret, key)| (secret, key.clone()))
    })?;
    let until =
        if args.overlap_hours == 0 { "no longer".to_owned() } else { ui::count(args.overlap_hours, "hour") };
    ui.status("Replaced", format_args!("key {}: it works {until}", one_line(&args.id, 40)));
    Ok(Exit::Ok)
}

/// Keeps a new key, and only then shows it.
fn make(
    path: &Path,
    ui: &Ui,
    make: impl FnOnce(&mut KeyFile) -> std::result::Result<(Secret, Key), KeysError>,
) -> Result {
    let (mut file, _lock) = KeyFile::edit(&RealDisk, path).map_err(|error| failure(&error))?;
    let (secret, key) = make(&mut file).map_err(|error| failure(&error))?;
    file.write(&RealDisk).map_err(|error| failure(&error))?;
    ui.status("Kept", format_args!("key {} in `{}`", key.id, path.display()));
    let mut out = ui.out();
    out.line(secret.expose())?;
    out.finish()?;
    ui.hint("the key above is shown once: hand it over by a safe way, and reload the gate");
    Ok(Exit::Ok)
}

fn revoke(args: &Revoke, ui: &Ui) -> Result {
    let (mut file, _lock) = KeyFile::edit(&RealDisk, &args.file).map_err(|error| failure(&error))?;
    let key = file.revoke(&args.id, roots::now()?).map_err(|error| failure(&error))?;
    let id = key.id.clone();
    file.write(&RealDisk).map_err(|error| failure(&error))?;
    ui.status("Revoked", format_args!("key {id}"));
    ui.hint(format_args!("a running gate refuses it when it is reloaded; at once: `loadline stop key:{id}`"));
    Ok(Exit::Ok)
}

fn state(key: &Key, now: Instant) -> &'static str {
    match key.state(now) {
        KeyState::Works => "works",
        KeyState::Replaced => "replaced",
        KeyState::Expired => "expired",
        KeyState::Revoked => "revoked",
    }
}

fn list(args: &List, ui: &Ui) -> Result {
    let (file, now) = (KeyFile::read(&RealDisk, &args.file).map_err(|error| failure(&error))?, roots::now()?);
    let mut out = ui.out();
    if args.json {
        let keys: Vec<_> =
            file.keys().iter().map(|key| json!({ "key": key, "state": state(key, now) })).collect();
        out.json(&json!({ "keys": keys }))?;
        out.finish()?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::default();
    for key in file.keys() {
        let expires = key.expires.map_or("for ever".to_owned(), |expires| format!("until {expires}"));
        table.row([
            Cell::left(&key.id),
            Cell::left(format_args!("{}…", key.shown)),
            Cell::left(state(key, now)),
            Cell::left(one_line(&key.subject, 40)),
            Cell::left(one_line(&key.role, 40)),
            Cell::left(expires),
        ]);
    }
    table.write(&mut out, 0)?;
    out.finish()?;
    if file.keys().is_empty() {
        ui.say(format_args!("no keys in `{}`", args.file.display()));
    }
    Ok(Exit::Ok)
}
