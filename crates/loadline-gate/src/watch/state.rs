//! What is kept of watches between starts (`docs/formats/watch.md`).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use loadline_core::Digest;
use loadline_stats::drift::{BETS, DriftAlarm};
use serde::{Deserialize, Serialize};

use super::Watch;
use crate::disk;

/// `format` of what is kept.
pub const STATE_FORMAT: &str = "loadline-watch/1";
/// The largest state that is read.
const MAX_STATE_BYTES: usize = 16 << 20;
/// The file's name.
const STATE: &str = "watch.json";

/// What is known of one watch and one model.
#[derive(Clone, Debug)]
pub(super) struct Track {
    pub(super) digest: Digest,
    pub(super) alarm: DriftAlarm,
    pub(super) right: u64,
    pub(super) scored: u64,
    /// Answers that could not be scored.
    pub(super) unscored: u64,
    /// Questions that were asked: none comes again.
    pub(super) asked: u64,
    pub(super) suspended: bool,
    /// Questions in a row that brought no answer, since this start.
    pub(super) silent: u64,
    /// It was told that the watch rests.
    pub(super) rests: bool,
}

/// The same, as it is kept. The e-process is kept bit by bit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeptTrack {
    pub(super) watch: String,
    pub(super) model: String,
    pub(super) digest: Digest,
    pub(super) right: u64,
    pub(super) scored: u64,
    pub(super) unscored: u64,
    pub(super) asked: u64,
    pub(super) alarm_n: u64,
    pub(super) alarm_worth: [String; BETS],
    pub(super) alarm_raised_at: Option<u64>,
    pub(super) suspended: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    pub(super) format: String,
    pub(super) tracks: Vec<KeptTrack>,
}

/// By watch and model.
pub(super) type Tracks = BTreeMap<(Arc<str>, Arc<str>), Track>;

/// What is kept in a folder.
///
/// # Errors
/// When it cannot be read, or is damaged.
pub(super) fn read(folder: &Path) -> io::Result<Vec<KeptTrack>> {
    let path = folder.join(STATE);
    let Some(bytes) = disk::read(&path, MAX_STATE_BYTES)? else { return Ok(Vec::new()) };
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| wrong(&path, error))?;
    if kept.format != STATE_FORMAT {
        return Err(wrong(&path, format!("its format is not `{STATE_FORMAT}`")));
    }
    Ok(kept.tracks)
}

pub(super) fn wrong(path: &Path, why: impl std::fmt::Display) -> io::Error {
    let shown = path.display();
    io::Error::other(format!("`{shown}` is damaged: {why}; it says which models are suspended here"))
}

/// What is known of these watches: what was kept of them, or nothing yet.
pub(super) fn tracks_of(kept: &[KeptTrack], watches: &[Arc<Watch>], path: &Path) -> io::Result<Tracks> {
    let mut tracks = Tracks::new();
    for watch in watches {
        for model in &watch.models {
            let old = kept.iter().find(|track| *track.watch == *watch.name && *track.model == **model);
            let fresh =
                || DriftAlarm::new(watch.figure.least, watch.alpha).map_err(|error| wrong(path, error));
            let mut track = Track {
                digest: watch.digest,
                alarm: fresh()?,
                right: 0,
                scored: 0,
                unscored: 0,
                asked: old.map_or(0, |old| old.asked),
                // Another definition does not lift what the old one did.
                suspended: old.is_some_and(|old| old.suspended),
                silent: 0,
                rests: false,
            };
            if let Some(old) = old.filter(|old| old.digest == watch.digest) {
                let mut worth = [0.0; BETS];
                for (worth, bits) in worth.iter_mut().zip(&old.alarm_worth) {
                    *worth =
                        f64::from_bits(u64::from_str_radix(bits, 16).map_err(|error| wrong(path, error))?);
                }
                let alarm = fresh()?.resumed(old.alarm_n, worth, old.alarm_raised_at);
                track.alarm = alarm.map_err(|error| wrong(path, error))?;
                (track.right, track.scored, track.unscored) = (old.right, old.scored, old.unscored);
            }
            tracks.insert((Arc::clone(&watch.name), Arc::clone(model)), track);
        }
    }
    Ok(tracks)
}

/// What was kept of watches that the configuration does not have any more: which models they suspended, and which
/// questions they asked.
pub(super) fn gone(kept: Vec<KeptTrack>, tracks: &Tracks) -> Vec<KeptTrack> {
    let is_gone =
        |old: &KeptTrack| !tracks.keys().any(|(watch, model)| **watch == *old.watch && **model == *old.model);
    kept.into_iter().filter(is_gone).collect()
}

/// What is to be kept.
pub(super) fn kept(tracks: &Tracks, gone: &[KeptTrack]) -> Kept {
    let here = tracks.iter().map(|((watch, model), track)| KeptTrack {
        watch: watch.to_string(),
        model: model.to_string(),
        digest: track.digest,
        right: track.right,
        scored: track.scored,
        unscored: track.unscored,
        asked: track.asked,
        alarm_n: track.alarm.n(),
        alarm_worth: track.alarm.worth().map(|worth| format!("{:016x}", worth.to_bits())),
        alarm_raised_at: track.alarm.raised_at(),
        suspended: track.suspended,
    });
    Kept { format: STATE_FORMAT.to_owned(), tracks: here.chain(gone.iter().cloned()).collect() }
}
