//! `loadline log fsck`: a whole log, derived anew.

mod story;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use loadline_core::untrusted::one_line;
use loadline_tlog::disk::{self, DiskError, FolderSource, RealDisk};
use loadline_tlog::{Checkpoint, Note, TileReader, VerifierKey};
use serde_json::json;

use self::story::Story;
use super::{Trust, log_in, must_be_folder};
use crate::authority::publish::disk_failure;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{Ui, count};

/// Check a log's folder: derive every hash anew from the entries
///
/// Reads every entry and every tile and checks that they make the tree that the log signed, that what is published is an
/// earlier state of it, and every signature. In an authority's log, also that no attempt at an exam is missing or counted
/// twice. Ends with 30 and names the first file or entry that is wrong. Writes nothing.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline log fsck authority
  loadline log fsck mirror/log --vkey \"$(cat log.vkey)\"")]
pub struct Fsck {
    /// Folder of a log, or of an authority
    #[arg(value_name = "DIR", default_value = "authority")]
    pub dir: PathBuf,

    #[command(flatten)]
    pub trust: Trust,

    /// Print as JSON
    #[arg(long)]
    pub json: bool,
}

/// See [`Fsck`].
pub fn run(args: &Fsck, ui: &Ui) -> Result {
    must_be_folder(&args.dir)?;
    let (dir, authority) = log_in(&args.dir);
    let policy = args.trust.policy(authority)?;
    let keys: Vec<VerifierKey> = policy.logs().iter().map(|log| log.key.clone()).collect();
    let witnesses: Vec<VerifierKey> = policy.witnesses().iter().map(|witness| witness.key.clone()).collect();
    let mut story = Story::default();
    let mut visit = |index: u64, entry: &[u8]| story.read(index, entry);
    let report = disk::fsck(&dir, Arc::new(RealDisk), &keys, &witnesses, &mut visit);
    let report = report.map_err(|error| {
        let mut failure = disk_failure(&error);
        // A file that is missing or far too long is what was looked for; a disk that fails is not.
        if let DiskError::Io { source, .. } = &error
            && matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge)
        {
            failure.exit = Exit::EvidenceInvalid;
        }
        failure
    })?;
    if report.published.is_some() {
        check_quorum(&dir.join("checkpoint"), &policy)?;
    }
    check_story(&story, &dir, &report.checkpoint)?;
    let root = base64(report.checkpoint.root());
    let mut out = ui.out();
    if args.json {
        out.json(&json!({
            "origin": report.checkpoint.origin(), "size": report.checkpoint.size(), "root": root,
            "exams": story.exams(), "published": report.published, "tiles": report.audited.tiles, "bundles": report.audited.bundles,
        }))?;
    } else {
        out.line(format_args!("{} {root}", report.checkpoint.size()))?;
    }
    out.finish()?;
    if report.unknown_signatures > 0 {
        let lines = count(report.unknown_signatures as u64, "signature");
        ui.warning(format_args!("the published checkpoint has {lines} by keys that are not known here"));
    }
    if let Some(stray) = report.strays.first() {
        ui.warning(format_args!("`{}` is no file of a log", one_line(stray, 100)));
    }
    if report.beyond > 0 {
        let files = count(report.beyond, "file");
        ui.warning(format_args!("{files} of a batch that was cut off: no part of the log"));
    }
    if let Some(exams) = story.exams() {
        ui.status(
            "Followed",
            format_args!("{}: no attempt is missing or counted twice", count(exams, "exam")),
        );
    }
    ui.status(
        "Checked",
        format_args!(
            "{} of {}",
            count(report.audited.entries, "entry"),
            one_line(report.checkpoint.origin(), 80)
        ),
    );
    Ok(Exit::Ok)
}

/// What is published must satisfy the policy: a reader will ask the same.
fn check_quorum(path: &Path, policy: &loadline_tlog::Policy) -> Result<()> {
    let bytes = std::fs::read(path);
    let bytes = bytes.map_err(|error| Failure::io(format!("cannot read `{}`", path.display()), &error))?;
    let note = Note::parse(&bytes).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
    policy.check(&note).map(drop).map_err(|error| {
        let message = format!("`{}` does not satisfy the policy", path.display());
        Failure::because(Exit::EvidenceInvalid, message, &error)
            .hint("`loadline log publish` asks the witnesses again")
    })
}

/// The entries must fit each other, and every registration and start the log that it says it follows.
fn check_story(story: &Story, dir: &Path, checkpoint: &Checkpoint) -> Result<()> {
    let failure = |what: &str| {
        Failure::new(Exit::EvidenceInvalid, what).hint(
            "the log is as it was signed: whoever signed it logged this; do not rely on the exams it is about",
        )
    };
    if let Some(what) = story.wrong() {
        return Err(failure(what));
    }
    let mut reader = TileReader::new(FolderSource::new(dir), checkpoint.size(), *checkpoint.root());
    for (kind, size, root) in story.followed() {
        let (found, _) =
            reader.consistency(size).map_err(|error| Failure::of(Exit::EvidenceInvalid, &error))?;
        if found != root {
            return Err(failure(&format!("entry {size} ({kind}) names another root than the log had there")));
        }
    }
    Ok(())
}

/// A hash as checkpoints write it.
fn base64(root: &loadline_tlog::Hash) -> String {
    let text = loadline_tlog::Checkpoint::new("x", 1, *root).map(|checkpoint| checkpoint.to_text());
    text.unwrap_or_default().lines().nth(2).unwrap_or_default().to_owned()
}
