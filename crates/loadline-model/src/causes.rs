//! What is behind an error of a connection.

use std::error::Error as StdError;

use loadline_core::ModelErrorKind;
use loadline_core::untrusted::one_line;

/// What a failure of TLS means, and what to do about it.
pub(crate) fn tls(error: &rustls::Error) -> (ModelErrorKind, &'static str) {
    match error {
        rustls::Error::InvalidMessage(_) => {
            (ModelErrorKind::NotFound, "it does not seem to speak TLS: is it http:// rather than https://?")
        }
        rustls::Error::InvalidCertificate(_) => (
            ModelErrorKind::Unauthorized,
            "a private authority's certificate can be trusted by SSL_CERT_FILE=FILE",
        ),
        _ => (ModelErrorKind::Connection, "TLS failed; the server or a proxy on the way may be at fault"),
    }
}

/// The first error of a type among an error and its causes, looking into wrapped IO errors as well.
pub(crate) fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}

/// An error and its causes in one line, each said once.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !parts.last().is_some_and(|last| last.contains(&text)) {
            parts.push(text);
        }
        next = error.source();
    }
    one_line(&parts.join(": "), 300)
}
