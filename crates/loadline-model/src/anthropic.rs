//! Anthropic's messages.

use hyper::Uri;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use loadline_core::model::{
    Basis, BoxFuture, CallContext, Capabilities, Generate, Message, ModelIdentity, ModelOutput, Prompt,
    Request, Role, StopReason, Usage,
};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelRef};
use serde::{Deserialize, Serialize};

use crate::base_url::BaseUrl;
use crate::key;
use crate::openai::{PromptBytes, cut_at_stop, serialize};
use crate::options::{Environment, HttpOptions, ModelArgs};
use crate::sse::Parser;
use crate::transport::{Answer, Transport};

/// Where Anthropic itself is.
const HOME: &str = "https://api.anthropic.com/v1";

/// A model behind Anthropic's messages API. It takes no seed; one in the request is not sent.
pub(crate) struct Anthropic {
    reference: ModelRef,
    options: HttpOptions,
    transport: Transport,
    messages: Uri,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    system: String,
    messages: Vec<Turn<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<bool>,
}

#[derive(Serialize)]
struct Turn<'a> {
    role: &'static str,
    content: &'a str,
}

#[derive(Deserialize)]
struct Reply {
    content: Vec<Block>,
    #[serde(default)]
    stop_reason: Option<Stop>,
    #[serde(default)]
    usage: Tokens,
}

/// A block of an answer, or a piece of one. Thinking has other fields and counts in `usage` only.
#[derive(Default, Deserialize)]
struct Block {
    #[serde(default)]
    text: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Stop {
    EndTurn,
    #[serde(rename = "stop_sequence")]
    Sequence,
    MaxTokens,
    ModelContextWindowExceeded,
    Refusal,
    #[serde(other)]
    Other,
}

impl From<Stop> for StopReason {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::EndTurn | Stop::Sequence => Self::Stop,
            Stop::MaxTokens | Stop::ModelContextWindowExceeded => Self::Length,
            Stop::Refusal => Self::ContentFilter,
            Stop::Other => Self::Other,
        }
    }
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl Tokens {
    /// Takes what a later count says; those it leaves out stay.
    fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
    }
}

impl From<Tokens> for Usage {
    fn from(tokens: Tokens) -> Self {
        let input = [tokens.input_tokens, tokens.cache_creation_input_tokens, tokens.cache_read_input_tokens];
        Self {
            input_tokens: input.into_iter().flatten().sum(),
            output_tokens: tokens.output_tokens.unwrap_or_default(),
        }
    }
}

/// One event of a streamed answer; what an event does not have stays empty.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    message: Option<Started>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Started {
    #[serde(default)]
    usage: Tokens,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    stop_reason: Option<Stop>,
}

impl Anthropic {
    pub(crate) fn open(
        reference: &ModelRef,
        args: &ModelArgs,
        environment: &Environment,
    ) -> Result<Self, ModelError> {
        let options = HttpOptions::from_args("anthropic", args)?;
        let home = BaseUrl::parse(HOME)?;
        let base = args.base_url.as_deref().map_or_else(|| Ok(home.clone()), BaseUrl::parse)?.or_path("/v1");
        let is_home = base.host() == home.host();
        let (key, source) = key::find("ANTHROPIC_API_KEY", &options, environment, &base, is_home)?;
        let mut headers = key::extra_headers(&options, environment)?;
        headers.extend(key.map(|key| (HeaderName::from_static("x-api-key"), String::new(), key)));
        let messages = base.join("/messages")?;
        let transport = Transport::new(base, environment, headers, source)?;
        let transport = transport.with_header("anthropic-version", "2023-06-01");
        Ok(Self { reference: reference.clone(), options, transport, messages })
    }

    async fn generate(&self, asked: &Generate) -> Result<ModelOutput, ModelError> {
        let body = self.body(asked);
        let body = serialize(&body, &self.options.more_body, asked.prompt_bytes())?;
        let mut output = match self.transport.post(&self.messages, body).await? {
            Answer::Events(body) => self.streamed(body).await?,
            Answer::Whole(body) => self.whole(&body)?,
        };
        if cut_at_stop(&mut output.completion, &asked.sampling.stop) {
            output.stop_reason = StopReason::Stop;
        }
        Ok(output)
    }

    fn body<'a>(&'a self, asked: &'a Generate) -> Body<'a> {
        let (options, sampling) = (&self.options, &asked.sampling);
        let (system, messages) = match &asked.prompt {
            Prompt::Text(text) => (String::new(), vec![Turn { role: "user", content: text }]),
            Prompt::Chat(messages) => conversation(messages),
        };
        // It takes no stop text of white space alone; what it does not take is applied to what comes back.
        let stops = sampling.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty());
        Body {
            model: &self.reference.name,
            max_tokens: sampling.max_tokens,
            system,
            messages,
            temperature: sampling.temperature.filter(|_| options.sends("temperature")),
            top_p: sampling.top_p.filter(|_| options.sends("top_p")),
            stop_sequences: stops.filter(|_| options.sends("stop")).collect(),
            stream: options.stream.then_some(true),
        }
    }

    fn whole(&self, body: &[u8]) -> Result<ModelOutput, ModelError> {
        let reply: Reply = self.transport.parse(body)?;
        self.transport.answered();
        Ok(ModelOutput {
            completion: reply.content.into_iter().filter_map(|block| block.text).collect(),
            stop_reason: reply.stop_reason.map_or(StopReason::Other, StopReason::from),
            loglikelihoods: Vec::new(),
            usage: reply.usage.into(),
        })
    }

    /// Reads a stream to its end. One that ends before `message_stop` is cut short.
    async fn streamed(&self, mut body: Incoming) -> Result<ModelOutput, ModelError> {
        let transport = &self.transport;
        let (mut parser, mut room, mut done) = (Parser::default(), transport.room(), false);
        let (mut text, mut stop, mut tokens) = (String::new(), None, Tokens::default());
        while !done {
            let Some(piece) = transport.piece(&mut body, &mut room).await? else { break };
            parser.feed(&piece, |event| {
                let data = event.data.as_bytes();
                let event: Event = transport.parse(data)?;
                match event.kind.as_str() {
                    "error" => return Err(transport.foreign(data, &"an error event")),
                    "message_stop" => done = true,
                    _ => {}
                }
                if let Some(started) = event.message {
                    tokens.update(started.usage);
                }
                text.extend(event.content_block.and_then(|block| block.text));
                if let Some(delta) = event.delta {
                    text.extend(delta.text);
                    stop = delta.stop_reason.or(stop);
                }
                tokens.update(event.usage.unwrap_or_default());
                Ok(())
            })?;
        }
        if !done {
            let message = format!("the stream of {} ended before the answer did", transport.base());
            return Err(transport.error(ModelErrorKind::Malformed, &message));
        }
        transport.answered();
        let stop_reason = stop.map_or(StopReason::Other, StopReason::from);
        Ok(ModelOutput { completion: text, stop_reason, loglikelihoods: Vec::new(), usage: tokens.into() })
    }
}

/// System messages go apart; the turns stay in order.
fn conversation(messages: &[Message]) -> (String, Vec<Turn<'_>>) {
    let (system, turns): (Vec<&Message>, Vec<&Message>) =
        messages.iter().partition(|message| message.role == Role::System);
    let system = system.into_iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n\n");
    let turn = |message: &'_ Message| message.role.name();
    (
        system,
        turns.into_iter().map(|message| Turn { role: turn(message), content: &message.content }).collect(),
    )
}

impl Model for Anthropic {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        let mut settings = self.options.settings.clone();
        settings.insert("base_url".to_owned(), self.transport.base().to_string());
        settings.insert("api".to_owned(), "messages".to_owned());
        ModelIdentity { basis: Basis::SelfReported, weights: None, settings }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { generate: true, loglikelihood: false, max_concurrency: None }
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        _context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        Box::pin(async move {
            match request {
                Request::Generate(asked) => Ok(self.transport.masked(self.generate(asked).await?)),
                Request::Loglikelihood(_) | Request::Rolling(_) => Err(no_loglikelihoods()),
            }
        })
    }
}

fn no_loglikelihoods() -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, "Anthropic's models give no log-likelihoods")
        .with_hint("use a task that generates, or a model in this process (gguf/PATH)")
}
