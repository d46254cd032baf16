//! The OpenAI protocols when all goes well.

use loadline_core::model::{Basis, Generate, Prompt, Request, Role, Sampling, StopReason};
use loadline_core::{ModelErrorKind, Secret};
use loadline_model::{Environment, ModelArgs, open_in};
use loadline_testkit::endpoint::{FakeEndpoint, Fault};
use serde_json::json;

use crate::{ask, call, chat, continue_text, model, model_at, run, sampling};

#[test]
fn a_conversation_is_answered_whole_and_streamed() {
    let endpoint = FakeEndpoint::builder().answer(|ask| format!("You said: {}", ask.prompt)).start();
    for pairs in [&[][..], &["stream=true"]] {
        let model = model("openai/m", &endpoint, pairs);
        let turns = [
            (Role::System, "Be kind."),
            (Role::User, "שלום \"you\""),
            (Role::Assistant, "Hi"),
            (Role::User, "Bye\n"),
        ];
        let output = run(call(&*model, &chat(&turns))).unwrap();
        assert_eq!(output.completion, "You said: Bye\n", "{pairs:?}");
        assert_eq!(output.stop_reason, StopReason::Stop);
        assert!(output.usage.input_tokens > 0 && output.usage.output_tokens > 0, "{:?}", output.usage);
    }
    let seen = endpoint.seen();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter().all(|seen| seen.path == "/v1/chat/completions" && seen.header("authorization").is_none())
    );
    let body = seen[0].json();
    assert_eq!(body["messages"][0], json!({ "role": "system", "content": "Be kind." }));
    assert_eq!(
        (&body["model"], &body["max_tokens"], &body["temperature"]),
        (&json!("m"), &json!(64), &json!(0.0))
    );
    assert!(body.get("stream").is_none() && body.get("seed").is_none() && body.get("stop").is_none());
    assert_eq!(seen[1].json()["stream_options"], json!({ "include_usage": true }));
}

#[test]
fn plain_text_goes_as_a_user_message_or_to_completions() {
    let endpoint = FakeEndpoint::start();
    for pairs in [&[][..], &["api=chat"], &["api=completions"], &["api=completions", "stream=true"]] {
        let model = model("openai/m", &endpoint, pairs);
        assert_eq!(run(call(&*model, &continue_text("2 + 40 ="))).unwrap().completion, "The answer is 42.");
    }
    let paths: Vec<_> = endpoint.seen().into_iter().map(|seen| seen.path).collect();
    let (chat, completions) = ("/v1/chat/completions", "/v1/completions");
    assert_eq!(paths, [chat, chat, completions, completions]);
    assert_eq!(endpoint.bodies()[0]["messages"], json!([{ "role": "user", "content": "2 + 40 =" }]));
    assert_eq!(endpoint.bodies()[2]["prompt"], "2 + 40 =");
    let refused = run(call(&*model("openai/m", &endpoint, &["api=completions"]), &ask("hi"))).unwrap_err();
    assert_eq!(refused.kind, ModelErrorKind::Unsupported);
    assert!(refused.hint.unwrap().contains("api=completions"));
}

#[test]
fn stop_texts_beyond_the_protocols_four_still_stop() {
    let endpoint = FakeEndpoint::builder().answer(|_| "one, two; three".to_owned()).start();
    let stop = ["1", "2", "3", "4", ";", ","].map(str::to_owned).to_vec();
    let request = Request::Generate(Generate {
        prompt: Prompt::user("count"),
        sampling: Sampling { stop, max_tokens: 2, seed: Some(5), top_p: Some(0.5), ..sampling() },
    });
    for pairs in [&[][..], &["stream=true"]] {
        let output = run(call(&*model("openai/m", &endpoint, pairs), &request)).unwrap();
        assert_eq!((output.completion.as_str(), output.stop_reason), ("one", StopReason::Stop));
    }
    let body = &endpoint.bodies()[0];
    assert_eq!(
        (&body["stop"], &body["seed"], &body["top_p"]),
        (&json!(["1", "2", "3", "4"]), &json!(5), &json!(0.5))
    );
}

#[test]
fn a_cut_answer_says_so() {
    let endpoint = FakeEndpoint::builder().answer(|_| "a b c d e f".to_owned()).start();
    let request = Request::Generate(Generate {
        prompt: Prompt::user("go"),
        sampling: Sampling { max_tokens: 3, ..sampling() },
    });
    for pairs in [&[][..], &["stream=true"], &["max_tokens_field=max_completion_tokens"]] {
        let output = run(call(&*model("openai/m", &endpoint, pairs), &request)).unwrap();
        assert_eq!((output.completion.as_str(), output.stop_reason), ("a b c", StopReason::Length));
    }
    assert_eq!(endpoint.bodies()[2]["max_completion_tokens"], 3);
    assert!(endpoint.bodies()[2].get("max_tokens").is_none());
}

#[test]
fn reasoning_counts_but_is_not_the_answer() {
    let endpoint = FakeEndpoint::builder().reasoning("let me think about this for long").start();
    let plain = FakeEndpoint::start();
    for pairs in [&[][..], &["stream=true"]] {
        let thought = run(call(&*model("openai/m", &endpoint, pairs), &ask("q"))).unwrap();
        let quick = run(call(&*model("openai/m", &plain, pairs), &ask("q"))).unwrap();
        assert_eq!(thought.completion, "The answer is 42.");
        assert_eq!(thought.usage.output_tokens, quick.usage.output_tokens + 7);
    }
}

#[test]
fn null_content_refusals_and_filters_are_answers() {
    let cases = [
        (Fault::NullContent, "", StopReason::Stop),
        (Fault::Refusal, "I cannot help with that.", StopReason::Other),
        (Fault::ContentFilter, "", StopReason::ContentFilter),
    ];
    for (fault, text, reason) in cases {
        for pairs in [&[][..], &["stream=true"]] {
            let endpoint = FakeEndpoint::builder().script([Some(fault.clone())]).start();
            let output = run(call(&*model("openai/m", &endpoint, pairs), &ask("q"))).unwrap();
            assert_eq!(
                (output.completion.as_str(), output.stop_reason),
                (text, reason),
                "{fault:?} {pairs:?}"
            );
        }
    }
}

#[test]
fn slow_and_padded_answers_arrive_whole() {
    let pause = std::time::Duration::from_micros(200);
    for fault in [Fault::SlowBytes(pause), Fault::HugeBody(3 << 20)] {
        for pairs in [&[][..], &["stream=true"]] {
            if matches!(fault, Fault::HugeBody(_)) && !pairs.is_empty() {
                continue;
            }
            let endpoint = FakeEndpoint::builder().script([Some(fault.clone())]).start();
            let output = run(call(&*model("openai/m", &endpoint, pairs), &ask("q"))).unwrap();
            assert_eq!(output.completion, "The answer is 42.", "{fault:?} {pairs:?}");
        }
    }
}

#[test]
fn a_server_that_does_not_stream_is_understood_all_the_same() {
    let body = json!({ "choices": [{ "message": { "content": "whole" }, "finish_reason": "stop" }] });
    let endpoint = FakeEndpoint::builder().script([Some(Fault::json(200, &body))]).start();
    let output = run(call(&*model("openai/m", &endpoint, &["stream=true"]), &ask("q"))).unwrap();
    assert_eq!(output.completion, "whole");
}

#[test]
fn keys_and_extra_headers_come_from_the_environment() {
    let endpoint = FakeEndpoint::builder().key("sk-right").start();
    let environment = Environment::of([("OPENAI_API_KEY", "sk-right"), ("OTHER", "sk-right"), ("WHO", "me")]);
    let base = endpoint.base_url();
    run(call(&*model_at("openai/m", &base, &[], &environment), &ask("q"))).unwrap();
    let pairs = ["key_env=OTHER", "header=x-team:WHO"];
    run(call(&*model_at("openai/m", &base, &pairs, &environment), &ask("q"))).unwrap();
    let seen = endpoint.seen();
    assert!(seen.iter().all(|seen| seen.header("authorization") == Some("Bearer sk-right")));
    assert_eq!(seen[1].header("x-team"), Some("me"));
    assert_eq!(seen[0].header("host"), Some(endpoint.address().to_string().as_str()));
    assert!(seen[0].header("user-agent").unwrap().starts_with("loadline/"));
}

#[test]
fn a_key_that_an_answer_repeats_does_not_reach_the_record() {
    let endpoint = FakeEndpoint::builder().answer(|_| "your key is sk-repeated".to_owned()).start();
    let environment =
        Environment::of([("OPENAI_API_KEY", "sk-repeated"), ("ANTHROPIC_API_KEY", "sk-repeated")]);
    for (reference, stream) in
        [("openai/m", "stream=true"), ("openai/m", "stream=false"), ("anthropic/m", "stream=true")]
    {
        let model = model_at(reference, &endpoint.base_url(), &[stream], &environment);
        assert_eq!(
            run(call(&*model, &ask("q"))).unwrap().completion,
            "your key is ***",
            "{reference} {stream}"
        );
    }
}

#[test]
fn the_identity_names_the_place_and_what_changes_answers_but_no_secret() {
    let environment = Environment::of([("MY_KEY", "sk-hidden")]);
    let pairs = ["key_env=MY_KEY", "omit=seed", "stream=true"];
    let identity = model_at("openai/org/m", "http://127.0.0.1:9/v1/", &pairs, &environment).identity();
    assert_eq!(identity.basis, Basis::SelfReported);
    let settings = json!(identity.settings);
    assert_eq!(settings, json!({ "api": "auto", "base_url": "http://127.0.0.1:9/v1", "omit": "seed" }));
    let streamed = model_at("openai/org/m", "http://127.0.0.1:9/v1", &["omit=seed"], &environment);
    assert_eq!(streamed.identity(), identity);
}

#[test]
fn opening_says_what_is_wrong_before_any_call() {
    let open = |reference: &str, base: Option<&str>, pairs: &[&str]| {
        let args = ModelArgs::parse(base.map(str::to_owned), pairs).unwrap();
        open_in(&reference.parse().unwrap(), &args, &Environment::default()).err().unwrap()
    };
    let unknown = open("gemini/m", None, &[]);
    assert!(unknown.message.contains("`gemini`") && unknown.hint.unwrap().contains("openai, anthropic"));
    let keyless = open("openai/m", None, &[]);
    assert_eq!(keyless.kind, ModelErrorKind::Unauthorized);
    assert!(keyless.message.contains("OPENAI_API_KEY"), "{}", keyless.message);
    let misspelt = open("openai/m", Some("http://127.0.0.1:1/v1"), &["strem=true"]);
    assert!(misspelt.hint.unwrap().contains("`stream`"));
    assert!(open("openai/m", Some("localhost:8000"), &[]).message.contains("http://"));
    // A key is a Secret from the moment that it is read.
    assert_eq!(Secret::new("x").to_string(), "***");
}

#[test]
fn connections_are_kept_and_many_go_at_once() {
    let endpoint = FakeEndpoint::builder().together(40).start();
    let model = model("openai/m", &endpoint, &[]);
    run(async {
        for _ in 0..5 {
            let requests: Vec<_> = (0..40).map(|n| ask(&format!("question {n}"))).collect();
            let calls = requests.iter().map(|request| call(&*model, request));
            for output in futures_util::future::join_all(calls).await {
                assert_eq!(output.unwrap().completion, "The answer is 42.");
            }
        }
    });
    let counters = endpoint.counters();
    assert_eq!((counters.requests, counters.max_concurrent), (200, 40));
    assert!(counters.connections < 150, "connections are not reused: {}", counters.connections);
}
