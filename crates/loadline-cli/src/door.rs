//! A gate's own door for its operator, from outside: what is stopped there, and orders.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use loadline_core::untrusted::one_line;
use loadline_core::{Digest, ModelError, ModelErrorKind, Secret};
use loadline_gate::ledger::StopTarget;
use loadline_model::{Environment, Reply, Web};
use loadline_policy::policy::Stage;
use loadline_trust::KeyId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// The largest answer that is read, in bytes.
const MOST_BYTES: usize = 4 << 20;
/// How long one exchange may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before a gate that did not answer is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// The operator's door of one gate.
pub struct Door {
    web: Web,
    runtime: Runtime,
    /// How long a gate that cannot be reached is asked again.
    patience: Duration,
}

/// What is stopped at a gate, and what an order must keep to.
#[derive(Clone, Debug, Deserialize)]
pub struct Stopped {
    /// The gate's name.
    pub gate: String,
    /// What is stopped.
    pub stopped: Vec<StopTarget>,
    /// Digest of the last order.
    pub last: Option<Digest>,
    /// How many must sign to start again.
    pub start_needs: u32,
    /// Whose signatures count; older gates do not say.
    #[serde(default)]
    pub stop_keys: Option<BTreeSet<KeyId>>,
}

/// What an order came to.
#[derive(Clone, Debug, Deserialize)]
pub struct Followed {
    /// The gate's name.
    pub gate: String,
    /// Whether the gate knows what the order names.
    pub known: bool,
    /// The models that it is about.
    pub covers: Vec<Covered>,
    /// What is stopped now.
    pub stopped: Vec<StopTarget>,
    /// Requests that were cut.
    pub cut: u64,
    /// Of them, those whose connection had to be reset.
    pub reset: u64,
    /// From the order's arrival until it was on the disk.
    pub kept_in_us: u64,
    /// From then until the last byte had left.
    pub cut_in_us: u64,
}

/// A model that an order is about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Covered {
    /// Its public name.
    pub name: String,
    /// Digest of the model.
    pub model: Digest,
    /// Payload digest of its licence.
    pub license: Digest,
    /// Its licence's stage.
    pub stage: Stage,
}

/// What became of an order that was brought.
#[derive(Debug)]
pub enum Brought {
    /// It was followed.
    Followed(Box<Followed>),
    /// The answer was lost on the way, and the gate says that what it names is stopped.
    AnswerLost(Stopped),
    /// Nobody answered.
    Unreachable(String),
}

#[derive(Deserialize)]
struct Wrong {
    error: Words,
}

#[derive(Deserialize)]
struct Words {
    message: String,
    hint: String,
}

impl Door {
    /// Prepares to speak to a gate. Makes no call.
    ///
    /// # Errors
    /// When the URL cannot be used, or is plain HTTP to another machine.
    pub fn open(url: &str, patience: Duration) -> Result<Self> {
        let (web, runtime) = private(url, None)?;
        Ok(Self { web: web.within(ANSWER_WITHIN), runtime, patience })
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.web.url()
    }

    /// Runs something on the thread that this door's connections are on.
    pub fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// What an answer to an order says that was read elsewhere.
    ///
    /// # Errors
    /// When the gate did not follow the order.
    pub fn answered(&self, status: u16, body: &[u8]) -> Result<Followed> {
        let reply = Reply { status, body: body.to_vec().into() };
        if status == 200 { self.read(&reply) } else { Err(self.refused(&reply)) }
    }

    /// What is at the address itself, as text.
    ///
    /// # Errors
    /// When there is nothing.
    pub fn text(&self) -> Result<String> {
        let failed = |why: String| {
            Failure::new(Exit::ModelUnreachable, format!("nothing is to be read at `{}`", self.url()))
                .cause(why)
        };
        let reply = self.runtime.block_on(self.web.get("", MOST_BYTES));
        let reply = reply.map_err(|error| failed(error.message))?;
        if reply.status != 200 {
            return Err(failed(format!("it answered {}", reply.status)));
        }
        String::from_utf8(reply.body.to_vec()).map_err(|error| failed(error.to_string()))
    }

    /// What is stopped; `None` when nobody answers.
    ///
    /// # Errors
    /// When whoever answers is no gate.
    pub fn stopped(&self) -> Result<Option<Stopped>> {
        let (reply, _) = self.again(|| self.runtime.block_on(self.web.get("/stops", MOST_BYTES)));
        match reply {
            Err(error) if is_silence(&error) => Ok(None),
            Err(error) => Err(self.no_gate(&error.message)),
            Ok(reply) if reply.status == 200 => self.read(&reply).map(Some),
            Ok(reply) => Err(self.no_gate(&format!("it answered {}", reply.status))),
        }
    }

    /// Brings an order that names this target.
    ///
    /// # Errors
    /// When the gate does not follow it.
    pub fn bring(&self, order: &[u8], target: &StopTarget) -> Result<Brought> {
        let (reply, tries) =
            self.again(|| self.runtime.block_on(self.web.post("/orders", order.to_vec(), MOST_BYTES)));
        let reply = match reply {
            Err(error) if is_silence(&error) => return Ok(Brought::Unreachable(error.message)),
            Err(error) => return Err(self.no_gate(&error.message)),
            Ok(reply) => reply,
        };
        if reply.status == 200 {
            return Ok(Brought::Followed(Box::new(self.read(&reply)?)));
        }
        // An order is followed once. When the answer to it was lost, the gate refuses the second one.
        if reply.status == 403
            && tries > 1
            && let Some(stopped) = self.stopped()?
            && stopped.stopped.contains(target)
        {
            return Ok(Brought::AnswerLost(stopped));
        }
        Err(self.refused(&reply))
    }

    /// Asks, and asks again while nobody answers and the patience lasts. How often it was asked.
    fn again(
        &self,
        ask: impl Fn() -> std::result::Result<Reply, ModelError>,
    ) -> (std::result::Result<Reply, ModelError>, u32) {
        let deadline = Instant::now() + self.patience;
        let mut tries = 0;
        loop {
            tries += 1;
            match ask() {
                Err(error) if is_silence(&error) && Instant::now() < deadline => std::thread::sleep(PAUSE),
                reply => return (reply, tries),
            }
        }
    }

    fn read<T: DeserializeOwned>(&self, reply: &Reply) -> Result<T> {
        serde_json::from_slice(&reply.body).map_err(|error| self.no_gate(&error.to_string()))
    }

    fn refused(&self, reply: &Reply) -> Failure {
        let Ok(Wrong { error }) = serde_json::from_slice(&reply.body) else {
            return self.no_gate(&format!("it answered {}", reply.status));
        };
        let (message, hint) = (one_line(&error.message, 300), one_line(&error.hint, 300));
        match reply.status {
            403 => {
                Failure::new(Exit::EvidenceInvalid, format!("the gate does not follow the order: {message}"))
                    .hint(hint)
            }
            // The gate is closed by this, and not in the way that was asked for.
            _ => Failure::new(Exit::Unexpected, format!("the gate could not keep the order: {message}"))
                .hint(hint),
        }
    }

    fn no_gate(&self, why: &str) -> Failure {
        let message = format!("`{}` does not answer as the operator's door of a gate", self.url());
        Failure::new(Exit::ModelUnreachable, message)
            .cause(one_line(why, 300))
            .hint("give the address of `[admin] listen` in the gate's configuration")
    }
}

/// Prepares to speak to an operator's door, with its key where it asks for one. Makes no call.
///
/// # Errors
/// When the URL cannot be used, or is plain HTTP to another machine.
pub fn private(url: &str, key: Option<Secret>) -> Result<(Web, Runtime)> {
    let web = Web::open_with(url, &Environment::process(), key)
        .map_err(|error| Failure::new(Exit::Usage, error.message.clone()).maybe_hint(error.hint.clone()))?;
    if !web.is_private() {
        return Err(Failure::new(Exit::Usage, format!("`{}` is plain HTTP to another machine", web.url()))
            .hint("give `https://…`, or run this on the machine where it listens"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::io("cannot start", &error))?;
    Ok((web, runtime))
}

/// A key from a variable of the environment: none is ever given on a command line.
///
/// # Errors
/// When the variable is not set.
pub fn key(variable: &str, hint: &str) -> Result<Secret> {
    let key = std::env::var(variable).ok().filter(|key| !key.trim().is_empty());
    let key = key.ok_or_else(|| {
        let message = format!("the environment variable {} is not set", one_line(variable, 80));
        Failure::new(Exit::Usage, message).hint(hint)
    })?;
    Ok(Secret::new(key.trim().to_owned()))
}

/// Whether nobody answered: another try may help.
fn is_silence(error: &ModelError) -> bool {
    matches!(error.kind, ModelErrorKind::Connection | ModelErrorKind::Timeout)
}
