//! Orders to stop and to start again, and where they are kept. `docs/formats/stops.md` has both forms.
//!
//! Stopping must be easy and starting again hard: any one holder of a stop key stops, and starting again takes as many
//! as the root asks for. What is stopped is durable before anything else happens; when it cannot be made durable,
//! everything is stopped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use loadline_core::untrusted::one_line;
use loadline_core::{Digest, Instant};
use loadline_evidence::disk::Disk;
use loadline_evidence::{RecordError, write_private};
use loadline_trust::{CLOCK_SKEW_S, Envelope, Role, Root};
use serde::{Deserialize, Serialize};

use crate::audit::AuditOpenError;
use crate::audit::subjects::read_small;
use crate::ledger::{Durable, StopError, StopStore, StopTarget, Stops, Terms};

/// `payloadType` of an order.
pub const ORDER_TYPE: &str = "application/vnd.loadline.stop-order+json";
/// `format` of an order.
pub const ORDER_FORMAT: &str = "loadline-stop-order/1";
/// `format` of the file of orders.
pub const STOPS_FORMAT: &str = "loadline-stops/1";
/// The file of orders.
pub const STOPS: &str = "stops";
/// How old an order to stop may be, in seconds: an old one cannot be played again.
pub const MAX_AGE_S: u64 = 600;
/// The most orders that are kept.
pub const MAX_ORDERS: usize = 10_000;
const MAX_FILE_LEN: u64 = 256 << 20;
const MAX_REASON_CHARS: usize = 400;

/// What an order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Serve it no more.
    Stop,
    /// Serve it again.
    Start,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopOrder {
    /// [`ORDER_FORMAT`].
    pub format: String,
    /// The gate, by the name of its audit log.
    pub gate: String,
    /// What to do.
    pub action: Action,
    /// With what.
    pub target: StopTarget,
    /// Digest of the gate's last order; none before the first. An order to start again is for this state only; one to
    /// stop need not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// When it was made.
    pub issued: Instant,
    /// Why.
    pub reason: String,
}

/// The orders of one gate, in a file.
pub struct FileStops(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    gate: String,
    state: Mutex<State>,
}

struct State {
    root: Arc<Root>,
    orders: Vec<Kept>,
    stops: Arc<Stops>,
    failed: Option<String>,
}

#[derive(Clone)]
struct Kept {
    digest: Digest,
    order: StopOrder,
    envelope: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: String,
    /// What is stopped and no order in the file says so any more.
    stopped: BTreeSet<StopTarget>,
    /// Envelopes, as base64.
    orders: Vec<String>,
}

impl FileStops {
    /// Reads what is stopped; nothing without a file. Orders that were accepted once count, whoever holds the role now.
    ///
    /// # Errors
    /// When the file cannot be read or is none of orders: nothing may be served then.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        gate: &str,
        root: Arc<Root>,
    ) -> Result<Self, AuditOpenError> {
        let path = dir.join(STOPS);
        let (mut orders, mut stops) = (Vec::new(), Stops::default());
        if let Some(bytes) = read_small(disk.as_ref(), &path, MAX_FILE_LEN)? {
            let form = |what: String| AuditOpenError::Form { path: path.clone(), what };
            let wire: Wire = serde_json::from_slice(&bytes)
                .map_err(|error| form(format!("line {}: not a file of orders", error.line())))?;
            if wire.format != STOPS_FORMAT {
                return Err(form(format!("`format` is not `{STOPS_FORMAT}`")));
            }
            stops.targets = wire.stopped;
            for (number, envelope) in wire.orders.into_iter().enumerate() {
                let kept = Kept::read(envelope).map_err(|what| form(format!("order {number}: {what}")))?;
                kept.follow(&mut stops);
                orders.push(kept);
            }
        }
        let state = Mutex::new(State { root, orders, stops: Arc::new(stops), failed: None });
        Ok(Self(Arc::new(Inner { disk, dir: dir.to_path_buf(), gate: gate.to_owned(), state })))
    }

    /// From now on, orders are checked against this root.
    pub fn set_root(&self, root: Arc<Root>) {
        self.0.state().root = root;
    }
}

impl Kept {
    fn read(envelope: String) -> Result<Self, String> {
        let bytes = STANDARD.decode(&envelope).map_err(|_| "not base64".to_owned())?;
        let parsed = Envelope::parse(&bytes).map_err(|error| error.to_string())?;
        let order = parsed.json::<StopOrder>(ORDER_TYPE).map_err(|error| error.to_string())?;
        Ok(Self { digest: parsed.payload_digest(), order, envelope })
    }

    fn follow(&self, stops: &mut Stops) {
        match self.order.action {
            Action::Stop => _ = stops.targets.insert(self.order.target.clone()),
            Action::Start => _ = stops.targets.remove(&self.order.target),
        }
        stops.last = Some(self.digest);
        stops.named = Some(self.order.target.clone());
    }
}

fn refused(message: impl Into<String>, hint: &str) -> StopError {
    StopError::Refused { message: message.into(), hint: hint.to_owned() }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, bytes: &[u8], now: Instant) -> Result<Arc<Stops>, StopError> {
        let mut state = self.state();
        if let Some(why) = &state.failed {
            return Err(StopError::Disk(why.clone()));
        }
        let kept = self.check(&state, bytes, now)?;
        let mut orders = state.orders.clone();
        let mut stops = (*state.stops).clone();
        kept.follow(&mut stops);
        orders.push(kept);
        let before = orders.len().saturating_sub(MAX_ORDERS);
        orders.drain(..before);
        if let Err(error) = self.write(&orders, &stops) {
            // Nobody knows what the disk has: nothing is served until somebody looks.
            stops.targets.insert(StopTarget::All);
            state.stops = Arc::new(stops);
            state.failed = Some(error.to_string());
            return Err(StopError::Disk(error.to_string()));
        }
        (state.orders, state.stops) = (orders, Arc::new(stops));
        Ok(Arc::clone(&state.stops))
    }

    /// Whether an order is to be followed.
    fn check(&self, state: &State, bytes: &[u8], now: Instant) -> Result<Kept, StopError> {
        let envelope = Envelope::parse(bytes).map_err(|error| refused(error.to_string(), error.hint()))?;
        let order: StopOrder =
            envelope.json(ORDER_TYPE).map_err(|error| refused(error.to_string(), error.hint()))?;
        if order.format != ORDER_FORMAT {
            let message = format!("`format` is `{}`, not `{ORDER_FORMAT}`", one_line(&order.format, 40));
            return Err(refused(message, "this version of loadline reads this format only"));
        }
        if order.gate != self.gate {
            let message = format!("the order is for the gate `{}`", one_line(&order.gate, 80));
            return Err(refused(message, &format!("this gate is `{}`", self.gate)));
        }
        if order.reason.chars().count() > MAX_REASON_CHARS {
            return Err(refused("the reason is too long", "at most 400 characters"));
        }
        match order.action {
            Action::Stop => may_stop(state, &envelope, &order, now)?,
            Action::Start => may_start(state, &envelope, &order, now)?,
        }
        let (digest, envelope) = (envelope.payload_digest(), STANDARD.encode(envelope.to_bytes()));
        Ok(Kept { digest, order, envelope })
    }

    fn write(&self, orders: &[Kept], stops: &Stops) -> Result<(), RecordError> {
        // What the orders in the file come to by themselves need not be said; what older ones came to must be.
        let mut stopped = stops.targets.clone();
        for kept in orders {
            stopped.remove(&kept.order.target);
        }
        let orders = orders.iter().map(|kept| kept.envelope.clone()).collect();
        let wire = Wire { format: STOPS_FORMAT.to_owned(), stopped, orders };
        let mut bytes = serde_json::to_vec(&wire)?;
        bytes.push(b'\n');
        write_private(self.disk.as_ref(), &self.dir, STOPS, &bytes)
    }
}

/// Any one holder stops, also under a root whose time is over: to stop late would be worse.
fn may_stop(state: &State, envelope: &Envelope, order: &StopOrder, now: Instant) -> Result<(), StopError> {
    let signers = envelope
        .signers(state.root.holders(Role::Stop))
        .map_err(|error| refused(error.to_string(), "only a holder of the role `stop` stops"))?;
    if signers.is_empty() {
        return Err(refused("nobody signed the order", "only a holder of the role `stop` stops"));
    }
    let (issued, now) = (order.issued.seconds(), now.seconds());
    if issued > now.saturating_add(CLOCK_SKEW_S) || issued.saturating_add(MAX_AGE_S) < now {
        let message = format!("the order was made at {}, and this is not near that", order.issued);
        return Err(refused(message, "make it again; an order to stop holds for 10 minutes"));
    }
    let digest = envelope.payload_digest();
    if state.orders.iter().any(|kept| kept.digest == digest) {
        return Err(refused("this order was followed already", "make another"));
    }
    Ok(())
}

/// Enough holders start again, under a current root, and only from the state that they saw.
fn may_start(state: &State, envelope: &Envelope, order: &StopOrder, now: Instant) -> Result<(), StopError> {
    if !state.root.is_current(now) {
        return Err(refused("the root is not current", "give the gate the authority's newest root first"));
    }
    state.root.verify(envelope, Role::Stop).map_err(|error| {
        refused(error.to_string(), "starting again takes as many stop keys as the root asks for")
    })?;
    if order.issued.seconds() > now.seconds().saturating_add(CLOCK_SKEW_S) {
        return Err(refused("the order is from the future", "see that the clocks are right"));
    }
    if order.previous != state.stops.last {
        let hint = "something was stopped or started since it was signed: look, and have it signed again";
        return Err(refused("the order is for another state of this gate", hint));
    }
    if !state.stops.targets.contains(&order.target) {
        return Err(refused("this is not stopped", "name what is, as it was named when it was stopped"));
    }
    Ok(())
}

impl StopStore for FileStops {
    fn stops(&self) -> Arc<Stops> {
        Arc::clone(&self.0.state().stops)
    }

    fn terms(&self) -> Terms {
        let state = self.0.state();
        let role = state.root.roles.get(&Role::Stop);
        let start_needs = role.map_or(0, |role| role.threshold);
        let stop_keys = role.map(|role| role.keyids.clone()).unwrap_or_default();
        Terms { gate: self.0.gate.clone(), start_needs, stop_keys }
    }

    fn order(&self, order: Bytes, now: Instant) -> Durable<Arc<Stops>, StopError> {
        let inner = Arc::clone(&self.0);
        let (sender, receiver) = tokio::sync::oneshot::channel();
        // Begun now, whether or not the future is waited for.
        let thread = std::thread::Builder::new().name("stop-order".to_owned());
        let spawned = thread.spawn(move || {
            // Whoever ordered may have gone; the order counts all the same.
            let _ = sender.send(inner.order(&order, now));
        });
        Box::pin(async move {
            spawned.map_err(|error| StopError::Disk(error.to_string()))?;
            receiver.await.map_err(|error| StopError::Disk(error.to_string()))?
        })
    }
}
