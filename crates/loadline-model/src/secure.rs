//! Connections by TLS for whoever speaks over them himself: the gate, to its upstreams and to its authority.

use std::sync::{Arc, OnceLock};

use hyper::rt::{Read, Write};
use loadline_core::{ModelError, ModelErrorKind};
use tower_service::Service as _;

use crate::base_url::BaseUrl;
use crate::causes::{self, chain, find};
use crate::connect::{self, Dial};
use crate::options::Environment;

/// Makes connections by TLS. Trusts what models over HTTP trust (`SSL_CERT_FILE`, `SSL_CERT_DIR`, the system), and goes
/// through the same proxies.
#[derive(Debug)]
pub struct Secure {
    environment: Environment,
    /// Read at the first connection: a program that makes none needs no certificates.
    trusted: OnceLock<Result<Arc<rustls::ClientConfig>, ModelError>>,
}

impl Secure {
    /// One that has read nothing yet.
    pub fn new(environment: Environment) -> Self {
        Self { environment, trusted: OnceLock::new() }
    }

    /// Connects to `HOST:PORT` and checks whose certificate is there. Nothing but the handshake is sent.
    ///
    /// # Errors
    /// When there is no connection, or no trust: why in one line, and a hint.
    pub async fn connect(
        &self,
        authority: &str,
    ) -> Result<impl Read + Write + Send + Unpin + use<>, ModelError> {
        let read = || connect::trusting_system(&self.environment).map(Arc::new);
        let trusted = self.trusted.get_or_init(read).clone()?;
        let base = BaseUrl::exactly(&format!("https://{authority}"), "HOST:PORT")?;
        let mut dial: Dial = connect::way_with(&base, &self.environment, trusted)?.dial;
        let connecting = async {
            std::future::poll_fn(|context| dial.poll_ready(context)).await?;
            dial.call(base.join("/")?).await
        };
        connecting.await.map_err(|error| explained(&error))
    }
}

fn explained(error: &connect::BoxError) -> ModelError {
    let (kind, hint) = match find::<rustls::Error>(&**error) {
        Some(tls) => causes::tls(tls),
        None if find::<std::io::Error>(&**error)
            .is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut) =>
        {
            (ModelErrorKind::Timeout, "is the server running, and are host and port right?")
        }
        None => (ModelErrorKind::Connection, "is the server running, and are host and port right?"),
    };
    ModelError::new(kind, chain(&**error)).with_hint(hint)
}
