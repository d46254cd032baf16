//! `loadline gate audit`: check a gate's audit log, give rows of it away, erase what it says of somebody.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::Instant;
use loadline_core::untrusted::one_line;
use loadline_evidence::disk::RealDisk;
use loadline_gate::audit::subjects::Subjects;
use loadline_gate::audit::{self, AuditLog, AuditOpenError, AuditOptions, Believed, ExportFilter};
use loadline_tlog::note::MAX_NOTE_BYTES;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{self, Ui};
use crate::verbs::gate_receipt::{Whose, read};

/// Check a gate's audit log, give rows of it away, or erase what it says of somebody
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: AuditVerb,
}

/// What to do with an audit log.
#[derive(clap::Subcommand)]
pub enum AuditVerb {
    Verify(Verify),
    Export(Export),
    Erase(Erase),
}

/// Check every byte of an audit log, what its rows come to, its signed checkpoint, and what witnesses cosigned
///
/// Works while the gate writes. The key in the folder proves nothing about somebody who can write there: give the one
/// that was kept elsewhere.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate audit verify audit
  loadline gate audit verify audit --vkey \"$(cat kept/signer.vkey)\" --json
  loadline gate audit verify audit --policy witnesses.policy")]
pub struct Verify {
    /// Folder of the log
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    #[command(flatten)]
    pub whose: Whose,
    /// A checkpoint that witnesses cosigned, from a witness; the one in the folder without it
    #[arg(long, value_name = "FILE")]
    pub cosigned: Option<PathBuf>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Write rows of an audit log as JSON lines
///
/// Each line has the row's number, its leaf hash, and the row itself, byte for byte.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate audit export audit > audit.jsonl
  loadline gate audit export audit --subject ada --content
  loadline gate audit export audit --from 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z")]
pub struct Export {
    /// Folder of the log
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Only what this subject asked, and what became of it
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// From this moment on
    #[arg(long, value_name = "TIME")]
    pub from: Option<Instant>,
    /// Before this moment
    #[arg(long, value_name = "TIME")]
    pub until: Option<Instant>,
    /// With the bodies that were kept, as base64
    #[arg(long)]
    pub content: bool,
}

/// Erase a subject's key: what the log says of somebody means nothing any more, and the log stays whole
///
/// The gate must not be running. There is no way back. Copies of the file `subjects` that somebody made are not
/// erased by this.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline gate audit erase audit --list
  loadline gate audit erase audit ada")]
pub struct Erase {
    /// Folder of the log
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Whose key
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub subject: Option<String>,
    /// Show the names of all subjects, and erase nothing
    #[arg(long, conflicts_with = "subject")]
    pub list: bool,
}

/// See [`Args`].
///
/// # Errors
/// When the log does not verify, or cannot be read or written.
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        AuditVerb::Verify(args) => verify(args, ui),
        AuditVerb::Export(args) => export(args, ui),
        AuditVerb::Erase(args) => erase(args, ui),
    }
}

fn failure(error: &AuditOpenError) -> Failure {
    let exit = match error {
        error if error.is_tampered() => Exit::EvidenceInvalid,
        AuditOpenError::Missing(_) | AuditOpenError::NoSubject(_) | AuditOpenError::Name { .. } => {
            Exit::Usage
        }
        AuditOpenError::Policy(_) => Exit::TaskInvalid,
        _ => Exit::Unexpected,
    };
    Failure::of(exit, error).hint(error.hint())
}

fn verify(args: &Verify, ui: &Ui) -> Result {
    let cosigned = match &args.cosigned {
        Some(path) => Some((path.clone(), read(path, MAX_NOTE_BYTES as u64)?)),
        None => None,
    };
    let believed = Believed { key: args.whose.vkey.clone(), policy: args.whose.policy_text()?, cosigned };
    let verified = audit::verify_with(&RealDisk, &args.folder, &believed).map_err(|error| failure(&error))?;
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "name": verified.name,
            "rows": verified.mark.rows,
            "root": verified.mark.root,
            "segments": verified.segments,
            "intents": verified.intents,
            "outcomes": verified.outcomes,
            "unsettled": verified.unsettled,
            "open": verified.open,
            "signed": verified.signed,
            "cosigned": verified.cosigned,
            "witnesses": verified.witnesses.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "torn_bytes": verified.torn_bytes,
        }))?;
    } else {
        out.line(format_args!("log        {}", one_line(&verified.name, 200)))?;
        let (rows, segments) =
            (ui::count(verified.mark.rows, "row"), ui::count(verified.segments, "segment"));
        out.line(format_args!("rows       {rows} in {segments}"))?;
        out.line(format_args!("root       {}", verified.mark.root))?;
        let signed = verified.signed.map_or("nothing".to_owned(), |rows| ui::count(rows, "row"));
        out.line(format_args!("signed     {signed}"))?;
        if let Some(rows) = verified.cosigned {
            let by: Vec<_> = verified.witnesses.iter().map(|(name, _)| one_line(name, 60)).collect();
            let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
            out.line(format_args!("cosigned   {}{by}", ui::count(rows, "row")))?;
        }
        out.line(format_args!(
            "requests   {} forwarded: {} settled, {} unsettled, {} open",
            ui::thousands(verified.intents),
            ui::thousands(verified.outcomes),
            ui::thousands(verified.unsettled),
            ui::thousands(verified.open)
        ))?;
    }
    out.finish()?;
    ui.status("Verified", format_args!("`{}`", args.folder.display()));
    if verified.torn_bytes > 0 {
        ui.warning(format_args!(
            "{} at the end are no whole row: a gate is writing, or one has crashed and the next start cuts them",
            ui::bytes(verified.torn_bytes)
        ));
    }
    if args.whose.vkey.is_none() && args.whose.policy.is_none() {
        ui.hint("`--vkey` with a key that was kept elsewhere shows that nobody signed the log anew");
    }
    Ok(Exit::Ok)
}

fn export(args: &Export, ui: &Ui) -> Result {
    let ms = |moment: Instant| moment.seconds().saturating_mul(1000);
    let filter = ExportFilter {
        subject: args.subject.clone(),
        from_ms: args.from.map(ms),
        until_ms: args.until.map(ms),
        content: args.content,
    };
    let mut out = ui.out();
    let count = match audit::export(&RealDisk, &args.folder, &filter, out.writer()) {
        Ok(count) => count,
        Err(AuditOpenError::Write(error)) => return Err(ui::out_failure(&error)),
        Err(error) => return Err(failure(&error)),
    };
    out.finish()?;
    ui.status("Exported", ui::count(count, "row"));
    Ok(Exit::Ok)
}

fn erase(args: &Erase, ui: &Ui) -> Result {
    let Some(subject) = &args.subject else { return list(&args.folder, ui) };
    let name = audit::name(&RealDisk, &args.folder).map_err(|error| failure(&error))?;
    let clock = || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    };
    let random = |buffer: &mut [u8]| getrandom::fill(buffer).map_err(std::io::Error::other);
    let options = AuditOptions::new(&args.folder, &name, Arc::new(clock), Arc::new(random));
    let (log, _) = AuditLog::open(Arc::new(RealDisk), options).map_err(|error| failure(&error))?;
    if !log.erase(subject).map_err(|error| failure(&error.into()))? {
        return Err(failure(&AuditOpenError::NoSubject(one_line(subject, 80))));
    }
    log.close().map_err(|error| failure(&error.into()))?;
    ui.status("Erased", format_args!("the key of `{}`; the log is as it was", one_line(subject, 80)));
    Ok(Exit::Ok)
}

fn list(folder: &Path, ui: &Ui) -> Result {
    audit::name(&RealDisk, folder).map_err(|error| failure(&error))?;
    let subjects = Subjects::read(&RealDisk, folder).map_err(|error| failure(&error))?;
    let mut out = ui.out();
    for name in subjects.names() {
        out.line(one_line(name, 200))?;
    }
    out.finish()?;
    Ok(Exit::Ok)
}
