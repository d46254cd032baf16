//! A model from the hub: out of the cache of the hub's own tools, or fetched.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadline_core::Digest;
use loadline_local::catalogue::KnownModel;
use loadline_model::Environment;
use loadline_model::hub::{Hub, HubError, HubFile};

use super::Cancelled;
use super::view::View;

/// How long the hub may take to say that it has the file, before another source is tried.
const PATIENCE: Duration = Duration::from_secs(8);
/// First pause after a failed attempt; with six attempts a hub that refuses is given up after about 3 seconds.
const PAUSE: Duration = Duration::from_millis(100);

/// Why the hub gave no model.
#[derive(Debug, thiserror::Error)]
pub enum HubFailure {
    /// There is no way to it, or it says no: another source may have the model.
    #[error("the hub cannot be reached")]
    Unreachable(#[source] Option<HubError>),
    /// Nothing else helps either (a full disk).
    #[error("{0}")]
    Here(HubError),
    /// A person stopped it.
    #[error("cancelled")]
    Cancelled,
}

/// The hub as the environment describes it, and the file there.
pub struct Source {
    hub: Hub,
    file: HubFile,
}

impl Source {
    /// Makes no call. `None` when the environment describes no hub, or `HF_HUB_OFFLINE` is set.
    pub fn new(model: &KnownModel) -> Option<Self> {
        let environment = Environment::process();
        if environment.get("HF_HUB_OFFLINE").is_some_and(|offline| offline != "0") {
            return None;
        }
        let hub = Hub::open(&environment).ok()?.with_pause(PAUSE);
        let file = HubFile {
            repo: model.hub.repository.to_owned(),
            revision: "main".to_owned(),
            file: model.hub.file.to_owned(),
        };
        Some(Self { hub, file })
    }

    /// The file in the cache of the hub's own tools.
    pub fn cached(&self) -> Option<PathBuf> {
        self.hub.cached(&self.file)
    }

    /// Fetches the file to its place.
    ///
    /// # Errors
    /// See [`HubFailure`]. What has arrived is used the next time.
    pub fn fetch(
        &self,
        digest: Digest,
        to: &Path,
        view: &View<'_>,
        cancelled: &Cancelled,
    ) -> Result<(), HubFailure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| HubFailure::Here(HubError::Io { path: to.to_owned(), source }))?;
        let answered = AtomicBool::new(false);
        let mut progress = |progress: loadline_model::hub::Progress| {
            answered.store(true, Ordering::Relaxed);
            view.at(progress.done);
        };
        let result = runtime.block_on(async {
            tokio::select! {
                fetched = self.hub.fetch(&self.file, to, Some(&digest), &mut progress) => match fetched {
                    Ok(_) => Ok(()),
                    Err(error @ (HubError::Io { .. } | HubError::Busy(_))) => Err(HubFailure::Here(error)),
                    Err(error) => Err(HubFailure::Unreachable(Some(error))),
                },
                () = cancelled.wait() => Err(HubFailure::Cancelled),
                () = silence(&answered) => Err(HubFailure::Unreachable(None)),
            }
        });
        // A name that is still being looked up must not hold the command up.
        runtime.shutdown_background();
        result
    }
}

/// Ends when the hub has said nothing for too long.
async fn silence(answered: &AtomicBool) {
    tokio::time::sleep(PATIENCE).await;
    if answered.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}
