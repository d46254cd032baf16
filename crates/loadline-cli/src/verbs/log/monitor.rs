//! `loadline log monitor`: watch a log from outside.

mod keep;
mod place;

use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use loadline_core::untrusted::one_line;
use loadline_tlog::policy::Refused;
use loadline_tlog::{Checkpoint, ConsistencyProof, Finding, Monitor as Watcher, Note, TileReader};

use self::keep::Kept;
use self::place::Watched;
use super::{Trust, log_in, must_be_folder};
use crate::control::{Control, Respond, Watch};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::{Ui, count};

/// Watch a log: is it still the one that was seen before?
///
/// Keeps the newest checkpoint that it believed, and asks the log to prove that the next one continues it. A log that
/// forks, goes back, or shows what it did not sign ends the command with 30; both signed checkpoints are kept in files, as
/// evidence for others.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline log monitor https://log.example.com/2026 --state log.seen --vkey \"$(cat log.vkey)\"
  loadline log monitor authority --state log.seen --every 30s")]
pub struct Monitor {
    /// URL of a log, or folder of a log or an authority
    #[arg(value_name = "URL|DIR")]
    pub log: String,

    /// File of the newest checkpoint that was believed; made the first time
    #[arg(long, value_name = "FILE")]
    pub state: PathBuf,

    /// Look once (the default)
    #[arg(long, conflicts_with = "every")]
    pub once: bool,

    /// Look again and again, so long apart: 30s, 5m, 2h
    #[arg(long, value_name = "TIME", value_parser = interval)]
    pub every: Option<Duration>,

    #[command(flatten)]
    pub trust: Trust,
}

/// See [`Monitor`].
pub fn run(args: &Monitor, ui: &Ui) -> Result {
    let is_url = args.log.starts_with("http://") || args.log.starts_with("https://");
    if !is_url {
        must_be_folder(args.log.as_ref())?;
    }
    let (folder, authority) = log_in(args.log.as_ref());
    let policy = args.trust.policy(authority.filter(|_| !is_url))?;
    let watched = if is_url { Watched::url(&args.log)? } else { Watched::folder(folder) };
    let kept = Kept::open(&args.state)?;
    let watcher = match kept.read()? {
        None => Watcher::new(policy),
        Some(note) => Watcher::resume(policy, note).map_err(|refused| {
            let message = format!("`{}` is not what the policy accepts", args.state.display());
            Failure::because(Exit::EvidenceInvalid, message, &refused).hint(
                "restore it from a copy, or give the policy under which it was kept; without it, what was seen is forgotten",
            )
        })?,
    };
    let mut watch = Watching { watcher, watched, kept, ui };
    let Some(every) = args.every else {
        watch.look(true)?;
        return Ok(Exit::Ok);
    };
    let (stop, stopped) = mpsc::channel();
    let io = |error| Failure::io("cannot start", &error);
    let _control = Control::start(Watch::default(), Stop(stop)).map_err(io)?;
    loop {
        watch.look(false)?;
        match stopped.recv_timeout(every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Exit::Ok),
        }
    }
}

struct Stop(mpsc::Sender<()>);

impl Respond for Stop {
    fn stop(&mut self) {
        let _nobody_waits = self.0.send(());
    }

    fn in_flight(&mut self) {}
}

struct Watching<'u> {
    watcher: Watcher,
    watched: Watched,
    kept: Kept,
    ui: &'u Ui,
}

impl Watching<'_> {
    /// Looks once. What cannot be reached fails the command only when it is to look once.
    fn look(&mut self, only_once: bool) -> Result<()> {
        let seen = match self.watched.checkpoint() {
            Ok(note) => note,
            Err(failure) => return self.later(failure, only_once),
        };
        let proof = match self.proof(&seen) {
            Ok(proof) => proof,
            Err(failure) => return self.later(failure, only_once),
        };
        match self.watcher.observe(&seen, proof.as_ref()) {
            Finding::First { size } => {
                self.kept.write(&seen)?;
                self.ui.status("Seen", format_args!("{} for the first time", count(size, "entry")));
            }
            Finding::Advanced { from, to } => {
                self.kept.write(&seen)?;
                self.ui.status("Grown", format_args!("from {from} to {}", count(to, "entry")));
            }
            Finding::Same { size } => self.ui.status("Same", count(size, "entry")),
            Finding::BadSignature(refused @ Refused::Quorum(_)) if !only_once => {
                self.ui.warning(one_line(&refused.to_string(), 300));
            }
            finding => return Err(self.alarm(&finding, &seen)),
        }
        Ok(())
    }

    fn later(&self, failure: Failure, only_once: bool) -> Result<()> {
        if only_once || failure.exit == Exit::EvidenceInvalid {
            return Err(failure);
        }
        self.ui.warning(one_line(&failure.message, 300));
        Ok(())
    }

    /// The proof between what is known and what is shown, from the tiles of the larger of the two. `None` when none is
    /// needed, the tiles do not give one, or the checkpoint is not to be believed anyway.
    fn proof(&mut self, seen: &Note) -> Result<Option<ConsistencyProof>> {
        let (Some(known), Ok(shown)) = (self.watcher.state(), self.watcher.check(seen)) else {
            return Ok(None);
        };
        let Ok(known) = Checkpoint::parse(known.text()) else { return Ok(None) };
        let (old, new) = if shown.size() < known.size() { (&shown, &known) } else { (&known, &shown) };
        if old.size() == new.size() || old.origin() != new.origin() {
            return Ok(None);
        }
        let mut reader = TileReader::new(&self.watched, new.size(), *new.root());
        match reader.consistency(old.size()) {
            Ok((_, proof)) => Ok(Some(proof)),
            // Going back needs no proof to be loud about; going on without one proves nothing yet.
            Err(loadline_tlog::ReadError::Source { source, .. }) if shown.size() > known.size() => {
                Err(Failure::because(
                    source.exit(),
                    "the log gives no proof that it continues what was seen",
                    &source,
                )
                .hint("what was seen is kept: the next time will tell"))
            }
            Err(_) => Ok(None),
        }
    }

    /// Keeps the evidence, and says what it means.
    fn alarm(&self, finding: &Finding, seen: &Note) -> Failure {
        let message = match finding {
            Finding::Fork { problem: None, .. } => {
                "the log tells two stories: it signed two checkpoints of the same size that differ".to_owned()
            }
            Finding::Fork { problem: Some(problem), .. } => {
                format!(
                    "the log tells two stories: what it shows does not continue what was seen ({problem})"
                )
            }
            Finding::Rollback { known, shown, is_earlier_state } => {
                let kind =
                    if *is_earlier_state { "an earlier state of it" } else { "and proves no relation" };
                format!("the log went back: {known} entries were seen, it shows {shown}, {kind}")
            }
            Finding::BadSignature(refused) => format!("the checkpoint is not to be believed: {refused}"),
            Finding::OtherLog { known, shown } => {
                format!("this is another log: `{}`, not `{}`", one_line(shown, 80), one_line(known, 80))
            }
            _ => "the log is as it was".to_owned(),
        };
        let failure = Failure::new(Exit::EvidenceInvalid, message);
        match self.kept.evidence(self.watcher.state(), seen) {
            Ok(files) => failure.hint(format!(
                "believe nothing newer of this log; show others the evidence: {}",
                files.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
            )),
            Err(lost) => failure.cause(format!("the evidence could not be kept: {}", lost.message)),
        }
    }
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("`{text}` is no time: 1 to 86400 seconds, like 30s, 5m, 2h");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text.strip_suffix(unit).and_then(|number| number.parse().ok()).ok_or_else(wrong)?;
    let seconds = number.checked_mul(factor).filter(|seconds| (1..=86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read() {
        for (text, seconds) in [("1s", 1), ("30s", 30), ("5m", 300), ("24h", 86_400)] {
            assert_eq!(interval(text), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "s", "0s", "30", "-1s", "25h", "1.5m", "1ss", "99999999999999999999h", "1µ"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
