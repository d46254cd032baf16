//! OpenAI-compatible endpoints: chat completions and completions.

mod align;
mod loglik;
mod reply;
mod request;
mod stream;

use hyper::Uri;
use hyper::header::AUTHORIZATION;
use loadline_core::model::{
    Basis, BoxFuture, CallContext, Capabilities, Generate, ModelIdentity, ModelOutput, Prompt, Request,
};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelRef};
use tokio::sync::OnceCell;

use self::loglik::EchoWay;
use self::reply::{Reply, Writing};
use crate::base_url::BaseUrl;
use crate::key;
use crate::options::{ApiChoice, Environment, HttpOptions, MaxTokensField, ModelArgs};
use crate::transport::{Answer, Transport};

pub(crate) use self::reply::cut_at_stop;
pub(crate) use self::request::{PromptBytes, serialize};

/// Where OpenAI itself is.
const HOME: &str = "https://api.openai.com/v1";

/// A model behind an OpenAI-compatible endpoint.
pub(crate) struct OpenAi {
    reference: ModelRef,
    options: HttpOptions,
    max_tokens_field: MaxTokensField,
    transport: Transport,
    chat: Uri,
    completions: Uri,
    /// How log-probabilities are had, found out at the first request for them.
    way: OnceCell<EchoWay>,
}

impl OpenAi {
    pub(crate) fn open(
        reference: &ModelRef,
        args: &ModelArgs,
        environment: &Environment,
    ) -> Result<Self, ModelError> {
        let options = HttpOptions::from_args("openai", args)?;
        let home = BaseUrl::parse(HOME)?;
        let base = args.base_url.as_deref().map_or_else(|| Ok(home.clone()), BaseUrl::parse)?;
        let is_home = base.host() == home.host();
        let (key, source) = key::find("OPENAI_API_KEY", &options, environment, &base, is_home)?;
        let mut headers = key::extra_headers(&options, environment)?;
        headers.extend(key.map(|key| (AUTHORIZATION, "Bearer ".to_owned(), key)));
        if is_home {
            headers.extend(key::account_headers(environment)?);
        }
        let field = if is_home { MaxTokensField::MaxCompletionTokens } else { MaxTokensField::MaxTokens };
        Ok(Self {
            reference: reference.clone(),
            max_tokens_field: options.max_tokens_field.unwrap_or(field),
            chat: base.join("/chat/completions")?,
            completions: base.join("/completions")?,
            transport: Transport::new(base, environment, headers, source)?.for_model(&reference.name),
            options,
            way: OnceCell::new(),
        })
    }

    async fn generate(&self, asked: &Generate) -> Result<ModelOutput, ModelError> {
        let (name, options) = (&self.reference.name, &self.options);
        let (uri, body) = match (&asked.prompt, options.api) {
            (Prompt::Text(text), ApiChoice::Completions) => {
                (&self.completions, request::completion(name, options, text, &asked.sampling)?)
            }
            (Prompt::Chat(_), ApiChoice::Completions) => return Err(no_conversations()),
            _ => (&self.chat, request::chat(name, options, self.max_tokens_field, asked)?),
        };
        match self.transport.post(uri, body).await? {
            Answer::Events(body) => self.streamed(body, &asked.sampling.stop).await,
            Answer::Whole(body) => self.whole(&body, &asked.sampling.stop),
        }
    }

    fn whole(&self, body: &[u8], stops: &[String]) -> Result<ModelOutput, ModelError> {
        let reply: Reply = self.transport.parse(body)?;
        let Some(choice) = reply.choices.into_iter().next() else {
            return Err(self.transport.foreign(body, &"no choices in it"));
        };
        if choice.message.is_none() && choice.text.is_none() {
            return Err(self.transport.foreign(body, &"neither message nor text in it"));
        }
        self.transport.answered();
        let mut writing = Writing::default();
        writing.used(reply.usage);
        writing.add(choice.message, choice.text, choice.finish_reason);
        Ok(writing.finish(stops))
    }
}

fn no_conversations() -> ModelError {
    let message = "api=completions continues plain text, and this task asks by conversation";
    ModelError::new(ModelErrorKind::Unsupported, message).with_hint("leave --model-arg api=completions out")
}

impl Model for OpenAi {
    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn identity(&self) -> ModelIdentity {
        let mut settings = self.options.settings.clone();
        settings.insert("base_url".to_owned(), self.transport.base().to_string());
        settings.entry("api".to_owned()).or_insert_with(|| "auto".to_owned());
        ModelIdentity { basis: Basis::SelfReported, weights: None, settings }
    }

    fn capabilities(&self) -> Capabilities {
        let loglikelihood = self.options.api != ApiChoice::Chat;
        Capabilities { generate: true, loglikelihood, max_concurrency: None }
    }

    fn call<'a>(
        &'a self,
        request: &'a Request,
        _context: &'a CallContext<'a>,
    ) -> BoxFuture<'a, Result<ModelOutput, ModelError>> {
        Box::pin(async move {
            match request {
                Request::Generate(asked) => Ok(self.transport.masked(self.generate(asked).await?)),
                Request::Loglikelihood(asked) => self.loglikelihood(asked).await,
                Request::Rolling(asked) => self.rolling(asked).await,
            }
        })
    }
}
