//! What the user may set on a model over HTTP.

use std::collections::BTreeMap;

use hyper::header::{HeaderName, HeaderValue};
use loadline_core::suggest::nearest;
use loadline_core::untrusted::one_line;
use loadline_core::{ModelError, ModelErrorKind, Secret};

/// What the user said of a model besides its reference: `--base-url` and each `--model-arg KEY=VALUE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelArgs {
    /// Where the endpoint is, up to and including its version: `http://127.0.0.1:8000/v1`.
    pub base_url: Option<String>,
    /// The `KEY=VALUE` pairs, in order.
    pub pairs: Vec<(String, String)>,
}

impl ModelArgs {
    /// Splits each `KEY=VALUE`.
    ///
    /// # Errors
    /// [`ModelErrorKind::Refused`] for a text without `=` or with an empty key.
    pub fn parse<S: AsRef<str>>(base_url: Option<String>, pairs: &[S]) -> Result<Self, ModelError> {
        let pairs = pairs.iter().map(|pair| split(pair.as_ref())).collect::<Result<_, _>>()?;
        Ok(Self { base_url, pairs })
    }
}

fn split(pair: &str) -> Result<(String, String), ModelError> {
    match pair.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(refused(format!("`{}` is not a model argument", one_line(pair, 60)))
            .with_hint("write it as KEY=VALUE, for example --model-arg api=chat")),
    }
}

/// The variables that keys and proxies are read from: a snapshot, so that tests need not change the process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process; those that are not UTF-8 are left out.
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// An environment of these variables only.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// A variable, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.trim().is_empty())
    }

    /// The first of these variables that is set.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Variables hold keys: only the names are shown.
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Which of an OpenAI-compatible endpoint's protocols is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApiChoice {
    /// Chat completions to write, completions with `echo` for log-likelihoods.
    #[default]
    Auto,
    /// Chat completions only.
    Chat,
    /// Completions only.
    Completions,
}

/// The name of the field that carries the token limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxTokensField {
    /// `max_tokens`: what most compatible servers know.
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

/// The `KEY=VALUE` options of a model over HTTP, read and checked.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// `api=auto|chat|completions`
    pub api: ApiChoice,
    /// `stream=true|false`: answers as a stream of events.
    pub stream: bool,
    /// `key_env=NAME`: the variable that holds the key.
    pub key_env: Option<String>,
    /// `max_tokens_field=max_tokens|max_completion_tokens`
    pub max_tokens_field: Option<MaxTokensField>,
    /// `omit=FIELD,FIELD`: sampling fields that are not sent because the endpoint refuses them.
    pub omit: Vec<String>,
    /// `header=NAME:VARIABLE`, any number: a header whose value is in that variable.
    pub headers: Vec<(HeaderName, String)>,
    /// `body={…}`: more fields of the request, as a JSON object without its braces; empty when there are none.
    pub more_body: String,
    /// What changes answers, for the model's identity.
    pub settings: BTreeMap<String, String>,
}

/// The keys that `--model-arg` takes for a model over HTTP, each with its values.
pub const KEYS: [(&str, &str); 7] = [
    ("api", "auto|chat|completions"),
    ("stream", "true|false"),
    ("key_env", "NAME"),
    ("max_tokens_field", "max_tokens|max_completion_tokens"),
    ("omit", "temperature,top_p,seed,stop"),
    ("header", "NAME:VARIABLE"),
    ("body", "{\"FIELD\": VALUE}"),
];

/// The sampling fields that can be left out.
const SAMPLING: [&str; 4] = ["temperature", "top_p", "seed", "stop"];

/// The fields of a request that are Loadline's to set.
const RESERVED: [&str; 12] = [
    "model",
    "messages",
    "prompt",
    "system",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "n",
    "echo",
    "logprobs",
    "stop_sequences",
];

impl HttpOptions {
    /// Reads the options of a provider (`openai`, `anthropic`).
    ///
    /// # Errors
    /// [`ModelErrorKind::Refused`] for a key that the provider does not know (with the nearest one it does) and for a
    /// value that is not one of the key's.
    pub fn from_args(provider: &str, args: &ModelArgs) -> Result<Self, ModelError> {
        let mut options = Self::default();
        for (key, value) in &args.pairs {
            options.set(provider, key, value.trim())?;
            let changes_answers = !matches!(key.as_str(), "key_env" | "header" | "stream");
            if changes_answers {
                options.settings.insert(key.clone(), value.trim().to_owned());
            }
        }
        Ok(options)
    }

    fn set(&mut self, provider: &str, key: &str, value: &str) -> Result<(), ModelError> {
        match key {
            _ if !known(provider).any(|known| known == key) => return Err(unknown_key(provider, key)),
            "api" => self.api = one_of(key, value, &API)?,
            "stream" => self.stream = one_of(key, value, &[("true", true), ("false", false)])?,
            "key_env" => self.key_env = Some(value.to_owned()),
            "max_tokens_field" => self.max_tokens_field = Some(one_of(key, value, &FIELDS)?),
            "omit" => {
                for field in value.split(',').map(str::trim) {
                    let fields = SAMPLING.map(|name| (name, name));
                    self.omit.push(one_of(key, field, &fields)?.to_owned());
                }
            }
            "header" => self.headers.push(header(value)?),
            _ => self.more_body = more_body(value)?,
        }
        Ok(())
    }

    /// Whether a sampling field is to be sent.
    pub(crate) fn sends(&self, field: &str) -> bool {
        !self.omit.iter().any(|omitted| omitted == field)
    }
}

const API: [(&str, ApiChoice); 3] =
    [("auto", ApiChoice::Auto), ("chat", ApiChoice::Chat), ("completions", ApiChoice::Completions)];

const FIELDS: [(&str, MaxTokensField); 2] = [
    ("max_tokens", MaxTokensField::MaxTokens),
    ("max_completion_tokens", MaxTokensField::MaxCompletionTokens),
];

fn known(provider: &str) -> impl Iterator<Item = &'static str> {
    let openai = provider == "openai";
    KEYS.iter().map(|(key, _)| *key).filter(move |key| openai || !matches!(*key, "api" | "max_tokens_field"))
}

fn unknown_key(provider: &str, key: &str) -> ModelError {
    let error = refused(format!("`{}` is not a model argument of {provider} models", one_line(key, 40)));
    match nearest(key, known(provider)) {
        Some(near) => error.with_hint(format!("did you mean `{near}`?")),
        None => {
            let all: Vec<_> = known(provider).collect();
            error.with_hint(format!("known: {}", all.join(", ")))
        }
    }
}

fn one_of<T: Copy>(key: &str, value: &str, known: &[(&str, T)]) -> Result<T, ModelError> {
    if let Some((_, meaning)) = known.iter().find(|(name, _)| *name == value) {
        return Ok(*meaning);
    }
    let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
    let error = refused(format!("model argument {key}=`{}`: not a value of it", one_line(value, 40)));
    Err(match nearest(value, names.iter().copied()) {
        Some(near) => error.with_hint(format!("did you mean `{near}`? Known: {}", names.join(", "))),
        None => error.with_hint(format!("known: {}", names.join(", "))),
    })
}

fn header(value: &str) -> Result<(HeaderName, String), ModelError> {
    let bad = || {
        refused(format!("model argument header=`{}`: not NAME:VARIABLE", one_line(value, 40))).with_hint(
            "the value of the header is read from that environment variable: header=api-key:AZURE_API_KEY",
        )
    };
    let (name, variable) = value.split_once(':').ok_or_else(bad)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| bad())?;
    if variable.trim().is_empty() {
        return Err(bad());
    }
    Ok((name, variable.trim().to_owned()))
}

fn more_body(value: &str) -> Result<String, ModelError> {
    let fields: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(value).map_err(|error| {
            refused(format!("model argument body: not a JSON object: {error}"))
                .with_hint("for example --model-arg 'body={\"reasoning_effort\": \"low\"}'")
        })?;
    if let Some(field) = fields.keys().find(|field| RESERVED.contains(&field.as_str())) {
        return Err(refused(format!("model argument body: `{field}` is set by Loadline"))
            .with_hint("the task and the options --max-tokens, --temperature and --model-arg set it"));
    }
    let text = serde_json::Value::Object(fields).to_string();
    Ok(text[1..text.len() - 1].to_owned())
}

/// A key or header value from the environment, fit to be sent.
pub(crate) fn secret_value(environment: &Environment, variable: &str) -> Result<Option<Secret>, ModelError> {
    let Some(value) = environment.get(variable) else { return Ok(None) };
    let value = value.trim();
    match HeaderValue::from_str(value) {
        Ok(_) if value.is_ascii() => Ok(Some(Secret::new(value))),
        _ => Err(ModelError::new(
            ModelErrorKind::Unauthorized,
            format!("the value of {variable} cannot be a key: it has characters that HTTP does not send"),
        )
        .with_hint(format!("set {variable} again, without quotes or line breaks"))),
    }
}

pub(crate) fn refused(message: impl Into<String>) -> ModelError {
    ModelError::new(ModelErrorKind::Refused, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(provider: &str, pairs: &[&str]) -> Result<HttpOptions, ModelError> {
        HttpOptions::from_args(provider, &ModelArgs::parse(None, pairs)?)
    }

    #[test]
    fn reads_every_key() {
        let all = [
            "api=completions",
            "stream=true",
            "key_env=MY_KEY",
            "max_tokens_field=max_completion_tokens",
            "omit=temperature, seed",
            "header=api-key:AZURE_KEY",
            "body={\"reasoning_effort\": \"low\"}",
        ];
        let read = options("openai", &all).unwrap();
        assert_eq!((read.api, read.stream), (ApiChoice::Completions, true));
        assert_eq!(read.key_env.as_deref(), Some("MY_KEY"));
        assert_eq!(read.max_tokens_field, Some(MaxTokensField::MaxCompletionTokens));
        assert!(!read.sends("temperature") && !read.sends("seed") && read.sends("top_p"));
        assert_eq!(read.headers, [(HeaderName::from_static("api-key"), "AZURE_KEY".to_owned())]);
        assert_eq!(read.more_body, r#""reasoning_effort":"low""#);
        // Neither where a key is nor how an answer travels is part of what the model is.
        let settings: Vec<_> = read.settings.keys().map(String::as_str).collect();
        assert_eq!(settings, ["api", "body", "max_tokens_field", "omit"]);
    }

    #[test]
    fn mistakes_are_named_with_advice() {
        let cases = [
            ("openai", "apl=chat", "`apl` is not a model argument of openai models", "did you mean `api`?"),
            ("openai", "api=chta", "model argument api=`chta`", "did you mean `chat`?"),
            ("openai", "precision=f32", "`precision` is not a model argument", "known: api, stream,"),
            ("anthropic", "api=chat", "`api` is not a model argument of anthropic models", "known: stream,"),
            ("openai", "stream=yes", "model argument stream=`yes`", "known: true, false"),
            ("openai", "omit=max_tokens", "model argument omit=`max_tokens`", "known: temperature,"),
            ("openai", "header=api-key", "header=`api-key`: not NAME:VARIABLE", "environment variable"),
            ("openai", "body=[1]", "body: not a JSON object", "reasoning_effort"),
            ("openai", "body={\"model\": 1}", "body: `model` is set by Loadline", "--max-tokens"),
            ("openai", "stream", "`stream` is not a model argument", "KEY=VALUE"),
        ];
        for (provider, pair, message, hint) in cases {
            let error = options(provider, &[pair]).unwrap_err();
            assert!(error.message.contains(message), "{pair}: {}", error.message);
            assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{pair}: {:?}", error.hint);
        }
    }

    #[test]
    fn an_environment_shows_no_values() {
        assert_eq!(format!("{:?}", Environment::of([("KEY", "sk-123456")])), r#"{"KEY"}"#);
    }

    #[test]
    fn a_key_that_http_cannot_carry_is_refused_without_showing_it() {
        let environment = Environment::of([("KEY", "sk-\u{5d0}"), ("GOOD", " sk-1 \n")]);
        let error = secret_value(&environment, "KEY").unwrap_err();
        assert!(error.message.contains("KEY") && !error.message.contains("sk-"), "{}", error.message);
        assert_eq!(secret_value(&environment, "GOOD").unwrap().unwrap().expose(), "sk-1");
        assert!(secret_value(&environment, "NONE").unwrap().is_none());
    }
}
