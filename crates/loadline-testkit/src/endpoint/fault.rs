//! What a fake endpoint can do wrong.

use std::time::Duration;

/// One misbehaviour, in place of a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 429, with this `Retry-After` when given (seconds or an HTTP date, as it stands).
    RateLimited(Option<String>),
    /// 500 with the provider's error body.
    Server,
    /// The provider's "overloaded": 529 with `overloaded_error`, on every path.
    Overloaded,
    /// 200 whose JSON stops half-way, with a matching length. Not counted as answered.
    TruncatedJson,
    /// 200 whose body stops half-way because the connection ends.
    CutBody,
    /// A stream that ends, cleanly, after its first pieces and before it says that it is done.
    TruncatedStream,
    /// A stream that breaks with an error event after its first pieces.
    ErrorMidStream,
    /// The connection is reset before any answer.
    Reset,
    /// The connection is closed before any answer.
    Close,
    /// No answer, ever: the client has to give up.
    Hang,
    /// This status with a web page as its body.
    Html(u16),
    /// 200 with JSON that is not what the protocol says.
    WrongShape,
    /// The good answer, a few bytes at a time with this pause in between.
    SlowBytes(Duration),
    /// 200 with this many bytes of JSON white space before the answer.
    HugeBody(usize),
    /// 401 with a message that repeats the key it was sent.
    EchoKey,
    /// 307 to this address.
    Redirect(String),
    /// 400 because the prompt does not fit.
    TooLong,
    /// The good protocol, but `content` is null.
    NullContent,
    /// The good protocol, but the model refuses: OpenAI's `refusal`, Anthropic's `stop_reason: refusal`.
    Refusal,
    /// The good protocol, but the provider withheld the answer.
    ContentFilter,
    /// A stream that never ends: an event, then another after each pause. It ends when the client leaves.
    Endless(Duration),
    /// A stream with usage in it, of this many tokens, whatever was written.
    Lies(u64),
    /// Exactly this.
    Raw {
        /// HTTP status.
        status: u16,
        /// Header names and values; `content-type` among them if there is to be one.
        headers: Vec<(String, String)>,
        /// The body.
        body: String,
    },
}

impl Fault {
    /// This status with this JSON body.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self::Raw { status, headers, body: body.to_string() }
    }

    /// Whether the client still gets the whole answer, so that asking again is paying twice.
    pub(super) fn is_answered(&self) -> bool {
        matches!(
            self,
            Self::SlowBytes(_) | Self::HugeBody(_) | Self::NullContent | Self::Refusal | Self::ContentFilter
        )
    }
}
