//! Where an endpoint is.

use hyper::Uri;
use hyper::http::uri::{Authority, Scheme};
use loadline_core::ModelError;
use loadline_core::untrusted::one_line;

use crate::options::refused;

/// Scheme, host, port and the path that all of an endpoint's paths start with. Never holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    scheme: Scheme,
    authority: Authority,
    /// Without a slash at its end.
    path: String,
}

/// Paths that people copy along with the base URL.
const TAILS: [&str; 3] = ["/chat/completions", "/completions", "/messages"];

impl BaseUrl {
    /// Reads `http://HOST:PORT/v1`.
    pub(crate) fn parse(text: &str) -> Result<Self, ModelError> {
        let mut base = Self::exactly(text, "for example --base-url http://127.0.0.1:8000/v1")?;
        if let Some(path) = TAILS.iter().find_map(|tail| base.path.strip_suffix(tail)) {
            base.path = path.to_owned();
        }
        Ok(base)
    }

    /// Reads a URL without leaving out any of its path; `hint` shows one that is right.
    pub(crate) fn exactly(text: &str, hint: &str) -> Result<Self, ModelError> {
        let shown = one_line(&without_password(text), 120);
        let bad = |why: &str| refused(format!("base URL `{shown}`: {why}")).with_hint(hint);
        let text = text.trim();
        if text.contains(['?', '#']) {
            return Err(bad("it has a query or a fragment"));
        }
        let uri: Uri = text.parse().map_err(|_| bad("not a URL"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| bad("it does not start with http:// or https://"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(bad("it does not start with http:// or https://"));
        }
        let authority =
            parts.authority.filter(|a| !a.host().is_empty()).ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user name or password")
                .with_hint("keys come from the environment: --model-arg key_env=NAME"));
        }
        let path = parts.path_and_query.map_or_else(String::new, |path| path.path().to_owned());
        let path = path.trim_end_matches('/').to_owned();
        Ok(Self { scheme, authority, path })
    }

    /// The scheme, host and port of an address.
    pub(crate) fn of(uri: &Uri) -> Result<Self, ModelError> {
        let authority = uri.authority().map_or_else(String::new, ToString::to_string);
        Self::parse(&format!("{}://{authority}", uri.scheme_str().unwrap_or_default()))
    }

    /// The same place with this path when it has none.
    pub(crate) fn or_path(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }

    /// The address of a path below it, which starts with a slash.
    pub(crate) fn join(&self, path: &str) -> Result<Uri, ModelError> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(format!("{}{path}", self.path))
            .build()
            .map_err(|_| refused(format!("base URL `{self}`: {path} does not fit behind it")))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) fn host(&self) -> &str {
        self.authority.host()
    }

    /// Whether what is sent there stays on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// A URL with the part before an `@` hidden.
fn without_password(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***@{after}")
        }
        None => url.to_owned(),
    }
}

impl std::fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, shown) in [
            ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
            (" https://api.example.com/ ", "https://api.example.com"),
            ("http://h:1/v1/chat/completions", "http://h:1/v1"),
            ("http://h:1/v1/completions/", "http://h:1/v1"),
            ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b"),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().to_string(), shown);
        }
        let url = BaseUrl::parse("http://h/v1").unwrap();
        assert_eq!(url.join("/models").unwrap(), "http://h/v1/models");
        assert_eq!(BaseUrl::parse("https://h").unwrap().or_path("/v1").to_string(), "https://h/v1");
    }

    #[test]
    fn says_what_is_wrong_and_hides_passwords() {
        for (text, why) in [
            ("127.0.0.1:8000", "not start with http"),
            ("ftp://h/", "not start with http"),
            ("http://", "not a URL"),
            ("http://h/v1?key=1", "query"),
            ("http://a b/", "not a URL"),
            ("http://me:sesame@h/v1", "user name or password"),
        ] {
            let error = BaseUrl::parse(text).unwrap_err();
            assert!(error.message.contains(why), "{text}: {}", error.message);
            assert!(error.hint.is_some() && !error.message.contains("sesame"), "{}", error.message);
        }
    }

    #[test]
    fn loopback_is_known() {
        for (text, expected) in [
            ("http://localhost:1", true),
            ("http://127.8.0.1", true),
            ("http://[::1]:1", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(BaseUrl::parse(text).unwrap().is_loopback(), expected, "{text}");
        }
    }
}
