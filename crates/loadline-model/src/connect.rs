//! Connections: direct or through a proxy, plain or TLS, each within a time limit.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use loadline_core::{ModelError, ModelErrorKind};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::base_url::BaseUrl;
use crate::options::{Environment, refused};

/// Name resolution, TCP, proxy and TLS together may take this long.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(15);

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Tls<T> = HttpsConnector<T>;

/// How one endpoint is reached. It is worked out once: a model has one endpoint.
#[derive(Clone)]
pub(crate) enum Dial {
    /// Straight to the endpoint.
    Direct(Tls<HttpConnector>),
    /// A plain request sent to a proxy, which passes it on.
    Forward { connector: Tls<HttpConnector>, proxy: Uri },
    /// An HTTP proxy that only carries bytes.
    Tunnel(Tls<Tunnel<HttpConnector>>),
    /// A SOCKS5 proxy.
    Socks(Tls<SocksV5<HttpConnector>>),
}

/// How to reach an endpoint, and what a forwarding proxy wants to see in each request.
pub(crate) struct Way {
    pub(crate) dial: Dial,
    pub(crate) proxy_authorization: Option<HeaderValue>,
}

/// Works out how to reach an endpoint, from the usual variables: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`,
/// `NO_PROXY`, in capitals or not. Nothing is sent through a proxy to this machine itself.
pub(crate) fn way(base: &BaseUrl, environment: &Environment) -> Result<Way, ModelError> {
    let tls = if base.is_https() { trusting_system(environment)? } else { trusting_nobody()? };
    way_with(base, environment, Arc::new(tls))
}

/// The same with what is trusted already known.
pub(crate) fn way_with(
    base: &BaseUrl,
    environment: &Environment,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Way, ModelError> {
    let direct = |dial| Way { dial, proxy_authorization: None };
    let Some(proxy) = proxy(base, environment)? else {
        return Ok(direct(Dial::Direct(Tls::from((tcp(), tls)))));
    };
    let uri = proxy.uri().clone();
    match uri.scheme_str() {
        Some("http") if base.is_https() => {
            let tunnel = Tunnel::new(uri, tcp());
            let tunnel = match proxy.basic_auth() {
                Some(authorization) => tunnel.with_auth(authorization.clone()),
                None => tunnel,
            };
            Ok(direct(Dial::Tunnel(Tls::from((tunnel, tls)))))
        }
        Some("http") => {
            let connector = Tls::from((tcp(), tls));
            let proxy_authorization = proxy.basic_auth().cloned();
            Ok(Way { dial: Dial::Forward { connector, proxy: uri }, proxy_authorization })
        }
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(uri.clone(), tcp()).local_dns(uri.scheme_str() == Some("socks5"));
            let socks = match proxy.raw_auth() {
                Some((user, password)) => socks.with_auth(user.to_owned(), password.to_owned()),
                None => socks,
            };
            Ok(direct(Dial::Socks(Tls::from((socks, tls)))))
        }
        _ => Err(refused(format!("proxy `{uri}`: proxies of this kind are not supported"))
            .with_hint("http:// and socks5:// proxies are; NO_PROXY names hosts that need none")),
    }
}

fn proxy(base: &BaseUrl, environment: &Environment) -> Result<Option<Intercept>, ModelError> {
    if base.is_loopback() {
        return Ok(None);
    }
    let setting =
        |upper: &str, lower: &str| environment.first(&[upper, lower]).unwrap_or_default().to_owned();
    // A server that runs this as a CGI program would let a visitor's header choose the proxy.
    let http = if environment.get("REQUEST_METHOD").is_some() {
        environment.get("http_proxy").unwrap_or_default().to_owned()
    } else {
        setting("HTTP_PROXY", "http_proxy")
    };
    let https = setting("HTTPS_PROXY", "https_proxy");
    let all = setting("ALL_PROXY", "all_proxy");
    let matcher = Matcher::builder()
        .http(http.clone())
        .https(https.clone())
        .all(all.clone())
        .no(setting("NO_PROXY", "no_proxy"))
        .build();
    let found = matcher.intercept(&base.join("/")?);
    let meant = if base.is_https() { [https, all] } else { [http, all] };
    let unread = Matcher::builder().all("http://unread.invalid").no(setting("NO_PROXY", "no_proxy")).build();
    if found.is_none()
        && meant.iter().any(|text| !text.is_empty())
        && unread.intercept(&base.join("/")?).is_some()
    {
        // Going round a proxy that was asked for could show the traffic to others: stop instead.
        return Err(refused("the proxy named in the environment is not a URL of a kind that is supported")
            .with_hint(
                "set HTTPS_PROXY, HTTP_PROXY or ALL_PROXY to something like http://proxy.example:3128",
            ));
    }
    Ok(found)
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp.set_connect_timeout(Some(CONNECT_LIMIT));
    tcp
}

fn tls_builder() -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>, ModelError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ModelError::new(ModelErrorKind::Internal, format!("TLS cannot be set up: {error}")))
}

/// Trusts the authorities in `SSL_CERT_FILE` and `SSL_CERT_DIR`; without these, the system's.
pub(crate) fn trusting_system(environment: &Environment) -> Result<rustls::ClientConfig, ModelError> {
    let [file, folder] =
        ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(|name| environment.get(name).map(std::path::Path::new));
    let found = match (file, folder) {
        (None, None) => rustls_native_certs::load_native_certs(),
        (file, folder) => rustls_native_certs::load_certs_from_paths(file, folder),
    };
    let mut roots = rustls::RootCertStore::empty();
    // Systems keep a few certificates that no one can read any more: the others are what counts.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(refused(format!("there are no certificate authorities to trust{why}")).with_hint(
            "install the system's ca-certificates, or set SSL_CERT_FILE to a file of certificates",
        ));
    }
    Ok(tls_builder()?.with_root_certificates(roots).with_no_client_auth())
}

/// For an endpoint without TLS: reading the system's certificates would be work for nothing.
fn trusting_nobody() -> Result<rustls::ClientConfig, ModelError> {
    Ok(tls_builder()?.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

impl Service<Uri> for Dial {
    type Response = Wire;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(connector) | Self::Forward { connector, .. } => connector.poll_ready(context),
            Self::Tunnel(connector) => connector.poll_ready(context),
            Self::Socks(connector) => connector.poll_ready(context),
        }
    }

    fn call(&mut self, endpoint: Uri) -> Self::Future {
        let proxied = matches!(self, Self::Forward { .. });
        let connecting = match self {
            Self::Direct(connector) => connector.call(endpoint),
            Self::Forward { connector, proxy } => connector.call(proxy.clone()),
            Self::Tunnel(connector) => connector.call(endpoint),
            Self::Socks(connector) => connector.call(endpoint),
        };
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection within 15 seconds");
            let io = tokio::time::timeout(CONNECT_LIMIT, connecting).await.map_err(|_| late())??;
            Ok(Wire { io, proxied })
        })
    }
}

/// A connection that knows whether a proxy reads the requests on it.
pub(crate) struct Wire {
    io: MaybeHttpsStream<TokioIo<TcpStream>>,
    proxied: bool,
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.proxied)
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(url: &str, environment: &Environment) -> Result<&'static str, ModelError> {
        Ok(match way(&BaseUrl::parse(url)?, environment)?.dial {
            Dial::Direct(_) => "direct",
            Dial::Forward { .. } => "forward",
            Dial::Tunnel(_) => "tunnel",
            Dial::Socks(_) => "socks",
        })
    }

    #[test]
    fn the_usual_variables_choose_the_way() {
        let http = Environment::of([("HTTP_PROXY", "http://p:1"), ("NO_PROXY", "b.example, 10.0.0.0/8")]);
        assert_eq!(kind("http://a.example/v1", &http).unwrap(), "forward");
        assert_eq!(kind("http://b.example/v1", &http).unwrap(), "direct");
        assert_eq!(kind("http://10.1.2.3/v1", &http).unwrap(), "direct");
        assert_eq!(kind("http://127.0.0.1:1/v1", &http).unwrap(), "direct");
        let socks = Environment::of([("all_proxy", "socks5h://p:1")]);
        assert_eq!(kind("http://a.example/v1", &socks).unwrap(), "socks");
        let cgi = Environment::of([("HTTP_PROXY", "http://p:1"), ("REQUEST_METHOD", "GET")]);
        assert_eq!(kind("http://a.example/v1", &cgi).unwrap(), "direct");
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_never_gone_round() {
        for proxy in ["socks4://p:1", "https://p:1", "nonsense://p", "http://"] {
            let environment = Environment::of([("HTTP_PROXY", proxy)]);
            let error = kind("http://a.example/v1", &environment).unwrap_err();
            assert!(error.message.contains("proxy") && error.hint.is_some(), "{proxy}: {}", error.message);
        }
    }
}
