//! Plain requests to a server that is no model: a log, a witness. The same connections, proxies and limits.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Uri};
use loadline_core::{ModelError, ModelErrorKind, Secret};

use crate::base_url::BaseUrl;
use crate::options::Environment;
use crate::transport::{KeySource, Transport};

/// How long an exchange may take, from the connection to the last byte.
pub const WEB_LIMIT: Duration = Duration::from_secs(30);

/// What is sent unless another type is said.
const TEXT: &str = "text/plain; charset=utf-8";

/// A server at a URL, under whose path all requests go.
pub struct Web {
    transport: Transport,
    limit: Duration,
}

/// What a server answered, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Bytes,
}

impl Web {
    /// Prepares requests to `url` (`https://log.example/prefix`). Makes no call. Redirects are not followed.
    ///
    /// # Errors
    /// When the URL or a proxy of the environment cannot be used.
    pub fn open(url: &str, environment: &Environment) -> Result<Self, ModelError> {
        Self::open_with(url, environment, None)
    }

    /// The same with a key that every request carries (`Authorization: Bearer KEY`). See [`Web::is_private`].
    ///
    /// # Errors
    /// As [`Web::open`], and when the key cannot stand in a header.
    pub fn open_with(url: &str, environment: &Environment, key: Option<Secret>) -> Result<Self, ModelError> {
        let base = BaseUrl::exactly(url, "for example https://log.example.com/2026")?;
        let source = KeySource { variable: String::new(), sent: key.is_some() };
        let headers = key.map(|key| (AUTHORIZATION, "Bearer ".to_owned(), key)).into_iter().collect();
        Ok(Self { transport: Transport::new(base, environment, headers, source)?, limit: WEB_LIMIT })
    }

    /// The same with another time limit for each exchange.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The URL, without a slash at its end.
    pub fn url(&self) -> String {
        self.transport.base().to_string()
    }

    /// Whether what is sent stays within this machine or is encrypted.
    pub fn is_private(&self) -> bool {
        self.transport.base().is_https() || self.transport.base().is_loopback()
    }

    /// Fetches what is at a path below the URL; `path` begins with a slash.
    ///
    /// # Errors
    /// When there is no answer in time, or the body has more than `most` bytes.
    pub async fn get(&self, path: &str, most: usize) -> Result<Reply, ModelError> {
        self.exchange(Method::GET, path, TEXT, Bytes::new(), most).await
    }

    /// Posts bytes to a path below the URL; `path` begins with a slash.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn post(&self, path: &str, body: Vec<u8>, most: usize) -> Result<Reply, ModelError> {
        self.post_as(path, TEXT, body, most).await
    }

    /// As [`Web::post`], with another content type.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn post_as(
        &self,
        path: &str,
        content_type: &'static str,
        body: Vec<u8>,
        most: usize,
    ) -> Result<Reply, ModelError> {
        self.exchange(Method::POST, path, content_type, Bytes::from(body), most).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        content_type: &'static str,
        body: Bytes,
        most: usize,
    ) -> Result<Reply, ModelError> {
        let uri: Uri = self.transport.base().join(path)?;
        let asked = self.transport.exchange(method, &uri, content_type, body, most);
        match tokio::time::timeout(self.limit, asked).await {
            Ok(reply) => reply.map(|(status, body)| Reply { status, body }),
            Err(_) => {
                let message = format!("no answer from {} in {} s", self.url(), self.limit.as_secs());
                Err(ModelError::new(ModelErrorKind::Timeout, message))
            }
        }
    }
}
