//! Watching: a share of the traffic scored off its way, questions asked besides, and an alarm when either is worse than
//! what the licence rests on, or than the operator's own figure.
//!
//! Read in this order: this file (what is watched, and what is kept of it) → `figure` (below what there is an alarm) →
//! `tap` (a share of the traffic) → `probe` (questions) → [`door`] (what the operator sees).

pub mod door;
mod figure;
mod probe;
mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loadline_core::Digest;
use loadline_policy::Named as _;
use loadline_stats::drift::{BETS, DriftAlarm};
use loadline_suites::{Form, Seed, Selection};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::audit::Random;
use crate::config::{FigureConfig, OnAlarm, WatchConfig, WatchedConfig};
use crate::disk;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::ledger::{Event, RequestId};

pub use figure::{Figure, LicensedTest, Source};
pub(crate) use tap::Tap;

/// `format` of what is kept.
pub const STATE_FORMAT: &str = "loadline-watch/1";
/// The largest state that is read.
const MAX_STATE_BYTES: usize = 16 << 20;
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

/// What is known of one watch and one model.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    digest: Digest,
    alarm: DriftAlarm,
    right: u64,
    scored: u64,
    /// Answers that could not be scored.
    unscored: u64,
    /// Questions that were asked: none comes again.
    asked: u64,
    suspended: bool,
}

/// The same, as it is kept. The e-process is kept bit by bit.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptTrack {
    watch: String,
    model: String,
    digest: Digest,
    right: u64,
    scored: u64,
    unscored: u64,
    asked: u64,
    alarm_n: u64,
    alarm_worth: [String; BETS],
    alarm_raised_at: Option<u64>,
    suspended: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: String,
    tracks: Vec<KeptTrack>,
}

type Tracks = BTreeMap<(Arc<str>, Arc<str>), Track>;

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
    /// Held while what is kept is replaced, so that an older state never replaces a newer one.
    keeping: tokio::sync::Mutex<()>,
    samples: mpsc::Sender<Box<Tap>>,
    waiting: Mutex<Option<mpsc::Receiver<Box<Tap>>>>,
    dropped: AtomicU64,
    tell: Tell,
}

fn wrong(path: &Path, why: impl std::fmt::Display) -> io::Error {
    let shown = path.display();
    io::Error::other(format!("`{shown}` is damaged: {why}; it says which models are suspended here"))
}

fn tracks_of(kept: &[KeptTrack], watches: &[Arc<Watch>], path: &Path) -> io::Result<Tracks> {
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
        let kept = match disk::read(&path, MAX_STATE_BYTES)? {
            Some(bytes) => {
                let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| wrong(&path, error))?;
                if kept.format != STATE_FORMAT {
                    return Err(wrong(&path, format!("its format is not `{STATE_FORMAT}`")));
                }
                kept.tracks
            }
            None => Vec::new(),
        };
        let tracks = tracks_of(&kept, &watches, &path)?;
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
            keeping: tokio::sync::Mutex::default(),
            samples,
            waiting: Mutex::new(Some(waiting)),
            dropped: AtomicU64::new(0),
            tell,
        }))
    }

    fn tracks(&self) -> MutexGuard<'_, Tracks> {
        self.tracks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether these are the watches that it has.
    pub fn has(&self, watches: &[Arc<Watch>]) -> bool {
        self.watches.len() == watches.len()
            && self.watches.iter().zip(watches).all(|(mine, other)| mine.is_as(other))
    }

    /// The models that are suspended here.
    pub fn suspended(&self) -> BTreeSet<Arc<str>> {
        let tracks = self.tracks();
        let suspended = tracks.iter().filter(|(_, track)| track.suspended);
        suspended.map(|((_, model), _)| Arc::clone(model)).collect()
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
        let raised = {
            let mut tracks = self.tracks();
            let Some(track) = tracks.get_mut(&name) else { return };
            match right {
                None => {
                    track.unscored += 1;
                    None
                }
                Some(right) => {
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
        if let Err(error) = kept {
            (self.tell)(format!("what is watched cannot be kept: {error}"));
        }
    }

    /// Puts what is known on the disk.
    async fn keep(&self) -> io::Result<()> {
        let _keeping = self.keeping.lock().await;
        let kept = self.kept();
        let bytes = serde_json::to_vec_pretty(&kept).map_err(io::Error::other)?;
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || disk::replace(&path, &bytes)).await;
        written.map_err(io::Error::other)?
    }

    fn kept(&self) -> Kept {
        let tracks = self.tracks();
        let tracks = tracks.iter().map(|((watch, model), track)| KeptTrack {
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
        Kept { format: STATE_FORMAT.to_owned(), tracks: tracks.collect() }
    }

    /// Ends an alarm and what it suspended; the watch begins anew. False when there is no such watch of this model.
    ///
    /// # Errors
    /// When that cannot be kept: the model stays suspended.
    pub async fn clear(&self, gate: &Gate, watch: &str, model: &str) -> io::Result<bool> {
        let name = (Arc::from(watch), Arc::from(model));
        let before = {
            let mut tracks = self.tracks();
            let Some(track) = tracks.get_mut(&name) else { return Ok(false) };
            let before = track.clone();
            if let Ok(alarm) = DriftAlarm::new(track.alarm.least(), track.alarm.alpha()) {
                *track =
                    Track { alarm, right: 0, scored: 0, unscored: 0, suspended: false, ..before.clone() };
            }
            before
        };
        if let Err(error) = self.keep().await {
            self.tracks().insert(name, before);
            return Err(error);
        }
        gate.suspend(|| self.suspended()).await;
        let event = Event::DriftCleared { watch: name.0, model: name.1 };
        drop(gate.base.audit.event(event));
        Ok(true)
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
