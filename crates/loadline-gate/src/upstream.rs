//! Where models are: addresses, connections that are kept, and one attempt at a request.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use loadline_core::Secret;
use loadline_core::untrusted::one_line;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use crate::config::{Api, UpstreamConfig};

/// Where something is: `http://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it is reached by TLS.
    pub tls: bool,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The value of `Host`.
    pub authority: String,
    /// The path, without a slash at its end.
    pub path: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, in words. Never repeats a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('@') {
            return Err("it holds a user name or password; keys come from the environment".to_owned());
        }
        let shown = one_line(text, 100);
        if text.contains(['?', '#']) {
            return Err(format!("`{shown}` has a query or a fragment"));
        }
        let uri: hyper::Uri = text.parse().map_err(|_| format!("`{shown}` is not an address"))?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(format!("`{shown}` does not start with http:// or https://")),
        };
        let host = uri.host().unwrap_or_default();
        if host.is_empty() {
            return Err(format!("`{shown}` names no host"));
        }
        Ok(Self {
            tls,
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: uri.authority().map(ToString::to_string).unwrap_or_default(),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Whether what is sent there is unread on its way: by TLS, or within this machine.
    pub fn is_private(&self) -> bool {
        self.tls
            || self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// A connection.
pub trait Io: hyper::rt::Read + hyper::rt::Write + Send + Unpin {}

impl<T: hyper::rt::Read + hyper::rt::Write + Send + Unpin> Io for T {}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Io>>> + Send>>;

/// Makes connections. Whoever links a TLS library gives the gate one that knows TLS.
pub trait Dial: Send + Sync {
    /// Connects.
    fn dial(&self, address: &Address) -> Connecting;
}

/// TCP without TLS.
#[derive(Clone, Copy, Debug)]
pub struct Plain;

impl Dial for Plain {
    fn dial(&self, address: &Address) -> Connecting {
        let address = address.clone();
        Box::pin(async move {
            if address.tls {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "this gate was built without TLS"));
            }
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(TokioIo::new(stream)) as Box<dyn Io>)
        })
    }
}

/// A connection of its own for one request, until it is given back or dropped. Dropping it closes the connection at
/// once, whatever the upstream is doing.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection with an answer on it.
pub struct Lease {
    connection: Connection,
    upstream: Arc<Upstream>,
}

impl Lease {
    /// Gives the connection back for another request: the answer was read to its end.
    pub fn give_back(self) {
        let mut kept = self.upstream.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.upstream.most_kept && !self.connection.sender.is_closed() {
            kept.push(self.connection);
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({})", self.upstream.name)
    }
}

/// A place where models are.
pub struct Upstream {
    /// Its name in the configuration.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Its protocol.
    pub api: Api,
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for the first byte.
    pub first_byte: Duration,
    /// Longest silence.
    pub idle: Duration,
    /// Longest answer.
    pub total: Duration,
    key: Option<Secret>,
    most_kept: usize,
    kept: Mutex<Vec<Connection>>,
    /// Until when another upstream is tried first, by [`crate::clock::Moment::passed_ms`].
    failed_until_ms: AtomicU64,
}

/// What goes upstream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The path behind the base address, such as `/chat/completions`.
    pub path: &'static str,
    /// Headers that are passed on.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection.
    #[error("no connection to upstream `{upstream}`: {error}")]
    Connect {
        /// Which.
        upstream: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The connection broke before the first byte of an answer.
    #[error("upstream `{upstream}` broke off before it answered: {error}")]
    Broken {
        /// Which.
        upstream: String,
        /// Why.
        #[source]
        error: hyper::Error,
    },
    /// No byte of an answer in time.
    #[error("upstream `{0}` did not answer in time")]
    TimedOut(String),
    /// Its key cannot stand in a header.
    #[error("the key of upstream `{0}` cannot be sent: it has characters that a header may not have")]
    Key(String),
}

impl Upstream {
    /// An upstream with the key that belongs to it.
    ///
    /// # Errors
    /// When the address is none, in words.
    pub fn new(config: &UpstreamConfig, key: Option<Secret>) -> Result<Self, String> {
        Ok(Self {
            name: config.name.clone(),
            address: Address::parse(&config.url)?,
            api: config.api,
            connect: config.connect,
            first_byte: config.first_byte,
            idle: config.idle,
            total: config.total,
            key,
            most_kept: config.kept_connections,
            kept: Mutex::default(),
            failed_until_ms: AtomicU64::new(0),
        })
    }

    /// A text without the upstream's key: servers repeat keys in their errors.
    pub fn mask(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| key.mask(text))
    }

    /// Whether it failed a moment ago.
    pub fn is_failing(&self, passed_ms: u64) -> bool {
        passed_ms < self.failed_until_ms.load(Ordering::Relaxed)
    }

    fn note(&self, worked: bool, passed_ms: u64) {
        let until = if worked { 0 } else { passed_ms.saturating_add(1_000) };
        self.failed_until_ms.store(until, Ordering::Relaxed);
    }

    /// Sends a request and waits for the head of its answer. A connection that was kept and turns out to be dead is
    /// replaced by a new one; that is the only second try.
    ///
    /// # Errors
    /// Why there is no answer. Nothing of one has arrived then.
    pub async fn send(
        self: &Arc<Self>,
        dial: &dyn Dial,
        outgoing: &Outgoing,
        passed_ms: u64,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let late = || SendError::TimedOut(self.name.clone());
        let sent = tokio::time::timeout(self.first_byte, self.attempt(dial, outgoing)).await;
        let sent = sent.unwrap_or_else(|_| Err(late()));
        self.note(!matches!(sent, Err(SendError::Connect { .. } | SendError::Broken { .. })), passed_ms);
        sent
    }

    async fn attempt(
        self: &Arc<Self>,
        dial: &dyn Dial,
        outgoing: &Outgoing,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let mut request = self.request(outgoing)?;
        while let Some(mut connection) = self.take_kept() {
            if connection.sender.ready().await.is_err() {
                continue;
            }
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(connection))),
                // It may have closed while it was idle: nothing of an answer came, so a new one is tried.
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None if error.error().is_incomplete_message() => request = self.request(outgoing)?,
                    None => return Err(self.broken(error.into_error())),
                },
            }
        }
        let mut connection = self.connect(dial).await?;
        let response = connection.sender.send_request(request).await.map_err(|error| self.broken(error))?;
        Ok((response, self.lease(connection)))
    }

    fn broken(&self, error: hyper::Error) -> SendError {
        SendError::Broken { upstream: self.name.clone(), error }
    }

    fn lease(self: &Arc<Self>, connection: Connection) -> Lease {
        Lease { connection, upstream: Arc::clone(self) }
    }

    fn take_kept(&self) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(connection) = kept.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(&self, dial: &dyn Dial) -> Result<Connection, SendError> {
        let failed = |error| SendError::Connect { upstream: self.name.clone(), error };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        let io = tokio::time::timeout(self.connect, dial.dial(&self.address)).await;
        let io = io.unwrap_or_else(|_| Err(late())).map_err(failed)?;
        let handshake = http1::Builder::new().handshake(io).await;
        let (sender, connection) = handshake.map_err(|error| failed(io::Error::other(error)))?;
        let driver = tokio::spawn(async move {
            // What went wrong shows where the answer is read.
            let _ = connection.await;
        });
        Ok(Connection { sender, driver: driver.abort_handle() })
    }

    fn request(&self, outgoing: &Outgoing) -> Result<Request<Full<Bytes>>, SendError> {
        let wrong = || SendError::Key(self.name.clone());
        let mut request = Request::new(Full::new(outgoing.body.clone()));
        *request.method_mut() = Method::POST;
        let path = format!("{}{}", self.address.path, outgoing.path);
        *request.uri_mut() = path.parse().map_err(|_| wrong())?;
        *request.headers_mut() = outgoing.headers.clone();
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&self.address.authority).map_err(|_| wrong())?;
        headers.insert(hyper::header::HOST, host);
        if let Some(key) = &self.key {
            let (name, value) = match self.api {
                Api::OpenAi => (hyper::header::AUTHORIZATION, format!("Bearer {}", key.expose())),
                Api::Anthropic => (HeaderName::from_static("x-api-key"), key.expose().to_owned()),
            };
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name).field("address", &self.address).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_strictly() {
        let address = Address::parse("http://127.0.0.1:8000/v1/").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.path.as_str()), ("127.0.0.1", 8000, "/v1"));
        let six = Address::parse("https://[::1]/v1").unwrap();
        assert_eq!((six.host.as_str(), six.port, six.authority.as_str()), ("::1", 443, "[::1]"));
        for wrong in ["127.0.0.1:1", "ftp://h/", "http://h/?x=1", "http://", "http://a b/"] {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
        let error = Address::parse("http://me:sesame@h/").unwrap_err();
        assert!(!error.contains("sesame"));
    }

    #[test]
    fn keys_travel_unread_only() {
        for (text, private) in [
            ("http://127.0.0.1/v1", true),
            ("http://localhost/v1", true),
            ("https://a.example/v1", true),
            ("http://a.example/v1", false),
            ("http://10.0.0.1/v1", false),
        ] {
            assert_eq!(Address::parse(text).unwrap().is_private(), private, "{text}");
        }
    }
}
