//! Log-likelihoods by echoed completions.

use loadline_core::model::{ContinuationLoglikelihood, Loglikelihood, ModelOutput, Prompt, Request, Rolling};
use loadline_core::{ModelError, ModelErrorKind};
use loadline_testkit::endpoint::{Echo, FakeEndpoint, Fault};

use crate::{call, model, run};

fn likelihoods(context: &str, continuations: &[&str]) -> Request {
    let continuations = continuations.iter().map(|&text| text.to_owned()).collect();
    Request::Loglikelihood(Loglikelihood { context: Prompt::Text(context.to_owned()), continuations })
}

fn rolling(text: &str) -> Request {
    Request::Rolling(Rolling { text: text.to_owned() })
}

/// Makes each token as likely as it is long, so that sums can be worked out by hand.
fn by_length(_before: &str, token: &str) -> f64 {
    -f64::from(u32::try_from(token.chars().count()).unwrap()) / 4.0
}

fn of(sum: f64, tokens: u32, greedy: bool) -> ContinuationLoglikelihood {
    ContinuationLoglikelihood { sum, tokens, greedy }
}

fn ask(endpoint: &FakeEndpoint, pairs: &[&str], request: &Request) -> Result<ModelOutput, ModelError> {
    run(call(&*model("openai/m", endpoint, pairs), request))
}

#[test]
fn continuations_are_summed_however_the_server_echoes() {
    for (echo, start, requests) in [
        (Echo::Full, None, 1),
        (Echo::Full, Some("<|begin_of_text|>"), 1),
        (Echo::OneByOne, None, 3),
        (Echo::OneByOne, Some("<s>"), 3),
    ] {
        let builder = FakeEndpoint::builder().echo(echo).logprob(by_length);
        let endpoint = match start {
            Some(token) => builder.start_token(token).start(),
            None => builder.start(),
        };
        let request = likelihoods("Is it? Answer:", &[" yes", " no, never", " 你好"]);
        for pairs in [&[][..], &["api=completions"]] {
            let output = ask(&endpoint, pairs, &request).unwrap();
            // " yes" is one token of 4 characters; " no" "," " never" are 3, 1 and 6.
            assert_eq!(
                output.loglikelihoods,
                [of(-1.0, 1, true), of(-2.5, 3, false), of(-0.75, 1, true)],
                "{echo:?}"
            );
            assert!(output.usage.input_tokens > 0);
        }
        // What comes behind the probe: one request for all continuations, or one for each.
        let asked =
            endpoint.bodies().into_iter().filter(|body| !body["prompt"].to_string().contains("One two"));
        assert_eq!(asked.count(), 2 * requests, "{echo:?}");
    }
}

#[test]
fn the_way_is_found_once() {
    let endpoint = FakeEndpoint::builder().echo(Echo::OneByOne).start();
    let model = model("openai/m", &endpoint, &[]);
    run(async {
        for _ in 0..4 {
            call(&*model, &likelihoods("a b", &[" c"])).await.unwrap();
        }
    });
    assert_eq!(endpoint.counters().requests, 3 + 4);
}

#[test]
fn a_token_across_the_border_belongs_to_the_continuation() {
    let endpoint = FakeEndpoint::builder().logprob(by_length).start();
    let output = ask(&endpoint, &[], &likelihoods("Answer: ", &["A", "no way"])).unwrap();
    assert_eq!(output.loglikelihoods, [of(-0.5, 1, true), of(-0.75 - 1.0, 2, true)]);
}

#[test]
fn a_whole_text_is_summed_from_its_first_probability() {
    let text = "Once upon a time";
    let plain = FakeEndpoint::builder().logprob(by_length).start();
    assert_eq!(ask(&plain, &[], &rolling(text)).unwrap().loglikelihoods, [of(-3.0, 3, false)]);
    let started = FakeEndpoint::builder().logprob(by_length).start_token("<s>").start();
    assert_eq!(ask(&started, &[], &rolling(text)).unwrap().loglikelihoods, [of(-4.0, 4, false)]);
}

#[test]
fn an_empty_context_needs_a_start_token() {
    let started = FakeEndpoint::builder().logprob(by_length).start_token("<s>").start();
    assert_eq!(ask(&started, &[], &likelihoods("", &["yes"])).unwrap().loglikelihoods, [of(-0.75, 1, true)]);
    let plain = FakeEndpoint::start();
    let error = ask(&plain, &[], &likelihoods("", &["yes"])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Refused);
    assert!(error.message.contains("context"), "{error}");
}

#[test]
fn servers_without_echo_are_told_apart_from_broken_ones() {
    for (echo, words) in [(Echo::Rejected, "Only no echo is supported"), (Echo::Ignored, "other tokens")] {
        let endpoint = FakeEndpoint::builder().echo(echo).start();
        let error = ask(&endpoint, &[], &likelihoods("a b", &[" c"])).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::Unsupported, "{error}");
        assert!(error.message.contains(words) && error.hint.unwrap().contains("vLLM"), "{}", error.message);
    }
    // llama.cpp's server has said it with a 500.
    let body = serde_json::json!({ "error": { "code": 500, "message": "Only no echo is supported", "type": "server_error" } });
    let endpoint = FakeEndpoint::builder().fault(move |_| Some(Fault::json(500, &body))).start();
    let error = ask(&endpoint, &[], &likelihoods("a b", &[" c"])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Unsupported, "{error}");
    // Faults that pass are not taken for a lack of log-probabilities.
    for fault in [Fault::Server, Fault::RateLimited(None), Fault::TruncatedJson, Fault::Reset] {
        let builder = FakeEndpoint::builder().fault(move |ask| (ask.index < 3).then(|| fault.clone()));
        let endpoint = builder.start();
        let model = model("openai/m", &endpoint, &[]);
        run(async {
            let error = call(&*model, &likelihoods("a b", &[" c"])).await.unwrap_err();
            assert!(error.is_retryable(), "{error}");
            let mut last = call(&*model, &likelihoods("a b", &[" c"])).await;
            for _ in 0..2 {
                last = call(&*model, &likelihoods("a b", &[" c"])).await;
            }
            assert_eq!(last.unwrap().loglikelihoods.len(), 1);
        });
    }
}

#[test]
fn what_cannot_be_asked_is_refused_before_any_call() {
    let endpoint = FakeEndpoint::start();
    let chat_only = model("openai/m", &endpoint, &["api=chat"]);
    assert!(!chat_only.capabilities().loglikelihood);
    let error = run(call(&*chat_only, &likelihoods("a", &[" b"]))).unwrap_err();
    assert!(error.is_fatal() && error.message.contains("api=chat"), "{error}");
    let conversation = Request::Loglikelihood(Loglikelihood {
        context: Prompt::user("q"),
        continuations: vec!["a".to_owned()],
    });
    let error = ask(&endpoint, &[], &conversation).unwrap_err();
    assert!(error.is_fatal() && error.message.contains("conversation"), "{error}");
    assert_eq!(endpoint.counters().requests, 0);
}
