//! From a configuration to what the gate goes by: reads the files that it names, and verifies them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use loadline_core::{Digest, Instant, Secret};
use loadline_policy::document::{Place, Problem};
use loadline_policy::license::Statement;
use loadline_policy::{License, Problems};
use loadline_tlog::Policy;
use loadline_tlog::policy::MAX_POLICY_BYTES;
use loadline_trust::chain::MAX_VERSIONS;
use loadline_trust::{Envelope, IN_TOTO_TYPE, Role, RootChain};

use super::{
    Config, FigureConfig, FileRef, GuardConfig, HttpConfig, LimitsConfig, ModelConfig, ResidentConfig,
    UpstreamConfig, WatchConfig, WayConfig, WitnessConfig, guards, licensed,
};
use crate::caller::{Caller, Callers};
use crate::disk;
use crate::door::Door;
use crate::guard::{Guard, Guards, Rule, Settings};
use crate::ledger::Stops;
use crate::snapshot::{Fresh, Licensed, Served, Snapshot};
use crate::upstream::Upstream;
use crate::upstream::resident::{Resident, Subject, Wrong};
use crate::watch::Watch;

/// The largest root or licence that is read, in bytes.
pub(super) const MAX_FILE_BYTES: usize = 4 << 20;
/// The largest file of keys that is read, in bytes.
const MAX_KEYS_BYTES: usize = 64 << 20;
/// The largest file of patterns that is read, in bytes.
const MAX_PATTERNS_BYTES: usize = 1 << 20;

/// Reads the file of the callers' keys: each key's SHA-256 and what it may be used for.
pub type ReadKeys = dyn Fn(&[u8]) -> Result<Vec<(Digest, Caller)>, String> + Send + Sync;
/// The value of an environment variable.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Opens a model of this process, or gives the one that is open.
pub type OpenResident = dyn Fn(&ResidentConfig) -> Result<Arc<Resident>, Wrong> + Send + Sync;

/// What a configuration and its files come to.
#[derive(Debug)]
pub struct Loaded {
    /// The authority's roots.
    pub chain: RootChain,
    /// The guards, in their order.
    pub guards: Vec<Arc<Guard>>,
    /// What is watched.
    pub watches: Vec<Arc<Watch>>,
    /// What is wrong with licensed figures of watches, which are not among [`Self::watches`] then.
    pub unfit: Vec<Problem>,
    /// What the operator should know, though nothing is wrong with it.
    pub warnings: Vec<String>,
    /// The callers' door, where it speaks TLS.
    pub(crate) door: Option<Door>,
    /// Everything that does not change until the next reload.
    snapshot: Snapshot,
}

impl Loaded {
    /// Whose content comes, each once.
    pub fn subjects(&self) -> std::collections::BTreeSet<Arc<str>> {
        self.snapshot.callers.subjects().collect()
    }

    /// A snapshot of it, with what changes more often.
    pub(crate) fn snapshot(
        &self,
        standing: Option<Arc<Fresh>>,
        stops: Arc<Stops>,
        limits: &LimitsConfig,
    ) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        snapshot.standing = standing;
        snapshot.stops = stops;
        snapshot.default_output_tokens = limits.default_output_tokens;
        snapshot
    }
}

/// The models that are served, by public name.
pub(super) type Models = HashMap<Arc<str>, Arc<Served>>;

/// Notes problems at places of the configuration.
#[derive(Default)]
pub(super) struct Noted(Vec<Problem>);

impl Noted {
    pub(super) fn add(&mut self, place: Place, path: &str, message: impl Into<String>, hint: &str) {
        let hint = Some(hint.to_owned()).filter(|hint| !hint.is_empty());
        self.0.push(Problem { place, path: path.to_owned(), message: message.into(), hint });
    }

    pub(super) fn file(&mut self, file: &FileRef, message: impl std::fmt::Display, hint: &str) {
        let message = format!("`{}`: {message}", file.path.display());
        self.add(file.place, &file.key, message, hint);
    }
}

/// Loads everything that a configuration names, and says all at once what is wrong with any of it.
///
/// # Errors
/// Each file that is missing, cannot be read or does not verify, at the place where it is named. Figures of watches alone
/// are no error: they are in [`Loaded::unfit`].
pub fn load(
    config: &Config,
    read_keys: &ReadKeys,
    environment: &Environment,
    open: &OpenResident,
    now: Instant,
) -> Result<Loaded, Problems> {
    let mut noted = Noted::default();
    let chain = chain(config, now).map_err(|problem| noted.0.push(problem)).ok();
    let callers = callers(&config.keys, read_keys, &mut noted);
    let mut warnings = Vec::new();
    let door = config.tls.as_ref().and_then(|tls| {
        let door = Door::open(tls, &mut warnings);
        door.map_err(|(file, wrong)| noted.file(file, wrong.message, &wrong.hint)).ok()
    });
    let upstreams = upstreams(&config.upstreams, environment, open, &mut noted);
    let all_guards = config.guards.iter().filter_map(|guard| made(guard, &upstreams, &mut noted));
    let all_guards: Vec<_> = all_guards.map(Arc::new).collect();
    let mut models = Models::new();
    for model in &config.models {
        // Without roots no licence can be verified, and that is said already.
        let Some(chain) = &chain else { continue };
        if let Some(served) = served(model, chain, &upstreams, &all_guards, &mut noted) {
            models.insert(Arc::clone(&served.name), Arc::new(served));
        }
    }
    let mut unfit = Noted::default();
    let watches = config.watches.iter().filter_map(|watch| watched(watch, &all_guards, &models, &mut unfit));
    let watches: Vec<_> = watches.map(Arc::new).collect();
    if !noted.0.is_empty() {
        noted.0.append(&mut unfit.0);
    }
    noted.0.sort_by_key(|problem| problem.place);
    match chain {
        Some(chain) if noted.0.is_empty() => {
            let snapshot = Snapshot {
                callers: Arc::new(callers),
                models: Arc::new(models),
                roles: Arc::new(config.roles.clone()),
                region: config.region.as_deref().map(Arc::from),
                root_expires: chain.current().expires,
                standing: None,
                stops: Arc::default(),
                suspended: Arc::default(),
                default_output_tokens: config.limits.default_output_tokens,
                config: config.digest,
            };
            Ok(Loaded { chain, guards: all_guards, watches, unfit: unfit.0, warnings, door, snapshot })
        }
        _ => Err(Problems(noted.0)),
    }
}

/// One guard of a configuration by itself, whatever its rates were measured on: for measuring it. None when no guard has
/// the name.
///
/// # Errors
/// What is wrong with it, or with the upstream that it asks.
pub fn guard_alone(
    config: &Config,
    name: &str,
    environment: &Environment,
    open: &OpenResident,
) -> Result<Option<Guard>, Problems> {
    let Some(config_of) = config.guards.iter().find(|guard| guard.name == name) else { return Ok(None) };
    let mut noted = Noted::default();
    let asked = config.upstreams.iter().filter(|upstream| config_of.upstream() == Some(&upstream.name));
    let asked: Vec<_> = asked.cloned().collect();
    let upstreams = upstreams(&asked, environment, open, &mut noted);
    let unmeasured = GuardConfig { measured: None, ..config_of.clone() };
    let guard = made(&unmeasured, &upstreams, &mut noted);
    if noted.0.is_empty() { Ok(guard) } else { Err(Problems(noted.0)) }
}

/// The authority's roots, each checked against the one before, the newest current.
///
/// # Errors
/// What is wrong with them.
pub fn chain(config: &Config, now: Instant) -> Result<RootChain, Problem> {
    let roots = &config.authority.roots;
    let problem = |message: String, hint: &str| {
        let mut noted = Noted::default();
        noted.file(roots, message, hint);
        // Exactly one was added.
        noted.0.remove(0)
    };
    let mut files = Vec::new();
    for version in 1..=MAX_VERSIONS {
        let path = roots.path.join(format!("{version}.json"));
        match disk::read(&path, MAX_FILE_BYTES) {
            Ok(Some(bytes)) => files.push(bytes),
            Ok(None) => break,
            Err(error) => return Err(problem(format!("{version}.json cannot be read: {error}"), "")),
        }
    }
    if files.is_empty() {
        let hint = "name the folder with the roots of the authority, such as `authority/root`";
        return Err(problem("no `1.json` is there".to_owned(), hint));
    }
    let wrong = |error: loadline_trust::ChainError| problem(error.to_string(), error.hint());
    let chain = RootChain::read(files, Some(config.authority.pin)).map_err(wrong)?;
    chain.check_at(now).map_err(wrong)?;
    Ok(chain)
}

/// The policy of the audit log's witnesses, as text.
///
/// # Errors
/// When it cannot be read, is no policy, or names no witness.
pub fn witness_policy(config: &WitnessConfig) -> Result<Vec<u8>, Problems> {
    let mut noted = Noted::default();
    let text = disk::read(&config.policy.path, MAX_POLICY_BYTES);
    let hint = "lines are `witness NAME VKEY URL`, `group NAME all|any|K NAME…`, `quorum NAME`";
    match text.map_err(|error| error.to_string()) {
        Ok(Some(text)) => match Policy::parse(&text) {
            Ok(policy) if policy.witnesses().is_empty() => {
                noted.file(&config.policy, "names no witness", hint)
            }
            Ok(_) => return Ok(text),
            Err(error) => noted.file(&config.policy, error, hint),
        },
        Ok(None) => noted.file(&config.policy, "there is no such file", hint),
        Err(error) => noted.file(&config.policy, error, ""),
    }
    Err(Problems(noted.0))
}

fn callers(file: &FileRef, read_keys: &ReadKeys, noted: &mut Noted) -> Callers {
    let keys = match disk::read(&file.path, MAX_KEYS_BYTES) {
        Ok(Some(bytes)) => read_keys(&bytes),
        Ok(None) => Err("there is no such file".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    match keys {
        Ok(keys) => keys.into_iter().collect(),
        Err(why) => {
            noted.file(file, why, "`loadline gate key new` makes keys");
            Callers::default()
        }
    }
}

fn upstreams(
    configs: &[UpstreamConfig],
    environment: &Environment,
    open: &OpenResident,
    noted: &mut Noted,
) -> HashMap<String, Arc<Upstream>> {
    let mut upstreams = HashMap::new();
    for config in configs {
        let opened = match &config.way {
            WayConfig::Http(http) => server(config, http, environment, noted),
            WayConfig::Resident(resident) => match open(resident) {
                Ok(opened) => Some(Upstream::resident(config, opened, resident.queue)),
                Err(wrong) => {
                    noted.add(resident.place, "upstream.local", wrong.message, &wrong.hint);
                    None
                }
            },
        };
        upstreams.extend(opened.map(|upstream| (config.name.clone(), Arc::new(upstream))));
    }
    upstreams
}

fn server(
    config: &UpstreamConfig,
    http: &HttpConfig,
    environment: &Environment,
    noted: &mut Noted,
) -> Option<Upstream> {
    let mut key = None;
    if let Some(name) = &http.key_env {
        match environment(name).filter(|value| !value.trim().is_empty()) {
            Some(value) => key = Some(Secret::new(value.trim().to_owned())),
            None => {
                let message = format!("the environment variable {name} is not set");
                noted.add(http.place, "upstream.key_env", message, "set it, or leave out `key_env`");
            }
        }
    }
    let opened = Upstream::http(config, http, key);
    opened.map_err(|why| noted.add(http.place, "upstream.url", why, "")).ok()
}

fn served(
    model: &ModelConfig,
    chain: &RootChain,
    upstreams: &HashMap<String, Arc<Upstream>>,
    guards: &[Arc<Guard>],
    noted: &mut Noted,
) -> Option<Served> {
    let license = license(&model.license.path, chain);
    let (license, subject) = license.map_err(|(why, hint)| noted.file(&model.license, why, &hint)).ok()?;
    are_licensed(model, &license, &subject, upstreams, noted);
    Some(Served {
        name: model.name.as_str().into(),
        upstream_model: model.upstream_model.clone(),
        // A name that is not there was refused when the configuration was read.
        upstreams: model.upstreams.iter().filter_map(|name| upstreams.get(name).cloned()).collect(),
        guards: Guards::of(guards, &model.name, license.stage),
        license,
        keep: model.keep,
    })
}

/// A guard, with its file of patterns read. Its rates must be those of what it is now.
fn made(
    config: &GuardConfig,
    upstreams: &HashMap<String, Arc<Upstream>>,
    noted: &mut Noted,
) -> Option<Guard> {
    let rule = match (&config.rule, &config.patterns_file) {
        (Some(rule), _) => rule.clone(),
        (None, Some(file)) => {
            let patterns = match disk::read(&file.path, MAX_PATTERNS_BYTES) {
                Ok(Some(bytes)) => String::from_utf8(bytes)
                    .map_err(|error| error.utf8_error().to_string())
                    .and_then(|text| guards::patterns(&text)),
                Ok(None) => Err("there is no such file".to_owned()),
                Err(error) => Err(error.to_string()),
            };
            let hint = "one regular expression a line; `#` begins a comment";
            Rule::Patterns(patterns.map_err(|why| noted.file(file, why, hint)).ok()?)
        }
        // That there is none was noted when the configuration was read.
        (None, None) => return None,
    };
    let settings = Settings {
        name: config.name.clone(),
        side: config.side,
        action: config.action,
        on_failure: config.on_failure,
        window: config.window,
        timeout: config.timeout,
        models: config.models.clone(),
        stages: config.stages.clone(),
        measured: config.measured.clone(),
    };
    let upstream = config.upstream().and_then(|name| upstreams.get(name));
    if config.upstream().is_some() && upstream.is_none() {
        // What is wrong with the upstream is noted where it stands.
        return None;
    }
    let place = &config.at;
    let guard = Guard::new(settings, rule, upstream);
    let guard = guard.map_err(|why| noted.add(place.place, &place.key, why, "")).ok()?;
    if let Some(measured) = guard.measured.as_ref().filter(|measured| measured.guard != guard.digest) {
        let message = format!(
            "`{}` is {} now; its rates were measured on {}",
            guard.name, guard.digest, measured.guard
        );
        let hint = "measure it again by `loadline gate guard measure`";
        noted.add(place.place, "guard.measured.guard", message, hint);
    }
    Some(guard)
}

/// A watch, with its figure. None when something that it needs did not load, which is noted.
fn watched(watch: &WatchConfig, guards: &[Arc<Guard>], models: &Models, noted: &mut Noted) -> Option<Watch> {
    let test = match &watch.figure {
        FigureConfig::Own { .. } => None,
        FigureConfig::Licensed(named) => Some(licensed::test(watch, named, models, noted)?),
    };
    Watch::of(watch, test, guards)
}

/// Whether the models of this process behind a name are the one that its licence is about. What a server serves nobody
/// here can tell; of what is here it is known, so nothing else is served under the licence.
fn are_licensed(
    model: &ModelConfig,
    license: &Licensed,
    name: &str,
    upstreams: &HashMap<String, Arc<Upstream>>,
    noted: &mut Noted,
) {
    let named = model.upstreams.iter().filter_map(|name| upstreams.get(name));
    let residents: Vec<_> = named.filter_map(|upstream| upstream.as_resident()).collect();
    let manifest = match &model.manifest {
        None => None,
        Some(file) if residents.is_empty() => {
            return noted.file(file, "no upstream of this model is a model of this process", "leave it out");
        }
        Some(file) => match disk::read(&file.path, MAX_FILE_BYTES) {
            Ok(Some(bytes)) => Some(bytes),
            Ok(None) => {
                return noted.file(file, "there is no such file", "`loadline model register` writes it");
            }
            Err(error) => return noted.file(file, error, ""),
        },
    };
    let subject = Subject { name, digest: license.model, manifest: manifest.as_deref() };
    for resident in residents {
        if let Err(wrong) = resident.is(subject) {
            noted.file(&model.license, wrong.message, &wrong.hint);
        }
    }
}

/// A licence, verified: signed by the authority, of the right kind, and free of contradictions. Whether it holds now is
/// asked at each request. With the name of its model.
fn license(path: &Path, chain: &RootChain) -> Result<(Licensed, String), (String, String)> {
    let why = |why: String, hint: &str| (why, hint.to_owned());
    let read = disk::read(path, MAX_FILE_BYTES).map_err(|error| why(error.to_string(), ""))?;
    let hint = "`loadline license issue` makes licences";
    let bytes = read.ok_or_else(|| why("there is no such file".to_owned(), hint))?;
    let envelope = Envelope::parse(&bytes).map_err(|error| why(error.to_string(), error.hint()))?;
    let signed = chain.current().verify(&envelope, Role::Authority);
    signed.map_err(|error| why(error.to_string(), error.hint()))?;
    let statement: Statement<License> =
        envelope.json(IN_TOTO_TYPE).map_err(|error| why(error.to_string(), error.hint()))?;
    let hint = "give the licence that the authority issued for this model";
    statement.check().map_err(|error| why(error.to_string(), hint))?;
    let license = &statement.predicate;
    license.check().map_err(|error| why(format!("the licence contradicts itself: {error}"), hint))?;
    if license.subject.value.digest != statement.model() {
        return Err(why("the licence is about two models".to_owned(), hint));
    }
    let licensed = Licensed {
        digest: envelope.payload_digest(),
        model: statement.model(),
        decision: license.decision.value.digest,
        stage: license.stage.value,
        marks: license.marks.value.clone(),
        validity: license.validity.value,
        assurance: license.assurance.value.clone(),
    };
    Ok((licensed, license.subject.value.name.clone()))
}
