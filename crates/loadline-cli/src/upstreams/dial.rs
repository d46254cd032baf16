//! The gate's connections to its upstreams and its authority: TCP, and TLS by `loadline-model`, the only TLS client.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use loadline_gate::run::Notice;
use loadline_gate::upstream::{Address, Connecting, Dial, Io, Plain};
use loadline_model::{Environment, Secure};

/// What to do when nobody answers.
const NOBODY: &str = "is the server running, and are host and port right?";

/// Takes what the operator should know.
pub type Notify = dyn Fn(Notice) + Send + Sync;

/// Makes connections, and tells the operator once when a place cannot be reached, until it can.
pub struct Dialer {
    secure: Arc<Secure>,
    notify: Arc<Notify>,
    /// Places that the operator knows of. Not more than the configuration names.
    unreachable: Arc<Mutex<BTreeSet<String>>>,
}

fn lock(places: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dialer {
    /// One that trusts what this environment says.
    pub fn new(environment: Environment, notify: Arc<Notify>) -> Self {
        Self { secure: Arc::new(Secure::new(environment)), notify, unreachable: Arc::default() }
    }
}

impl Dial for Dialer {
    fn dial(&self, address: &Address) -> Connecting {
        let (secure, notify, unreachable) =
            (Arc::clone(&self.secure), Arc::clone(&self.notify), Arc::clone(&self.unreachable));
        let (address, plain) = (address.clone(), Plain.dial(address));
        Box::pin(async move {
            let scheme = if address.tls { "https" } else { "http" };
            let place = format!("{scheme}://{}", address.authority);
            let made = match address.tls {
                false => plain.await.map_err(|error| (error, NOBODY.to_owned())),
                true => match secure.connect(&address.authority).await {
                    Ok(stream) => Ok(Box::new(stream) as Box<dyn Io>),
                    Err(error) => Err((io::Error::other(error.message), error.hint.unwrap_or_default())),
                },
            };
            match made {
                Ok(stream) => {
                    lock(&unreachable).remove(&place);
                    Ok(stream)
                }
                Err((error, hint)) => {
                    if lock(&unreachable).insert(place.clone()) {
                        notify(Notice::Unreachable(format!("no connection to {place}: {error}"), hint));
                    }
                    Err(error)
                }
            }
        })
    }
}
