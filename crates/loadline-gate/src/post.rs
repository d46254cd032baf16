//! Requests to servers that are no models and no authority: witnesses, a collector of traces.

use std::time::Duration;

/// What a server answered, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The HTTP status.
    pub status: u16,
    /// The body, whole.
    pub body: Vec<u8>,
}

/// Sends bytes and waits for the answer. Whoever links a client for HTTP gives the gate one. It is asked by threads that
/// wait, never by one that serves callers.
pub trait Post: Send + Sync {
    /// Posts a body of a content type to a URL, and reads at most `most` bytes of the answer. Blocks, for as long as
    /// `within` at most.
    ///
    /// # Errors
    /// Why there is no answer, in words that may be shown.
    fn post(
        &self,
        url: &str,
        content_type: &'static str,
        body: Vec<u8>,
        most: usize,
        within: Duration,
    ) -> Result<Posted, String>;
}

/// Nobody to ask: every request fails.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Post for Nowhere {
    fn post(&self, url: &str, _: &'static str, _: Vec<u8>, _: usize, _: Duration) -> Result<Posted, String> {
        Err(format!("nothing here asks {url}"))
    }
}
