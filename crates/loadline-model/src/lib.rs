//! Models over HTTP: OpenAI-compatible, Anthropic, the Hugging Face hub; the only TLS client.
//!
//! [`open`] turns a reference and the user's options into a [`Model`]. One call is one attempt: retries, back-off,
//! time limits and concurrency are the runner's. Calls need a tokio runtime with IO and time.
//!
//! The way of a request: `openai` or `anthropic` writes the body, `transport` sends it over a connection that
//! `connect` makes, `classify` says what a failure means, `sse` takes a streamed answer apart. `base_url`, `key` and
//! `options` read what the user said. `hub` fetches files. `web` speaks to servers that are no models; `secure` makes
//! connections that others speak over.

mod anthropic;
mod base_url;
mod causes;
mod classify;
mod connect;
pub mod hub;
mod key;
mod openai;
mod options;
mod room;
mod secure;
mod sse;
mod transport;
mod web;

use std::sync::Arc;

use loadline_core::{Model, ModelError, ModelErrorKind, ModelRef};

pub use options::{ApiChoice, Environment, HttpOptions, KEYS, MaxTokensField, ModelArgs};
pub use secure::Secure;
pub use web::{Reply, WEB_LIMIT, Web};

/// The providers this crate opens.
pub const PROVIDERS: [&str; 2] = ["openai", "anthropic"];

/// Opens a model over HTTP, with keys and proxies from the environment of this process. Makes no call.
///
/// # Errors
/// [`ModelErrorKind::Refused`] for an unknown provider, option or value and for a bad URL;
/// [`ModelErrorKind::Unauthorized`] when a key is needed and its variable is not set. Each has a hint.
pub fn open(reference: &ModelRef, args: &ModelArgs) -> Result<Arc<dyn Model>, ModelError> {
    open_in(reference, args, &Environment::process())
}

/// [`open`] with another environment, for tests.
///
/// # Errors
/// As [`open`].
pub fn open_in(
    reference: &ModelRef,
    args: &ModelArgs,
    environment: &Environment,
) -> Result<Arc<dyn Model>, ModelError> {
    match reference.provider.as_str() {
        "openai" => Ok(Arc::new(openai::OpenAi::open(reference, args, environment)?)),
        "anthropic" => Ok(Arc::new(anthropic::Anthropic::open(reference, args, environment)?)),
        _ => Err(unknown_provider(reference)),
    }
}

fn unknown_provider(reference: &ModelRef) -> ModelError {
    let provider = loadline_core::untrusted::one_line(&reference.provider, 40);
    ModelError::new(ModelErrorKind::Refused, format!("unknown provider `{provider}`"))
        .with_hint(format!("known providers over HTTP: {}", PROVIDERS.join(", ")))
}
