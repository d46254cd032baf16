//! The callers' door by TLS: the gate's certificate, and connections that are made with it. The one TLS server of the
//! workspace; as a client the gate goes through whoever gives it a [`crate::upstream::Dial`].
//!
//! TLS lies over [`CallerStream`], so what is known of a connection from outside is known of the bytes that leave the
//! machine: the library asks the stream beneath to flush only when every record has been given to it, and a connection
//! that is cut loses what waits in the library as well as what waits in the system.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, Error, InconsistentKeys, ServerConfig};
use tokio_rustls::server::TlsStream;
use zeroize::Zeroizing;

use crate::config::{FileRef, TlsConfig};
use crate::conn::CallerStream;
use crate::disk;
use crate::upstream::resident::Wrong;

/// The largest file of certificates, or of a key, in bytes.
const MAX_PEM_BYTES: usize = 1 << 20;
/// The most certificates of a chain.
const MAX_CERTIFICATES: usize = 16;

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Door(TlsAcceptor);

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Door")
    }
}

impl Door {
    /// Reads a certificate and its key. What is good and yet worth knowing goes to `warnings`.
    ///
    /// # Errors
    /// Which of the files is wrong, and how.
    pub(crate) fn open<'c>(
        config: &'c TlsConfig,
        warnings: &mut Vec<String>,
    ) -> Result<Self, (&'c FileRef, Wrong)> {
        let TlsConfig { certificate, key } = config;
        let chain = certificates(&certificate.path).map_err(|wrong| (certificate, wrong))?;
        let private = private_key(&key.path).map_err(|wrong| (key, wrong))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let pair = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| (certificate, wrong(format!("TLS cannot be set up: {error}"), "")))?
            .with_no_client_auth()
            .with_single_cert(chain, private);
        let mut pair = pair.map_err(|error| (key, no_pair(&error, &certificate.path)))?;
        pair.alpn_protocols = vec![b"http/1.1".to_vec()];
        warnings.extend(open_to_others(&key.path));
        Ok(Self(TlsAcceptor::from(Arc::new(pair))))
    }

    /// Speaks TLS with a caller.
    ///
    /// # Errors
    /// When the caller does not, or takes longer.
    pub(crate) async fn welcome(
        &self,
        caller: CallerStream,
        within: Duration,
    ) -> io::Result<TlsStream<CallerStream>> {
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no handshake in time");
        tokio::time::timeout(within, self.0.accept(caller)).await.map_err(late)?
    }
}

fn wrong(message: impl Into<String>, hint: &str) -> Wrong {
    Wrong { message: message.into(), hint: hint.to_owned() }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    match disk::read(path, MAX_PEM_BYTES) {
        Ok(Some(bytes)) => Ok(Zeroizing::new(bytes)),
        Ok(None) => Err(wrong("there is no such file", "")),
        Err(error) => Err(wrong(error.to_string(), "check who may read it")),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let hint = "certificates in PEM form, the gate's own first, then those between it and the root";
    let bytes = read(path)?;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&bytes).take(MAX_CERTIFICATES + 1).collect();
    let chain = chain.map_err(|error| wrong(format!("is not in PEM form: {error}"), hint))?;
    match chain.len() {
        0 => Err(wrong("holds no certificate", hint)),
        1..=MAX_CERTIFICATES => Ok(chain),
        _ => Err(wrong(format!("holds more than {MAX_CERTIFICATES} certificates"), hint)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Wrong> {
    let hint = "the key in PEM form and without a passphrase: `BEGIN PRIVATE KEY`";
    let bytes = read(path)?;
    // What the library says of it could hold some of it.
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| wrong("holds no private key that can be read", hint))
}

fn no_pair(error: &Error, certificate: &Path) -> Wrong {
    let certificate = certificate.display();
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let message = format!("is not the key of the certificate in `{certificate}`");
            wrong(message, "name the two files that belong together")
        }
        Error::InvalidCertificate(why) => wrong(
            format!("belongs to `{certificate}`, whose first certificate cannot be read: {why}"),
            "the gate's own certificate comes first",
        ),
        other => wrong(format!("cannot be used: {other}"), "an Ed25519, ECDSA or RSA key"),
    }
}

/// What to say when others than the gate's user may read the key.
#[cfg(unix)]
fn open_to_others(key: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(key).ok()?.permissions().mode() & 0o777;
    let path = key.display();
    (mode & 0o077 != 0).then(|| {
        format!("`{path}` is a private key, and others than its owner may use it (mode {mode:o}): `chmod 600 {path}`")
    })
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Option<String> {
    None
}
