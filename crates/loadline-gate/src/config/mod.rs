//! The gate's configuration: one TOML file, `loadline-gate/1`, checked as a whole before anything listens.
//!
//! `docs/formats/gate-config.md` is its page. `read` knows the file only; [`load`] reads the files it names.

mod guards;
mod licensed;
mod load;
mod observe;
mod read;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use loadline_core::Digest;
use loadline_policy::document::Place;
use loadline_policy::policy::Stage;

use crate::ledger::Keep;

pub use guards::GuardConfig;
pub use load::{Environment, Loaded, OpenResident, ReadKeys, chain, guard_alone, load, witness_policy};
pub use observe::{TraceConfig, WitnessConfig};
pub use read::{admin, parse};
pub use watches::{FigureConfig, LicensedConfig, OnAlarm, WatchConfig, WatchedConfig};

/// `format` of the file.
pub const CONFIG_FORMAT: &str = "loadline-gate/1";

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The gate's name, a URL without scheme: orders and its audit log carry it.
    pub name: String,
    /// Where callers connect.
    pub listen: SocketAddr,
    /// The folder of what must survive a restart.
    pub state: PathBuf,
    /// Where this gate stands.
    pub region: Option<String>,
    /// Whose word counts.
    pub authority: AuthorityConfig,
    /// The operator's own door.
    pub admin: Option<AdminConfig>,
    /// Where callers are spoken to by TLS.
    pub tls: Option<TlsConfig>,
    /// Limits on what comes in.
    pub limits: LimitsConfig,
    /// The file of the callers' keys.
    pub keys: FileRef,
    /// The folder of the audit log.
    pub audit: PathBuf,
    /// Who cosigns the audit log.
    pub witnesses: Option<WitnessConfig>,
    /// Where traces go.
    pub traces: Option<TraceConfig>,
    /// Which roles each stage is open to.
    pub roles: BTreeMap<Stage, BTreeSet<String>>,
    /// Where models are.
    pub upstreams: Vec<UpstreamConfig>,
    /// The models.
    pub models: Vec<ModelConfig>,
    /// The guards, in their order.
    pub guards: Vec<GuardConfig>,
    /// What is watched.
    pub watches: Vec<WatchConfig>,
    /// SHA-256 of the text.
    pub digest: Digest,
}

/// A file, and where the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// The file.
    pub path: PathBuf,
    /// Where it is named.
    pub place: Place,
    /// By which key.
    pub key: String,
}

/// Whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityConfig {
    /// The folder of its roots, `1.json`, `2.json`, …
    pub roots: FileRef,
    /// Payload digest of the first root.
    pub pin: Digest,
    /// Where its standing is.
    pub standing: StandingSource,
    /// How often to look for a newer one.
    pub every: Duration,
}

/// Where a standing comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StandingSource {
    /// A file that somebody keeps fresh.
    File(PathBuf),
    /// An address, by HTTP. It needs no secrecy: the standing is signed.
    Http(String),
}

/// The operator's own door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminConfig {
    /// A loopback address.
    pub listen: SocketAddr,
    /// The environment variable with its key.
    pub key_env: String,
}

/// Limits on what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitsConfig {
    /// Most connections at once.
    pub connections: usize,
    /// Largest head of a request.
    pub header_bytes: usize,
    /// Longest wait for a whole head.
    pub header: Duration,
    /// Largest body of a request.
    pub request_bytes: usize,
    /// Longest wait for a whole body.
    pub body: Duration,
    /// Longest wait for a caller who takes nothing of its answer.
    pub write: Duration,
    /// Largest body of a response, also of a stream.
    pub response_bytes: u64,
    /// Deepest nesting of a request's JSON.
    pub depth: usize,
    /// Tokens that are set aside for an answer whose request names no limit.
    pub default_output_tokens: u64,
    /// How long requests may go on after the gate is told to end.
    pub drain: Duration,
}

/// Which protocol an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    /// `/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`
    OpenAi,
    /// `/v1/messages`
    Anthropic,
}

impl loadline_policy::Named for Api {
    const ALL: &'static [Self] = &[Self::OpenAi, Self::Anthropic];

    fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
        }
    }
}

impl loadline_policy::Named for Keep {
    const ALL: &'static [Self] = &[Self::Digest, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Full => "full",
        }
    }
}

/// Where models are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// Its name in this file.
    pub name: String,
    /// How it is reached.
    pub way: WayConfig,
    /// Its protocol.
    pub api: Api,
    /// Longest wait for the first byte of an answer.
    pub first_byte: Duration,
    /// Longest silence in an answer.
    pub idle: Duration,
    /// Longest answer in all.
    pub total: Duration,
}

/// How an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayConfig {
    /// By HTTP, with or without TLS.
    Http(HttpConfig),
    /// It is a model of this process.
    Resident(ResidentConfig),
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// `http://HOST:PORT/v1`
    pub url: String,
    /// The environment variable with its key.
    pub key_env: Option<String>,
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Connections that are kept for later.
    pub kept_connections: usize,
    /// Where its key stands in this file.
    pub place: Place,
}

/// A model of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResidentConfig {
    /// A name of the catalogue, or the path of a file.
    pub model: String,
    /// What a path is relative to.
    pub folder: PathBuf,
    /// Settings, each `KEY=VALUE`.
    pub args: Vec<String>,
    /// Requests that may wait.
    pub queue: usize,
    /// Where it stands in this file.
    pub place: Place,
}

/// The certificate of the callers' door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificates in PEM form, the gate's own first.
    pub certificate: FileRef,
    /// Its private key in PEM form.
    pub key: FileRef,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelConfig {
    /// Its public name.
    pub name: String,
    /// Its upstreams by name, the first choice first.
    pub upstreams: Vec<String>,
    /// Its name there.
    pub upstream_model: String,
    /// Its licence.
    pub license: FileRef,
    /// The list of its files, for a model of this process that was registered with others beside it.
    pub manifest: Option<FileRef>,
    /// How content is kept.
    pub keep: Keep,
}
