//! Models over HTTP against the fake endpoint of the testkit.
#![expect(clippy::unwrap_used, reason = "helpers of tests, like tests, may")]

mod anthropic;
mod errors;
mod hub;
mod loglik;
mod openai;
mod proxy;
mod tls;

use std::future::Future;
use std::sync::Arc;

use loadline_core::model::Request;
use loadline_core::model::{CallContext, Generate, Message, ModelOutput, Prompt, Role, Sampling};
use loadline_core::{Model, ModelError, Sample};
use loadline_model::{Environment, ModelArgs, open_in};
use loadline_testkit::endpoint::FakeEndpoint;

/// Runs on a runtime like the command line's.
fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A model at a base URL, with `KEY=VALUE` arguments.
fn model_at(reference: &str, base_url: &str, pairs: &[&str], environment: &Environment) -> Arc<dyn Model> {
    let args = ModelArgs::parse(Some(base_url.to_owned()), pairs).unwrap();
    open_in(&reference.parse().unwrap(), &args, environment).unwrap()
}

/// A model at the fake endpoint, without a key.
fn model(reference: &str, endpoint: &FakeEndpoint, pairs: &[&str]) -> Arc<dyn Model> {
    model_at(reference, &endpoint.base_url(), pairs, &Environment::default())
}

/// One attempt.
async fn call(model: &dyn Model, request: &Request) -> Result<ModelOutput, ModelError> {
    let sample = Sample {
        id: "s".to_owned(),
        input: request.clone(),
        target: vec!["never shown to a real model".to_owned()],
        gold: None,
        cluster: None,
        metadata: serde_json::Map::new(),
    };
    model.call(request, &CallContext { sample: &sample, epoch: 0, attempt: 1 }).await
}

fn sampling() -> Sampling {
    Sampling { max_tokens: 64, temperature: Some(0.0), top_p: None, stop: Vec::new(), seed: None }
}

/// A conversation of one user message.
fn ask(text: &str) -> Request {
    Request::Generate(Generate { prompt: Prompt::user(text), sampling: sampling() })
}

/// A plain text to continue.
fn continue_text(text: &str) -> Request {
    Request::Generate(Generate { prompt: Prompt::Text(text.to_owned()), sampling: sampling() })
}

/// A conversation.
fn chat(turns: &[(Role, &str)]) -> Request {
    let messages = turns.iter().map(|(role, text)| Message { role: *role, content: (*text).to_owned() });
    Request::Generate(Generate { prompt: Prompt::Chat(messages.collect()), sampling: sampling() })
}
