//! The authority's standing: accepted, kept on the disk before it is used, and never an older one again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use loadline_core::strict::MOST_JSON_BYTES;
use loadline_trust::{Envelope, RootChain, STANDING_TYPE, Standing, StandingError, StandingMark};

use crate::clock::Moment;
use crate::config::StandingSource;
use crate::disk;
use crate::gate::Gate;
use crate::ledger::Event;
use crate::snapshot::Fresh;
use crate::upstream::{Address, Dial};

/// How long an authority may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no newer standing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StandingProblem {
    /// It is not accepted.
    #[error(transparent)]
    Refused(#[from] StandingError),
    /// The one that is kept is damaged, so it is not known which epochs are over.
    #[error("the kept standing `{path}` is damaged: {why}")]
    Damaged {
        /// Where.
        path: String,
        /// How.
        why: String,
    },
    /// It cannot be kept, so it is not used.
    #[error("the standing cannot be kept in `{path}`: {error}")]
    Disk {
        /// Where.
        path: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// It cannot be got.
    #[error("no standing from {place}: {why}")]
    Source {
        /// Whence.
        place: String,
        /// Why.
        why: String,
    },
}

impl StandingProblem {
    /// What makes it this problem and no other, without the moment at which it was found: each is told once.
    fn name(&self) -> String {
        match self {
            Self::Refused(StandingError::Expired { epoch, .. }) => format!("epoch {epoch} has expired"),
            other => other.to_string(),
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.hint(),
            Self::Damaged { .. } => {
                "restore the state folder from a backup; without it an old standing could be shown to this gate"
            }
            Self::Disk { .. } => "check the disk and who may write to the state folder",
            Self::Source { .. } => "check `authority.standing` and that the authority can be reached",
        }
    }
}

/// Keeps the newest standing.
pub struct StandingKeeper {
    path: PathBuf,
    seen: Option<StandingMark>,
    kept: Option<Vec<u8>>,
    /// How many were taken since it was opened.
    taken: u64,
    /// The problem that was told last, until there is none.
    told: Option<String>,
    /// Whether the last time that worked ended one.
    was_silent: bool,
}

impl StandingKeeper {
    /// Opens what was kept in a state folder.
    ///
    /// # Errors
    /// When it is damaged: then it is not known which epochs are over.
    pub fn open(state: &Path) -> Result<Self, StandingProblem> {
        let path = state.join("standing.json");
        let damaged = |why: String| StandingProblem::Damaged { path: path.display().to_string(), why };
        let kept = disk::read(&path, MOST_JSON_BYTES).map_err(|error| damaged(error.to_string()))?;
        let seen = kept.as_deref().map(mark).transpose().map_err(|error| damaged(error.to_string()))?;
        Ok(Self { path, seen, kept, taken: 0, told: None, was_silent: false })
    }

    /// What was kept, where it still counts. This is what a gate begins with.
    pub fn kept(&self, chain: &RootChain, now: Moment) -> Option<Fresh> {
        let (standing, mark) = Standing::accept(self.kept.as_deref()?, chain, self.seen, now.wall()).ok()?;
        Some(Fresh { standing, mark, accepted: now })
    }

    /// The newest one that was seen.
    pub fn seen(&self) -> Option<StandingMark> {
        self.seen
    }

    /// Whether a standing that was just taken is news for the operator: the first since it was opened, or the first
    /// after a problem that was told. Each would be a line every few seconds.
    pub fn is_news(&self) -> bool {
        self.taken == 1 || self.was_silent
    }

    /// Whether a problem is another one than that which was told last. It counts as told from then on.
    fn is_new(&mut self, problem: &StandingProblem) -> bool {
        let name = problem.name();
        self.told.replace(name.clone()) != Some(name)
    }

    /// Takes a standing. It is on the disk when this returns. `None` when it is the one that is there.
    ///
    /// # Errors
    /// When it is not accepted, or cannot be kept. What was there stays in force.
    pub fn offer(
        &mut self,
        bytes: &[u8],
        chain: &RootChain,
        now: Moment,
    ) -> Result<Option<Fresh>, StandingProblem> {
        let (standing, mark) = Standing::accept(bytes, chain, self.seen, now.wall())?;
        if self.seen == Some(mark) {
            return Ok(None);
        }
        disk::replace(&self.path, bytes)
            .map_err(|error| StandingProblem::Disk { path: self.path.display().to_string(), error })?;
        self.taken += 1;
        self.seen = Some(mark);
        self.kept = Some(bytes.to_vec());
        Ok(Some(Fresh { standing, mark, accepted: now }))
    }
}

/// By what a kept standing is remembered. It was checked when it was kept, and its keys may be others by now.
fn mark(bytes: &[u8]) -> Result<StandingMark, StandingError> {
    let envelope = Envelope::parse(bytes)?;
    let standing: Standing = envelope.json(STANDING_TYPE)?;
    Ok(StandingMark { epoch: standing.epoch, digest: envelope.payload_digest(), log_size: standing.log_size })
}

/// Gets the newest standing from where it is published.
///
/// # Errors
/// When it cannot be got.
pub async fn fetch(source: &StandingSource, dial: &dyn Dial) -> Result<Bytes, StandingProblem> {
    match source {
        StandingSource::File(path) => {
            let problem =
                |why: String| StandingProblem::Source { place: format!("`{}`", path.display()), why };
            let read = disk::read(path, MOST_JSON_BYTES).map_err(|error| problem(error.to_string()))?;
            read.map(Bytes::from).ok_or_else(|| problem("there is no such file".to_owned()))
        }
        StandingSource::Http(url) => {
            let problem = |why: String| StandingProblem::Source { place: format!("`{url}`"), why };
            let got = tokio::time::timeout(ANSWER_WITHIN, get(url, dial)).await;
            got.unwrap_or_else(|_| Err("no answer in time".to_owned())).map_err(problem)
        }
    }
}

async fn get(url: &str, dial: &dyn Dial) -> Result<Bytes, String> {
    let address = Address::parse(url)?;
    let said = |error: hyper::Error| error.to_string();
    let io = dial.dial(&address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) = http1::handshake(io).await.map_err(said)?;
    let driver = tokio::spawn(connection);
    let path = if address.path.is_empty() { "/" } else { &address.path };
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, &address.authority)
        .body(Full::<Bytes>::default())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(said)?;
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("it answered {}", response.status().as_u16()));
    }
    let body = Limited::new(response.into_body(), MOST_JSON_BYTES).collect().await;
    driver.abort();
    Ok(body.map_err(|error| error.to_string())?.to_bytes())
}

/// Why a newer standing was not to be had.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct NotRenewed {
    /// Why.
    #[source]
    pub problem: StandingProblem,
    /// Whether it is another problem than the time before: an authority may be silent for long, and neither the operator
    /// nor the audit log is told of that again and again.
    pub is_new: bool,
}

/// Looks for a newer standing once. Whether there was one.
///
/// # Errors
/// Why there is none. The gate goes by what it has, as long as that counts.
pub async fn renew(
    gate: &Arc<Gate>,
    keeper: &mut StandingKeeper,
    chain: &RootChain,
    source: &StandingSource,
) -> Result<bool, NotRenewed> {
    let fetched = fetch(source, &*gate.base.dial).await;
    let is_fetched = fetched.is_ok();
    match fetched.and_then(|bytes| keeper.offer(&bytes, chain, gate.now())) {
        Ok(fresh) => {
            keeper.was_silent = keeper.told.take().is_some();
            let is_newer = fresh.is_some();
            if let Some(fresh) = fresh {
                gate.renew(fresh).await;
            }
            Ok(is_newer)
        }
        Err(problem) => {
            let is_new = keeper.is_new(&problem);
            if is_fetched {
                gate.metrics.standings_refused.inc();
            }
            if is_fetched && is_new {
                let event = Event::StandingRefused(problem.to_string());
                // A log that cannot be written says so in `ready`.
                let _ = gate.base.audit.event(event).await;
            }
            Err(NotRenewed { problem, is_new })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_standing_is_one_problem_whenever_it_is_looked_at() {
        let at = |seconds| loadline_core::Instant::from_seconds(seconds).unwrap();
        let expired = |epoch, now| StandingError::Expired { epoch, expires: at(10), now: at(now) };
        let name = |error| StandingProblem::Refused(error).name();
        assert_eq!(name(expired(7, 20)), name(expired(7, 25)));
        assert_ne!(name(expired(7, 20)), name(expired(8, 20)));
    }
}
