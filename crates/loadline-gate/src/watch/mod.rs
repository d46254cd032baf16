//! Watching: a share of the traffic scored off its way, questions asked besides, and an alarm when either is worse than
//! what the licence rests on, or than the operator's own figure.
//!
//! Read in this order: this file (what is watched, and what is kept of it) → `figure` (below what there is an alarm) →
//! `tap` (a share of the traffic) → `probe` (questions) → [`door`] (what the operator sees).

pub mod door;
mod figure;
mod probe;
mod state;
mod tap;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadline_core::Digest;
use loadline_policy::Named as _;
use loadline_stats::drift::DriftAlarm;
use loadline_suites::{Form, Seed, Selection};
use tokio::sync::mpsc;

use crate::audit::Random;
use crate::config::{FigureConfig, OnAlarm, WatchConfig, WatchedConfig};
use crate::disk;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::ledger::{Event, RequestId};

pub use figure::{Figure, LicensedTest, Source};
pub use state::STATE_FORMAT;
pub(crate) use tap::Tap;

use state::{KeptTrack, Track, Tracks, wrong};

/// So many questions in a row without an answer are told.
const SILENT: u64 = 10;
/// Answers that wait to be scored; more are dropped, and counted.
const WAITING: usize = 256;
/// Most tokens of an answer to a question whose watch has a figure of the operator's own and says nothing else.
const MAX_TOKENS: u64 = 512;

/// Who asks the questions of probes: key and subject of their rows, and their account. No key of the gate's has this name.
pub const ASKER: &str = "loadline-watch";

/// Where scores come from.
#[derive(Clone)]
pub enum What {
    /// A share of the traffic, scored by a guard.
    Live {
        /// The guard: right where it does not match.
        guard: Arc<Guard>,
        /// The share.
        share: f64,
    },
    /// Questions of a suite from a secret seed.
    Probe {
        /// The suite and its levels.
        selection: Selection,
        /// Which of its scores counts: right where it is 1.
        metric: String,
        /// How often.
        every: Duration,
        /// Most tokens of an answer; what the suite gives each question without it.
        max_tokens: Option<u64>,
    },
}

/// A watch.
#[derive(Clone)]
pub struct Watch {
    /// Its name.
    pub name: Arc<str>,
    /// The models that it looks at.
    pub models: Vec<Arc<str>>,
    /// Where scores come from.
    pub what: What,
    /// Below what there is an alarm.
    pub figure: Figure,
    /// The chance of a false alarm.
    pub alpha: f64,
    /// What happens when there is one.
    pub on_alarm: OnAlarm,
    /// Names what is measured against what: figures belong to it.
    pub digest: Digest,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({})", self.name)
    }
}

impl Watch {
    /// A watch of a configuration that was checked, with the test that a licensed figure is of. None when its guard did
    /// not load, which is said elsewhere.
    pub(crate) fn of(
        config: &WatchConfig,
        licensed: Option<LicensedTest>,
        guards: &[Arc<Guard>],
    ) -> Option<Self> {
        let number = |text: &str| text.parse::<f64>().ok();
        let (what, scorer) = match &config.what {
            WatchedConfig::Live { guard, share } => {
                let guard = guards.iter().find(|known| *known.name == **guard)?;
                let what = What::Live { guard: Arc::clone(guard), share: number(share)? };
                (what, format!("guard {}", guard.digest))
            }
            WatchedConfig::Probe { suite, level, every, max_tokens, .. } => {
                let (selection, metric, max_tokens) = match &licensed {
                    Some(test) => (test.selection.clone(), test.metric.clone(), None),
                    None => {
                        let levels = vec![level.unwrap_or(1)];
                        let own = Selection::new(loadline_suites::find(suite)?, Form::Generate, levels);
                        let metric = Form::Generate.metric().to_owned();
                        (own.ok()?, metric, Some(max_tokens.unwrap_or(MAX_TOKENS)))
                    }
                };
                let scorer = scorer(&selection, max_tokens);
                (What::Probe { selection, metric, every: *every, max_tokens }, scorer)
            }
        };
        let (least, source) = match (&config.figure, licensed) {
            (_, Some(test)) => (test.bound.to_string(), Source::Licensed(Box::new(test))),
            (FigureConfig::Own { least, source }, None) => (least.clone(), Source::Operator(source.clone())),
            (FigureConfig::Licensed(_), None) => return None,
        };
        let mut parts = vec![scorer.as_bytes(), least.as_bytes(), config.alpha.as_bytes()];
        if let Source::Licensed(test) = &source {
            // Figures belong to the decision: one that is made anew begins anew.
            parts.extend([&test.decision.0[..], test.id.as_bytes()]);
        }
        let digest = Digest::of_parts(STATE_FORMAT, &parts);
        Some(Self {
            name: config.name.as_str().into(),
            models: config.models.iter().map(|name| name.as_str().into()).collect(),
            what,
            figure: Figure { least: number(&least)?, source },
            alpha: number(&config.alpha)?,
            on_alarm: config.on_alarm,
            digest,
        })
    }

    /// Whether its figure is of another licence than the one that a model is served under now.
    fn rests(&self, gate: &Gate, model: &str) -> bool {
        let Some(test) = self.figure.source.licensed() else { return false };
        gate.snapshot().models.get(model).is_some_and(|served| served.license.decision != test.decision)
    }

    /// Whether another one watches the same in the same way, and says the same of it.
    fn is_as(&self, other: &Self) -> bool {
        let often = |what: &What| match what {
            What::Live { share, .. } => (Some(*share), None),
            What::Probe { every, .. } => (None, Some(*every)),
        };
        let said = |watch: &Self| watch.figure.source.to_string();
        (&self.name, &self.models, self.digest, self.on_alarm)
            == (&other.name, &other.models, other.digest, other.on_alarm)
            && often(&self.what) == often(&other.what)
            && said(self) == said(other)
    }
}

/// Names what is asked and how it is scored.
fn scorer(selection: &Selection, max_tokens: Option<u64>) -> String {
    let suite = selection.suite();
    let max_tokens = max_tokens.map_or_else(|| "own".to_owned(), |most| most.to_string());
    format!("suite {} {} {} {max_tokens}", suite.name(), suite.version(), levels(selection))
}

/// `1`, or `1, 3`.
fn levels(selection: &Selection) -> String {
    let levels: Vec<_> = selection.levels().iter().map(ToString::to_string).collect();
    levels.join(", ")
}

/// What the operator is told when an alarm is raised.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// Everything that is watched.
pub struct Watcher {
    watches: Vec<Arc<Watch>>,
    path: PathBuf,
    seed: Seed,
    /// Which requests are looked at follows from this and nothing that a caller has.
    key: [u8; 32],
    tracks: Mutex<Tracks>,
    /// What is kept of watches that the configuration does not have.
    gone: Mutex<Vec<KeptTrack>>,
    /// Held while what is kept is replaced, so that an older state never replaces a newer one.
    keeping: tokio::sync::Mutex<()>,
    samples: mpsc::Sender<Box<Tap>>,
    waiting: Mutex<Option<mpsc::Receiver<Box<Tap>>>>,
    dropped: AtomicU64,
    tell: Tell,
}

impl Watcher {
    /// Takes up what is kept in `folder`. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn open(
        watches: Vec<Arc<Watch>>,
        folder: &Path,
        random: &Random,
        tell: Tell,
    ) -> io::Result<Arc<Self>> {
        let path = folder.join("watch.json");
        let kept = state::read(folder)?;
        let tracks = state::tracks_of(&kept, &watches, &path)?;
        let gone = state::gone(kept, &tracks);
        let seed_path = folder.join("watch.seed");
        let seed = match disk::read(&seed_path, 64)? {
            Some(bytes) => bytes.try_into().map_err(|_| wrong(&seed_path, "it has not 32 bytes"))?,
            None => {
                let mut seed = [0; 32];
                random(&mut seed)?;
                disk::replace_private(&seed_path, &seed)?;
                seed
            }
        };
        let mut key = [0; 32];
        random(&mut key)?;
        let (samples, waiting) = mpsc::channel(WAITING);
        Ok(Arc::new(Self {
            watches,
            path,
            seed: Seed::from_bytes(seed),
            key,
            tracks: Mutex::new(tracks),
            gone: Mutex::new(gone),
            keeping: tokio::sync::Mutex::default(),
            samples,
            waiting: Mutex::new(Some(waiting)),
            dropped: AtomicU64::new(0),
            tell,
        }))
    }

    /// Whether a folder keeps something that counts without a watch: a model that is suspended.
    ///
    /// # Errors
    /// When it cannot be read, or is damaged.
    pub fn is_needed(folder: &Path) -> io::Result<bool> {
        Ok(state::read(folder)?.iter().any(|track| track.suspended))
    }

    fn tracks(&self) -> MutexGuard<'_, Tracks> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never taken before [`Self::tracks`].
    fn gone(&self) -> MutexGuard<'_, Vec<KeptTrack>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these are the watches that it has.
    pub fn has(&self, watches: &[Arc<Watch>]) -> bool {
        self.watches.len() == watches.len()
            && self.watches.iter().zip(watches).all(|(mine, other)| mine.is_as(other))
    }

    /// The models that are suspended here.
    pub fn suspended(&self) -> BTreeSet<Arc<str>> {
        let tracks = self.tracks();
        let here =
            tracks.iter().filter(|(_, track)| track.suspended).map(|((_, model), _)| Arc::clone(model));
        let gone = self.gone();
        here.chain(gone.iter().filter(|track| track.suspended).map(|track| track.model.as_str().into()))
            .collect()
    }

    /// How many alarms are raised.
    pub fn alarms(&self) -> u64 {
        self.tracks().values().filter(|track| track.alarm.raised_at().is_some()).count() as u64
    }

    /// How many answers were to be scored and were not: too many waited, or their model was forbidden meanwhile.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Scores what comes, and asks, until it is dropped.
    pub async fn work(self: Arc<Self>, gate: Arc<Gate>) {
        let mut tasks = tokio::task::JoinSet::new();
        for watch in &self.watches {
            let What::Probe { every, .. } = watch.what else { continue };
            for model in &watch.models {
                let (watcher, gate) = (Arc::clone(&self), Arc::clone(&gate));
                let (watch, model) = (Arc::clone(watch), Arc::clone(model));
                tasks.spawn(async move {
                    let mut tick = tokio::time::interval(every);
                    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                    loop {
                        tick.tick().await;
                        watcher.probe(&gate, &watch, &model).await;
                    }
                });
            }
        }
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        while let Some(tap) = waiting.recv().await {
            self.score(&gate, *tap).await;
        }
    }

    /// Takes a score in: it is on the disk when this returns, and so is what follows from it.
    async fn record(
        &self,
        gate: &Gate,
        watch: &Watch,
        model: &Arc<str>,
        request: RequestId,
        right: Option<bool>,
    ) {
        let name = (Arc::clone(&watch.name), Arc::clone(model));
        let mut is_silent = false;
        let raised = {
            let mut tracks = self.tracks();
            let Some(track) = tracks.get_mut(&name) else { return };
            match right {
                None => {
                    track.unscored += 1;
                    track.silent += 1;
                    is_silent = track.silent == SILENT;
                    None
                }
                Some(right) => {
                    track.silent = 0;
                    track.scored += 1;
                    track.right += u64::from(right);
                    let was_raised = track.alarm.raised_at().is_some();
                    // 0 and 1 are scores.
                    let is_raised = track.alarm.push(f64::from(u8::from(right))).unwrap_or(was_raised);
                    track.suspended |= is_raised && !was_raised && watch.on_alarm == OnAlarm::Suspend;
                    (is_raised && !was_raised).then_some((track.scored, track.suspended))
                }
            }
        };
        let kept = self.keep().await;
        let event =
            Event::Watched { watch: Arc::clone(&watch.name), model: Arc::clone(model), request, right };
        // The row is handed over at once; nobody waits until it is on the disk.
        drop(gate.base.audit.event(event));
        if let Some((scored, suspended)) = raised {
            if suspended {
                gate.suspend(|| self.suspended()).await;
            }
            let (watch_name, Figure { least, source }) = (&watch.name, &watch.figure);
            let event =
                Event::Drift { watch: Arc::clone(watch_name), model: Arc::clone(model), scored, suspended };
            drop(gate.base.audit.event(event));
            let then = if suspended { "; this gate serves it no more until you clear the alarm" } else { "" };
            (self.tell)(format!(
                "`{model}` has drifted: watch `{watch_name}` finds it below {least} ({source}) after {scored} scores{then}"
            ));
        }
        if is_silent {
            (self.tell)(format!(
                "watch `{}` got no answer from `{model}` {SILENT} times in a row: without answers there is no alarm either",
                watch.name
            ));
        }
        if let Err(error) = kept {
            (self.tell)(format!("what is watched cannot be kept: {error}"));
        }
    }

    /// Puts what is known on the disk.
    async fn keep(&self) -> io::Result<()> {
        let _keeping = self.keeping.lock().await;
        let kept = {
            let tracks = self.tracks();
            state::kept(&tracks, &self.gone())
        };
        let bytes = serde_json::to_vec_pretty(&kept).map_err(io::Error::other)?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || disk::replace(&path, &bytes)).await;
        written.map_err(io::Error::other)?
    }

    /// Ends an alarm and what it suspended; the watch begins anew. False when there is no such watch of this model.
    ///
    /// # Errors
    /// When that cannot be kept: the model stays suspended.
    pub async fn clear(&self, gate: &Gate, watch: &str, model: &str) -> io::Result<bool> {
        let name = (Arc::from(watch), Arc::from(model));
        let before = self.tracks().get_mut(&name).map(|track| {
            let before = track.clone();
            if let Ok(alarm) = DriftAlarm::new(track.alarm.least(), track.alarm.alpha()) {
                *track =
                    Track { alarm, right: 0, scored: 0, unscored: 0, suspended: false, ..before.clone() };
            }
            before
        });
        let Some(before) = before else { return self.clear_gone(gate, name).await };
        if let Err(error) = self.keep().await {
            self.tracks().insert(name, before);
            return Err(error);
        }
        self.cleared(gate, name).await;
        Ok(true)
    }

    /// The same for a watch that the configuration does not have any more.
    async fn clear_gone(&self, gate: &Gate, name: (Arc<str>, Arc<str>)) -> io::Result<bool> {
        let set = |to: bool| {
            let mut gone = self.gone();
            let track = gone.iter_mut().find(|track| *track.watch == *name.0 && *track.model == *name.1);
            track.is_some_and(|track| std::mem::replace(&mut track.suspended, to))
        };
        if !set(false) {
            return Ok(false);
        }
        if let Err(error) = self.keep().await {
            set(true);
            return Err(error);
        }
        self.cleared(gate, name).await;
        Ok(true)
    }

    async fn cleared(&self, gate: &Gate, (watch, model): (Arc<str>, Arc<str>)) {
        gate.suspend(|| self.suspended()).await;
        drop(gate.base.audit.event(Event::DriftCleared { watch, model }));
    }
}

/// The words of a watch for its kind, in answers and tables.
pub fn kind(what: &What) -> String {
    match what {
        What::Live { guard, .. } => format!("guard {}, {}", guard.name, guard.side.name()),
        What::Probe { selection, .. } => {
            let word = if selection.levels().len() == 1 { "level" } else { "levels" };
            format!("suite {}, {word} {}", selection.suite().name(), levels(selection))
        }
    }
}
