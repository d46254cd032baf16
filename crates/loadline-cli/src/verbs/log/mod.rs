//! `loadline log`: serve, witness, publish, fsck, monitor.

mod fsck;
mod monitor;
mod publish;
mod serve;
mod witness;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use loadline_tlog::{Policy, VerifierKey};

use crate::authority::roots;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::ui::Ui;

/// Serve, witness, check and watch a transparency log
///
/// The formats are those of C2SP (tlog-tiles, tlog-witness): other people's tools can read, witness and watch a log of
/// Loadline, and Loadline theirs.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub verb: LogVerb,
}

/// What to do with a log.
#[derive(clap::Subcommand)]
pub enum LogVerb {
    Serve(serve::Serve),
    Witness(witness::Serve),
    Publish(publish::Publish),
    Fsck(fsck::Fsck),
    Monitor(monitor::Monitor),
}

/// Where a log is.
#[derive(clap::Args)]
pub struct Place {
    /// Folder of the authority whose log it is
    #[arg(long, value_name = "DIR", default_value = "authority")]
    pub authority: PathBuf,

    /// Folder of the log itself
    #[arg(long, value_name = "DIR", conflicts_with = "authority")]
    pub log: Option<PathBuf>,
}

impl Place {
    /// The log's folder.
    pub fn folder(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| self.authority.join("log"))
    }
}

/// Whose signatures count.
#[derive(clap::Args)]
pub struct Trust {
    /// File of a policy (C2SP tlog-policy): the log's key, its witnesses, and how many of them must have signed
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,

    /// Public key of the log, when there is no policy (repeatable)
    #[arg(long, value_name = "VKEY", value_parser = vkey, conflicts_with = "policy")]
    pub vkey: Vec<VerifierKey>,
}

impl Trust {
    /// The policy: from its file, of the keys, or from the root of an authority.
    ///
    /// # Errors
    /// When there is none of these, or it is wrong.
    pub fn policy(&self, authority: Option<&Path>) -> Result<Policy> {
        if let Some(path) = &self.policy {
            return read_policy(path);
        }
        if !self.vkey.is_empty() {
            let logs: String = self.vkey.iter().map(|key| format!("log {}\n", key.to_vkey())).collect();
            return parse_policy(format!("{logs}quorum none\n").as_bytes(), "the keys of --vkey");
        }
        let Some(authority) = authority else {
            return Err(Failure::new(Exit::Usage, "nothing says whose signatures count")
                .hint("give the log's public key with `--vkey VKEY`, or a policy with `--policy FILE`"));
        };
        let chain = roots::chain(authority, None)?;
        let policy = chain.current().parsed_log_policy();
        policy.map_err(|error| Failure::of(Exit::EvidenceInvalid, &error).hint(error.hint()))
    }
}

/// The log of a folder, which may be the log itself or an authority's; and the authority.
fn log_in(folder: &Path) -> (PathBuf, Option<&Path>) {
    let is_authority = folder.join("root").is_dir();
    if is_authority { (folder.join("log"), Some(folder)) } else { (folder.to_owned(), None) }
}

/// Refuses what is no folder before anything else is asked of the user.
fn must_be_folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    Err(Failure::new(Exit::TaskInvalid, format!("there is no log in {}: it is no folder", path.display()))
        .hint("give the folder of a log, or of an authority"))
}

fn read_policy(path: &Path) -> Result<Policy> {
    use std::io::Read as _;
    let shown = path.display().to_string();
    let mut bytes = Vec::new();
    let most = loadline_tlog::policy::MAX_POLICY_BYTES as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("cannot read `{shown}`"), &error)
            .hint("give the path of a tlog-policy file")
    })?;
    parse_policy(&bytes, &shown)
}

fn parse_policy(bytes: &[u8], shown: &str) -> Result<Policy> {
    Policy::parse(bytes).map_err(|error| {
        Failure::because(Exit::TaskInvalid, format!("`{shown}` is no policy for logs"), &error)
            .hint("lines are `log VKEY [URL]`, `witness NAME VKEY [URL]`, `group NAME all|any|K NAME…`, `quorum NAME`")
    })
}

fn vkey(text: &str) -> std::result::Result<VerifierKey, String> {
    VerifierKey::parse(text).map_err(|error| format!("{error}; {}", error.hint()))
}

/// Where to listen.
#[derive(clap::Args)]
pub struct Listen {
    /// Address and port to listen on; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// See [`Args`].
pub fn run(args: &Args, ui: &Ui) -> Result {
    match &args.verb {
        LogVerb::Serve(args) => serve::run(args, ui),
        LogVerb::Witness(args) => witness::run(args, ui),
        LogVerb::Publish(args) => publish::run(args, ui),
        LogVerb::Fsck(args) => fsck::run(args, ui),
        LogVerb::Monitor(args) => monitor::run(args, ui),
    }
}
