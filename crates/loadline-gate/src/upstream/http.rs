//! An upstream by HTTP: connections that are kept, and one attempt at a request.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use loadline_core::Secret;
use tokio::task::AbortHandle;

use super::address::{Address, Dial};
use super::{Outgoing, SendError};
use crate::config::Api;

/// A connection of its own for one request, until it is given back or dropped. Dropping it closes the connection at
/// once, whatever the upstream is doing.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A connection with an answer on it.
pub(crate) struct Lease {
    connection: Connection,
    http: Arc<Http>,
}

impl Lease {
    /// Gives the connection back for another request: the answer was read to its end.
    pub(super) fn give_back(self) {
        let mut kept = self.http.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.http.most_kept && !self.connection.sender.is_closed() {
            kept.push(self.connection);
        }
    }
}

/// A server that is spoken to by HTTP.
pub(super) struct Http {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Where.
    pub(super) address: Address,
    pub(super) api: Api,
    /// Longest wait for a connection.
    pub(super) connect: Duration,
    pub(super) key: Option<Secret>,
    /// Connections that are kept at most.
    pub(super) most_kept: usize,
    pub(super) kept: Mutex<Vec<Connection>>,
}

impl Http {
    /// Sends a request and waits for the head of its answer. A connection that was kept and turns out to be dead is
    /// replaced by a new one; that is the only second try.
    pub(super) async fn attempt(
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
        Lease { connection, http: Arc::clone(self) }
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
