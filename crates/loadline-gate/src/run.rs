//! All of a gate together: what is durable, the authority's word, both doors, and a good end.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use loadline_core::{Digest, Instant};
use loadline_evidence::disk::{Disk, RealDisk};
use loadline_policy::Problems;
use loadline_trust::RootChain;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::{Admin, OperatorKey, Reload};
use crate::audit::{AuditLog, AuditOpenError, AuditOptions, Random, Witnesses};
use crate::caller::Caller;
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config, Loaded};
use crate::control;
use crate::disk;
use crate::gate::{Foundations, Gate};
use crate::keys::KeyFile;
use crate::ledger::{Audit as _, Event};
use crate::post::Post;
use crate::quota::QuotaLedger;
use crate::report::{Log, Observers};
use crate::serve;
use crate::standing::{self, StandingKeeper, StandingProblem};
use crate::stops::FileStops;
use crate::trace::Exporter;
use crate::upstream::Dial;
use crate::watch::{Tell, Watcher};

/// The largest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// What comes from outside of the library.
#[derive(Clone)]
pub struct Outside {
    /// The value of an environment variable.
    pub environment: Arc<config::Environment>,
    /// Fills a buffer with random bytes.
    pub random: Random,
    /// Connections to upstreams and to the authority.
    pub dial: Arc<dyn Dial>,
    /// Models of this process.
    pub open: Arc<config::OpenResident>,
    /// Requests to witnesses and to a collector of traces.
    pub post: Arc<dyn Post>,
    /// Takes requests that have ended, for a log.
    pub log: Option<Log>,
    /// Takes what the operator should know.
    pub notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

/// What the operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A newer standing is in force.
    Renewed(u64),
    /// No newer standing is to be had: why, and what to do.
    NoStanding(String, String),
    /// The configuration was read again.
    Reloaded(String),
    /// The configuration was read again, and the gate goes on as before.
    NotReloaded(String),
    /// An upstream, or the authority, cannot be reached: why, and what to do. Said once until it can.
    Unreachable(String, String),
    /// Nothing is wrong, and yet the operator should know.
    Warning(String),
    /// Witnesses, or a collector of traces, are not as they should be; or something else is.
    Trouble(String),
}

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration, or a file that it names.
    #[error("{0}")]
    Config(#[from] Problems),
    /// What is durable.
    #[error(transparent)]
    Ledger(#[from] AuditOpenError),
    /// What is kept of the authority's word.
    #[error(transparent)]
    Standing(#[from] StandingProblem),
    /// The operator's door has no key.
    #[error("the environment variable {0} is not set or blank, and `admin.key_env` names it")]
    AdminKey(String),
    /// A file, a folder or an address.
    #[error("{what}: {error}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        error: io::Error,
    },
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Config(_) => "`docs/formats/gate-config.md` says what each key means".to_owned(),
            Self::Ledger(error) => error.hint(),
            Self::Standing(problem) => problem.hint().to_owned(),
            Self::AdminKey(_) => "set it to a long random text, or leave out `[admin]`".to_owned(),
            Self::Io { .. } => {
                "check the path, who may write there, and that no other program has the address".to_owned()
            }
        }
    }
}

/// A gate that is ready to serve.
pub struct Running {
    /// The gate.
    pub gate: Arc<Gate>,
    path: PathBuf,
    config: Config,
    chain: Arc<Mutex<RootChain>>,
    audit: Arc<AuditLog>,
    stops: Arc<FileStops>,
    keeper: StandingKeeper,
    outside: Outside,
    public: std::net::TcpListener,
    admin: Option<(std::net::TcpListener, OperatorKey)>,
    watcher: Option<Arc<Watcher>>,
}

fn now_ms() -> u64 {
    SystemClock::start().now().wall_ms
}

fn now() -> Instant {
    SystemClock::start().now().wall()
}

/// Reads a configuration, and no other file.
///
/// # Errors
/// When it cannot be read; everything that is wrong in it.
pub fn read(path: &Path) -> Result<Config, StartError> {
    let wrong =
        |error: io::Error| StartError::Io { what: format!("cannot read `{}`", path.display()), error };
    let bytes = disk::read(path, MAX_CONFIG_BYTES).map_err(wrong)?;
    let bytes = bytes.ok_or_else(|| wrong(io::Error::from(io::ErrorKind::NotFound)))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(io::Error::other(error.utf8_error())))?;
    Ok(config::parse(&text, path.parent().unwrap_or(Path::new("")))?)
}

/// Reads and checks a configuration and every file that it names.
///
/// # Errors
/// Everything that is wrong.
pub fn check(path: &Path, outside: &Outside) -> Result<(Config, Loaded), StartError> {
    let (config, loaded) = check_but_figures(path, outside)?;
    match loaded.unfit.is_empty() {
        true => Ok((config, loaded)),
        false => Err(StartError::Config(Problems(loaded.unfit))),
    }
}

/// The same, whatever is wrong with figures of watches: a watch must not keep a running gate from taking what revokes.
fn check_but_figures(path: &Path, outside: &Outside) -> Result<(Config, Loaded), StartError> {
    let config = read(path)?;
    let keys = config.keys.path.clone();
    let read_keys = move |bytes: &[u8]| read_keys(bytes, &keys);
    let loaded = config::load(&config, &read_keys, &*outside.environment, &*outside.open, now())?;
    loaded.warnings.iter().cloned().for_each(|warning| (outside.notice)(Notice::Warning(warning)));
    if let Some(witnesses) = &config.witnesses {
        config::witness_policy(witnesses)?;
    }
    Ok((config, loaded))
}

/// The callers of a file of keys.
fn read_keys(bytes: &[u8], path: &Path) -> Result<Vec<(Digest, Caller)>, String> {
    let file = KeyFile::parse(bytes, path).map_err(|error| error.to_string())?;
    let caller = |key: &crate::keys::Key| Caller {
        stages: key.stages.clone(),
        models: key.models.clone(),
        not_before: key.created,
        expires: key.expires,
        revoked: key.revoked.is_some(),
        quota: key.quota.as_str().into(),
        limits: key.limits,
        ..Caller::new(&key.id, &key.subject, &key.role)
    };
    Ok(file.keys().iter().map(|key| (key.hash, caller(key))).collect())
}

impl Running {
    /// Opens everything, in the order that matters: what is stopped and what was written before, then the authority's
    /// word, and only then a listener. Blocks.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub fn open(path: &Path, outside: Outside) -> Result<Self, StartError> {
        let (config, loaded) = check(path, &outside)?;
        let io = |what: &str, path: &Path| {
            let what = format!("{what} `{}`", path.display());
            move |error| StartError::Io { what, error }
        };
        std::fs::create_dir_all(&config.state).map_err(io("cannot make the folder", &config.state))?;
        let os: Arc<dyn Disk> = Arc::new(RealDisk);
        let root = Arc::new(loaded.chain.current().clone());
        let stops = Arc::new(FileStops::open(Arc::clone(&os), &config.state, &config.name, root)?);
        let mut options =
            AuditOptions::new(&config.audit, &config.name, Arc::new(now_ms), Arc::clone(&outside.random));
        options.witnesses = witnesses(&config, &outside)?;
        let (audit, _) = AuditLog::open(os, options)?;
        let audit = Arc::new(audit);
        know(&audit, &loaded)?;
        let keeper = StandingKeeper::open(&config.state)?;
        let mut nonce = [0; 8];
        (outside.random)(&mut nonce)
            .map_err(|error| StartError::Io { what: "no random bytes".to_owned(), error })?;
        let base = Foundations {
            quota: Arc::new(QuotaLedger::from_book(&audit.book())),
            audit: Arc::clone(&audit) as _,
            stops: Arc::clone(&stops) as _,
            clock: Arc::new(SystemClock::start()),
            dial: Arc::clone(&outside.dial),
            nonce,
        };
        let gate = Gate::new(&loaded, config.limits.clone(), base);
        gate.observe(observers(&config, &outside, &gate)?);
        let admin = match &config.admin {
            None => None,
            Some(admin) => {
                let key = (outside.environment)(&admin.key_env).and_then(|key| OperatorKey::of(&key));
                let key = key.ok_or_else(|| StartError::AdminKey(admin.key_env.clone()))?;
                Some((bind(admin.listen)?, key))
            }
        };
        let cannot_watch = || io("cannot watch with what is kept in", &config.state);
        let is_watched =
            !loaded.watches.is_empty() || Watcher::is_needed(&config.state).map_err(cannot_watch())?;
        let watcher = match is_watched {
            false => None,
            true => {
                let notice = Arc::clone(&outside.notice);
                let tell: Tell = Arc::new(move |what| notice(Notice::Trouble(what)));
                let opened = Watcher::open(loaded.watches.clone(), &config.state, &outside.random, tell);
                Some(opened.map_err(cannot_watch())?)
            }
        };
        let chain = Arc::new(Mutex::new(loaded.chain));
        let (public, path) = (bind(config.listen)?, path.to_owned());
        Ok(Self { gate, path, config, chain, audit, stops, keeper, outside, public, admin, watcher })
    }

    /// Where callers connect, and where the operator does.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn addresses(&self) -> io::Result<(SocketAddr, Option<SocketAddr>)> {
        let admin = self.admin.as_ref().map(|(listener, _)| listener.local_addr()).transpose()?;
        Ok((self.public.local_addr()?, admin))
    }

    /// Whether callers are spoken to by TLS.
    pub fn speaks_tls(&self) -> bool {
        self.config.tls.is_some()
    }

    /// Serves until `ending` says so. Every message of `reload` reads the configuration again.
    ///
    /// # Errors
    /// When a listener fails at the start.
    pub async fn serve(
        self,
        ending: watch::Receiver<bool>,
        mut reload: watch::Receiver<u64>,
    ) -> io::Result<()> {
        if let Some(fresh) = self.keeper.kept(&self.chain(), self.gate.now()) {
            self.gate.renew(fresh).await;
        }
        // A log that cannot be written says so in `ready`.
        let _ = self.audit.event(Event::Started(self.config.digest)).await;
        let Self { gate, path, config, chain, stops, keeper, outside, public, admin, audit, watcher } = self;
        let again: Reload = {
            let (gate, chain, stops, outside) = (gate.clone(), chain.clone(), stops.clone(), outside.clone());
            let (running, audit) = (config.clone(), audit.clone());
            Arc::new(move || {
                let (gate, chain, stops, outside) =
                    (gate.clone(), chain.clone(), stops.clone(), outside.clone());
                let (path, running, audit) = (path.clone(), running.clone(), audit.clone());
                Box::pin(
                    async move { reloaded(&gate, &chain, &stops, &audit, &outside, &path, &running).await },
                )
            })
        };
        let watching = match watcher {
            None => None,
            Some(watcher) => {
                gate.watch(Arc::clone(&watcher)).await;
                Some(tokio::spawn(watcher.work(gate.clone())))
            }
        };
        let public = TcpListener::from_std(public)?;
        let mut control = {
            let gate = gate.clone();
            control::start(move || async move {
                let mut tasks = tokio::task::JoinSet::new();
                let open = watch::channel(false);
                if let Some((listener, key)) = admin {
                    let listener = TcpListener::from_std(listener)?;
                    // It stays until this thread is told to end, which is when the last request has: who asks meanwhile is
                    // told, and an order to stop is followed.
                    tasks.spawn(Admin::new(gate.clone(), key, again.clone()).serve(listener, open.1));
                }
                tasks.spawn(keep_fresh(gate, keeper, chain, config, outside.clone()));
                let reloading = async {
                    while reload.changed().await.is_ok() {
                        (outside.notice)(match again().await {
                            Ok(done) => Notice::Reloaded(done),
                            Err(why) => Notice::NotReloaded(why),
                        });
                    }
                    // Nobody can ask for a reload any more; the rest goes on.
                    std::future::pending().await
                };
                let ended = async {
                    while let Some(ended) = tasks.join_next().await {
                        ended.map_err(io::Error::other)?;
                    }
                    Ok(())
                };
                tokio::select! {
                    never = reloading => never,
                    ended = ended => ended,
                }
            })?
        };
        tokio::select! {
            () = serve::serve(gate, public, ending) => {}
            // Without its operator and without the authority's word, a gate must not go on.
            failed = control.failed() => return Err(failed),
        }
        control.end().await;
        if let Some(watching) = watching {
            watching.abort();
        }
        let _ = audit.event(Event::Ended).await;
        Ok(())
    }

    fn chain(&self) -> RootChain {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn bind(address: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    let bound = serve::bind(address);
    bound.map_err(|error| StartError::Io { what: format!("cannot listen on {address}"), error })
}

/// Makes the keys of every subject now, so that no request waits for that.
fn know(audit: &AuditLog, loaded: &Loaded) -> Result<(), AuditOpenError> {
    let subjects = loaded.subjects();
    audit.know(subjects.iter().map(|subject| &**subject)).map_err(AuditOpenError::Log)
}

/// Who cosigns the audit log: the policy that the configuration names.
fn witnesses(config: &Config, outside: &Outside) -> Result<Option<Witnesses>, StartError> {
    let Some(witnesses) = &config.witnesses else { return Ok(None) };
    let notice = Arc::clone(&outside.notice);
    Ok(Some(Witnesses {
        policy: config::witness_policy(witnesses)?,
        post: Arc::clone(&outside.post),
        every: witnesses.every,
        notice: Arc::new(move |what| notice(Notice::Trouble(what))),
    }))
}

fn observers(config: &Config, outside: &Outside, gate: &Gate) -> Result<Observers, StartError> {
    let (lost, notice) = (gate.metrics.traces_lost.clone(), Arc::clone(&outside.notice));
    let notice = Arc::new(move |what| notice(Notice::Trouble(what)));
    let traces = config.traces.as_ref().map(|traces| {
        Exporter::start(traces, &config.name, Arc::clone(&outside.post), lost, notice)
            .map_err(|error| StartError::Io { what: "no thread for traces".to_owned(), error })
    });
    Ok(Observers { traces: traces.transpose()?, log: outside.log.clone() })
}

/// Looks for a newer standing, again and again. What fails is said once until it works again.
async fn keep_fresh(
    gate: Arc<Gate>,
    mut keeper: StandingKeeper,
    chain: Arc<Mutex<RootChain>>,
    config: Config,
    outside: Outside,
) {
    let mut every = tokio::time::interval(config.authority.every);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let chain = chain.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match standing::renew(&gate, &mut keeper, &chain, &config.authority.standing).await {
            Ok(is_newer) => {
                if let Some(seen) = keeper.seen().filter(|_| is_newer && keeper.is_news()) {
                    (outside.notice)(Notice::Renewed(seen.epoch));
                }
            }
            Err(standing::NotRenewed { problem, is_new: true }) => {
                (outside.notice)(Notice::NoStanding(problem.to_string(), problem.hint().to_owned()));
            }
            Err(_) => {}
        }
    }
}

/// Reads the configuration again, and goes by it when all of it is good.
async fn reloaded(
    gate: &Gate,
    chain: &Mutex<RootChain>,
    stops: &FileStops,
    audit: &Arc<AuditLog>,
    outside: &Outside,
    path: &Path,
    running: &Config,
) -> Result<String, String> {
    // A model that is loaded takes its time.
    let (path, outside) = (path.to_owned(), outside.clone());
    let checked = tokio::task::spawn_blocking(move || check_but_figures(&path, &outside)).await;
    let (config, loaded) = checked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    let log = Arc::clone(audit);
    let subjects = loaded.subjects();
    let known =
        tokio::task::spawn_blocking(move || log.know(subjects.iter().map(|subject| &**subject))).await;
    known.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    stops.set_root(Arc::new(loaded.chain.current().clone()));
    *chain.lock().unwrap_or_else(PoisonError::into_inner) = loaded.chain.clone();
    let cut = gate.reload(&loaded).await;
    let mut done = format!("{} models, {} keys", config.models.len(), gate.snapshot().callers.len());
    if cut.told > 0 {
        done.push_str(&format!(", {} requests cut", cut.told));
    }
    let same = |config: &Config| {
        let Config { name, listen, state, admin, limits, audit, authority, witnesses, traces, tls, .. } =
            config.clone();
        let observed = (witnesses, traces, tls.is_some());
        (name, listen, state, admin, limits, audit, authority.standing, authority.every, observed)
    };
    for problem in &loaded.unfit {
        done.push_str(&format!("; a watch does not fit, and rests: {problem}"));
    }
    let watched = gate.watcher().map_or(loaded.watches.is_empty(), |watcher| watcher.has(&loaded.watches));
    if same(&config) != same(running) || !watched {
        done.push_str(
            "; name, addresses, folders, limits, witnesses, traces, watches, the standing's source and whether TLS is spoken \
             change at the next start only",
        );
    }
    Ok(done)
}
