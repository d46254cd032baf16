//! Addresses, and how connections to them are made.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;

use hyper_util::rt::TokioIo;
use loadline_core::untrusted::one_line;
use tokio::net::TcpStream;

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
