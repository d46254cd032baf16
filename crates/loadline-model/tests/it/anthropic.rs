//! Anthropic's messages.

use loadline_core::ModelErrorKind;
use loadline_core::model::{Generate, Loglikelihood, Prompt, Request, Role, Sampling, StopReason};
use loadline_model::Environment;
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use serde_json::json;

use crate::{ask, call, chat, continue_text, model, model_at, run, sampling};

#[test]
fn a_conversation_is_answered_whole_and_streamed() {
    let endpoint =
        FakeEndpoint::builder().answer(|ask| format!("You said: {}", ask.prompt)).key("sk-ant-1").start();
    let environment = Environment::of([("ANTHROPIC_API_KEY", "sk-ant-1")]);
    // The SDKs' base URL has no version.
    let base = endpoint.base_url().replace("/v1", "");
    for pairs in [&[][..], &["stream=true"]] {
        let model = model_at("anthropic/claude", &base, pairs, &environment);
        let turns =
            [(Role::System, "Be kind."), (Role::User, "Hi"), (Role::Assistant, "Yo"), (Role::User, "Bye")];
        let output = run(call(&*model, &chat(&turns))).unwrap();
        assert_eq!((output.completion.as_str(), output.stop_reason), ("You said: Bye", StopReason::Stop));
        assert_eq!((output.usage.input_tokens, output.usage.output_tokens), (1, 4), "{pairs:?}");
    }
    let seen = endpoint.seen();
    assert!(seen.iter().all(|seen| seen.path == "/v1/messages"));
    assert_eq!(seen[0].header("x-api-key"), Some("sk-ant-1"));
    assert_eq!(seen[0].header("anthropic-version"), Some("2023-06-01"));
    assert!(seen[0].header("authorization").is_none());
    let body = seen[0].json();
    assert_eq!((&body["system"], &body["max_tokens"]), (&json!("Be kind."), &json!(64)));
    assert_eq!(body["messages"][0], json!({ "role": "user", "content": "Hi" }));
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn stop_texts_are_sent_where_taken_and_applied_always() {
    let endpoint = FakeEndpoint::builder().answer(|_| "one\n\ntwo; three".to_owned()).start();
    for (stop, expected) in [("\n\n", "one"), (";", "one\n\ntwo")] {
        let sampling = Sampling { stop: vec![stop.to_owned()], seed: Some(1), ..sampling() };
        let request = Request::Generate(Generate { prompt: Prompt::Text("go".to_owned()), sampling });
        let output = run(call(&*model("anthropic/m", &endpoint, &[]), &request)).unwrap();
        assert_eq!((output.completion.as_str(), output.stop_reason), (expected, StopReason::Stop));
    }
    let bodies = endpoint.bodies();
    assert!(bodies[0].get("stop_sequences").is_none() && bodies[0].get("seed").is_none());
    assert_eq!(bodies[1]["stop_sequences"], json!([";"]));
}

#[test]
fn length_refusal_and_thinking_are_understood() {
    for pairs in [&[][..], &["stream=true"]] {
        let endpoint =
            FakeEndpoint::builder().reasoning("hm hm").script([None, Some(Fault::Refusal)]).start();
        let model = model("anthropic/m", &endpoint, pairs);
        let few = Request::Generate(Generate {
            prompt: Prompt::user("q"),
            sampling: Sampling { max_tokens: 2, ..sampling() },
        });
        let cut = run(call(&*model, &few)).unwrap();
        assert_eq!((cut.completion.as_str(), cut.stop_reason), ("The answer", StopReason::Length));
        assert_eq!(cut.usage.output_tokens, 4);
        let refused = run(call(&*model, &continue_text("q"))).unwrap();
        assert_eq!((refused.completion.as_str(), refused.stop_reason), ("", StopReason::ContentFilter));
    }
}

#[test]
fn overload_is_a_reason_to_slow_down_also_mid_stream() {
    let endpoint =
        FakeEndpoint::builder().script([Some(Fault::Overloaded), Some(Fault::ErrorMidStream)]).start();
    let model = model("anthropic/m", &endpoint, &["stream=true"]);
    for _ in 0..2 {
        let error = run(call(&*model, &ask("q"))).unwrap_err();
        assert_eq!(error.kind, ModelErrorKind::RateLimited, "{error}");
        assert!(error.message.contains("Overloaded"), "{error}");
    }
    assert_eq!(run(call(&*model, &ask("q"))).unwrap().completion, "The answer is 42.");
}

#[test]
fn a_stream_cut_short_is_no_answer() {
    let endpoint = FakeEndpoint::builder().script([Some(Fault::TruncatedStream)]).start();
    let error = run(call(&*model("anthropic/m", &endpoint, &["stream=true"]), &ask("q"))).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Malformed);
}

#[test]
fn log_likelihoods_are_refused_with_advice() {
    let endpoint = FakeEndpoint::start();
    let model = model("anthropic/m", &endpoint, &[]);
    assert!(!model.capabilities().loglikelihood);
    let request = Request::Loglikelihood(Loglikelihood {
        context: Prompt::user("q"),
        continuations: vec!["a".to_owned()],
    });
    let error = run(call(&*model, &request)).unwrap_err();
    assert!(error.is_fatal() && error.hint.is_some());
    assert_eq!(endpoint.counters().requests, 0);
}
