//! `loadline log witness`: a witness over HTTP, as C2SP tlog-witness says.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::Method;
use hyper::header::CACHE_CONTROL;
use loadline_core::untrusted::one_line;
use loadline_tlog::disk::{RealDisk, WitnessFolder};
use loadline_tlog::witness::{KnownLog, MAX_REQUEST_BYTES, Witness};
use loadline_tlog::{SignerKey, VerifierKey};

use super::{Listen, vkey};
use crate::authority::publish::{LocalWitness, disk_failure, now};
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::keyring::{self, PassphraseArgs, StoredKey};
use crate::server::{self, Answer, Asked, Service};
use crate::ui::Ui;

/// Be a witness: cosign the checkpoints of logs, each only if it continues the one before
///
/// What it cosigned is on disk before anybody gets the cosignature, so that not even a power cut makes it cosign two
/// histories of a log. Keep the folder: a witness that forgets is none.
#[derive(clap::Args)]
#[command(after_long_help = "\
Examples:
  loadline key new witness -o witness.age --kind witness --origin witness.example.com
  loadline log witness --key witness.age --store witness --log \"$(cat authority/keys/log.vkey)\" --listen 127.0.0.1:8026")]
pub struct Serve {
    /// File of a witness's key (repeatable: one of each kind)
    #[arg(long, value_name = "FILE", required = true)]
    pub key: Vec<PathBuf>,

    /// Public key of a log to watch (repeatable)
    #[arg(long, value_name = "VKEY", required = true, value_parser = vkey)]
    pub log: Vec<VerifierKey>,

    /// Folder of what was cosigned; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub store: PathBuf,

    #[command(flatten)]
    pub listen: Listen,

    #[command(flatten)]
    pub passphrase: PassphraseArgs,
}

/// See [`Serve`].
pub fn run(args: &Serve, ui: &Ui) -> Result {
    for path in &args.key {
        keyring::check_form(path)?;
    }
    let passphrase = args.passphrase.get()?;
    let mut keys: Vec<SignerKey> = Vec::new();
    for path in &args.key {
        match keyring::read(path, &passphrase)? {
            StoredKey::Note(key) => keys.push(*key),
            StoredKey::Hybrid(_) => {
                let message = format!("`{}` holds a hybrid key, which signs no checkpoints", path.display());
                return Err(Failure::new(Exit::Usage, message)
                    .hint("make one with `loadline key new --kind witness`"));
            }
        }
    }
    let store = WitnessFolder::open(&args.store, Arc::new(RealDisk)).map_err(|error| disk_failure(&error))?;
    let witness = Witness::new(keys, known_logs(&args.log), store).map_err(|error| {
        Failure::of(Exit::Usage, &error).hint("make one with `loadline key new --kind witness`")
    })?;
    for key in witness.verifiers() {
        ui.status("Cosigning", format_args!("as {}", one_line(&key.to_vkey(), 4096)));
    }
    let service = Requests { witness: Mutex::new(witness), ui: ui.clone() };
    server::serve(args.listen.listen, Arc::new(service), "a witness", ui)
}

/// Keys of one name are keys of one log.
fn known_logs(keys: &[VerifierKey]) -> Vec<KnownLog> {
    let mut logs: Vec<KnownLog> = Vec::new();
    for key in keys {
        match logs.iter_mut().find(|log| log.origin == key.name()) {
            Some(log) => log.keys.push(key.clone()),
            None => logs.push(KnownLog { origin: key.name().to_owned(), keys: vec![key.clone()] }),
        }
    }
    logs
}

struct Requests {
    /// One request at a time: what is cosigned must be kept before the next one is looked at.
    witness: Mutex<LocalWitness>,
    ui: Ui,
}

impl Requests {
    fn add(&self, asked: &Asked) -> Answer {
        if asked.method != Method::POST {
            return Answer::not_allowed("POST");
        }
        let Ok(now) = now() else { return self.failed(&"the clock is wrong") };
        // A panic between two steps leaves the store as it is on disk: it refuses everything until it is opened again.
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        match witness.add_checkpoint(&asked.body, now) {
            Ok(answer) => {
                self.tell(&answer);
                Answer::new(answer.status(), answer.content_type(), answer.body())
            }
            Err(error) => self.failed(&error),
        }
    }

    fn tell(&self, answer: &loadline_tlog::witness::Answer) {
        use loadline_tlog::witness::{Answer, Refusal};
        match answer {
            Answer::Cosigned(_) => self.ui.status("Cosigned", "a checkpoint"),
            Answer::Refused(refusal @ (Refusal::Inconsistent { .. } | Refusal::EmptyRoot)) => {
                self.ui
                    .warning(format_args!("a log that this witness watches may tell two stories: {refusal}"));
            }
            Answer::Refused(_) => {}
        }
    }

    fn failed(&self, why: &dyn std::fmt::Display) -> Answer {
        self.ui.warning(one_line(&why.to_string(), 300));
        Answer::words(500, "the witness cannot answer")
    }

    fn latest(&self, asked: &Asked, hash: &str) -> Answer {
        if !matches!(asked.method, Method::GET | Method::HEAD) {
            return Answer::not_allowed("GET, HEAD");
        }
        let witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        match witness.checkpoint(hash) {
            Ok(Some(note)) => {
                Answer::new(200, "text/plain; charset=utf-8", note).with(CACHE_CONTROL, "no-cache")
            }
            Ok(None) => Answer::words(404, "not found"),
            Err(error) => self.failed(&error),
        }
    }
}

impl Service for Requests {
    fn longest_body(&self) -> usize {
        MAX_REQUEST_BYTES
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let hash = asked.path.strip_prefix('/').and_then(|path| path.strip_suffix("/checkpoint"));
        match (asked.path.as_str(), hash) {
            ("/add-checkpoint", _) => self.add(asked),
            (_, Some(hash)) => self.latest(asked, hash),
            _ => Answer::words(404, "not found"),
        }
    }
}
