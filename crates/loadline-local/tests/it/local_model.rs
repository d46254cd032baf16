//! The model as the runner sees it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use loadline_core::model::{
    Basis, CallContext, Generate, Loglikelihood, Prompt, Rolling, Sampling, StopReason,
};
use loadline_core::{Model, ModelError, ModelErrorKind, ModelOutput, ModelRef, Request, Sample};
use loadline_local::{ChatUse, LocalModel, LocalOptions, Written};

use loadline_testkit::gguf::{Family, Meta, Shape, Tiny, model};

use crate::tiny::TinyFile;

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn sample() -> Sample {
    let input = serde_json::json!({"rolling": {"text": ""}});
    serde_json::from_value(serde_json::json!({"id": "1", "input": input, "target": []})).unwrap()
}

fn open(tiny: &Tiny, options: &LocalOptions) -> LocalModel {
    let file = TinyFile::new(&tiny.bytes());
    let reference: ModelRef = "gguf/tiny.gguf".parse().unwrap();
    LocalModel::open(reference, &file.path, options, None).unwrap()
}

fn ask(model: &LocalModel, request: &Request) -> Result<ModelOutput, ModelError> {
    let sample = sample();
    wait(model.call(request, &CallContext { sample: &sample, epoch: 0, attempt: 1 }))
}

fn loglikelihood(context: &str, continuations: &[&str]) -> Request {
    Request::Loglikelihood(Loglikelihood {
        context: Prompt::Text(context.to_owned()),
        continuations: continuations.iter().map(|c| (*c).to_owned()).collect(),
    })
}

fn generate(prompt: Prompt, max_tokens: u32, temperature: f64, seed: u64, stop: &[&str]) -> Request {
    let sampling = Sampling {
        max_tokens,
        temperature: Some(temperature),
        top_p: None,
        stop: stop.iter().map(|s| (*s).to_owned()).collect(),
        seed: Some(seed),
    };
    Request::Generate(Generate { prompt, sampling })
}

fn text(text: &str) -> Prompt {
    Prompt::Text(text.to_owned())
}

fn llama() -> Tiny {
    model(&Shape::of(Family::Llama))
}

#[test]
fn identity_says_what_was_loaded_and_how() {
    let tiny = llama();
    let model = open(&tiny, &LocalOptions::from_pairs([("precision", "f32"), ("context", "32")]).unwrap());
    let identity = model.identity();
    assert_eq!(identity.basis, Basis::Verified);
    assert_eq!(identity.weights, Some(loadline_core::Digest::of(&tiny.bytes())));
    let settings: Vec<_> = identity.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(settings, ["chat=plain", "context=32", "precision=f32"]);
    assert_eq!(model.reference().to_string(), "gguf/tiny.gguf");
}

#[test]
fn log_likelihoods_are_answered_in_order_also_when_many_wait() {
    let model = open(&llama(), &LocalOptions::default());
    let requests: Vec<Request> =
        (0..12).map(|i| loglikelihood(&"abc def"[..i % 5 + 1], &[" gh", "zz", ""][..i % 3 + 1])).collect();
    let alone: Vec<_> = requests.iter().map(|request| ask(&model, request).unwrap()).collect();
    let sample = sample();
    let context = CallContext { sample: &sample, epoch: 0, attempt: 1 };
    // All are sent before the first is waited for.
    let calls: Vec<_> = requests.iter().map(|request| model.call(request, &context)).collect();
    for (call, expect) in calls.into_iter().zip(&alone) {
        assert_eq!(wait(call).unwrap(), *expect);
    }
    // `<s>`, `a` and three tokens of ` gh`.
    assert_eq!(alone[0].usage.input_tokens, 5);
    assert_eq!(alone[2].loglikelihoods[2].tokens, 0);
}

#[test]
fn white_space_before_the_continuation_belongs_to_it() {
    let model = open(&llama(), &LocalOptions::default());
    let one = ask(&model, &loglikelihood("ab ", &["cd"])).unwrap();
    let other = ask(&model, &loglikelihood("ab", &[" cd"])).unwrap();
    assert_eq!(one, other);
    assert_eq!(one.loglikelihoods[0].tokens, 3);
    // An empty context is the beginning of a sequence.
    assert_eq!(ask(&model, &loglikelihood("", &["ab"])).unwrap().usage.input_tokens, 3);
}

#[test]
fn a_rolling_request_scores_the_whole_text() {
    let model = open(&llama(), &LocalOptions::from_pairs([("context", "16")]).unwrap());
    let output = ask(&model, &Request::Rolling(Rolling { text: "abcdefghij".repeat(5) })).unwrap();
    assert_eq!(output.loglikelihoods[0].tokens, 50);
    assert!(output.loglikelihoods[0].sum < 0.0);
    let empty = ask(&model, &Request::Rolling(Rolling { text: String::new() })).unwrap();
    assert_eq!((empty.loglikelihoods[0].tokens, empty.loglikelihoods[0].sum), (0, 0.0));
}

#[test]
fn text_is_written_and_the_same_again() {
    let model = open(&llama(), &LocalOptions::default());
    let greedy = generate(text("abc"), 12, 0.0, 0, &[]);
    let first = ask(&model, &greedy).unwrap();
    assert_eq!(first.usage.input_tokens, 4);
    assert!(first.usage.output_tokens <= 12);
    // In between the kept keys and values are those of another prompt.
    ask(&model, &generate(text("abzzz"), 3, 0.0, 0, &[])).unwrap();
    assert_eq!(ask(&model, &greedy).unwrap(), first);
    let sampled = |seed| ask(&model, &generate(text("abc"), 20, 1.0, seed, &[])).unwrap();
    assert_eq!(sampled(5), sampled(5));
    assert_ne!(sampled(5).completion, sampled(6).completion);
    let none = ask(&model, &generate(text("abc"), 0, 0.0, 0, &[])).unwrap();
    assert_eq!((none.completion.as_str(), none.stop_reason), ("", StopReason::Length));
}

#[test]
fn a_stop_text_ends_the_answer_and_is_not_part_of_it() {
    let model = open(&llama(), &LocalOptions::default());
    let whole = ask(&model, &generate(text("abc"), 30, 1.5, 3, &[])).unwrap().completion;
    assert!(whole.len() > 8, "{whole:?}");
    let (before, stop) = (&whole[..3], &whole[3..6]);
    let cut = ask(&model, &generate(text("abc"), 30, 1.5, 3, &[stop])).unwrap();
    let at = whole.find(stop).unwrap();
    assert_eq!(cut.completion, &whole[..at]);
    assert!(before.starts_with(&cut.completion));
    assert_eq!(cut.stop_reason, StopReason::Stop);
}

#[test]
fn the_context_ends_an_answer() {
    let model = open(&llama(), &LocalOptions::from_pairs([("context", "10")]).unwrap());
    let output = ask(&model, &generate(text("abcd"), 100, 2.0, 11, &[])).unwrap();
    assert!(output.usage.input_tokens + output.usage.output_tokens <= 10);
}

#[test]
fn what_cannot_be_answered_is_said() {
    let model = open(&llama(), &LocalOptions::from_pairs([("context", "8")]).unwrap());
    let error = ask(&model, &generate(text("abcdefghijkl"), 1, 0.0, 0, &[])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::TooLong);
    assert_eq!(error.to_string(), "the request has 13 tokens; the context of the model is 8");
    assert!(error.hint.is_some() && !error.is_retryable());
    // The last token of a continuation is never read, so nine fit.
    assert!(ask(&model, &loglikelihood("abcdef", &["gh"])).is_ok());
    assert_eq!(ask(&model, &loglikelihood("abcdef", &["ghi"])).unwrap_err().kind, ModelErrorKind::TooLong);
    let error = ask(&model, &generate(text("a"), 1, -1.0, 0, &[])).unwrap_err();
    assert_eq!(
        (error.kind, error.to_string().as_str()),
        (ModelErrorKind::Refused, "temperature -1 is not 0 or above")
    );
    // The model still answers after errors.
    assert!(ask(&model, &generate(text("a"), 1, 0.0, 0, &[])).is_ok());
}

/// The pieces of an answer, and its end.
fn pieces(model: &LocalModel, request: Request) -> (Vec<String>, Result<ModelOutput, ModelError>) {
    let Request::Generate(request) = request else { unreachable!("a request to write") };
    let mut answer = model.write(request);
    let mut texts = Vec::new();
    loop {
        match wait(answer.recv()).unwrap() {
            Written::Text(text) => texts.push(text),
            Written::End(end) => return (texts, end),
        }
    }
}

#[test]
fn an_answer_in_pieces_is_the_answer() {
    let model = open(&llama(), &LocalOptions::default());
    let asked = |stop: &[&str]| generate(text("abc"), 30, 1.5, 3, stop);
    let whole = ask(&model, &asked(&[])).unwrap();
    let (texts, end) = pieces(&model, asked(&[]));
    assert!(texts.len() > 3, "{texts:?}");
    assert_eq!((texts.concat(), end.unwrap()), (whole.completion.clone(), whole.clone()));
    let stop = &whole.completion[3..6];
    let (texts, end) = pieces(&model, asked(&[stop]));
    assert_eq!(texts.concat(), ask(&model, &asked(&[stop])).unwrap().completion);
    assert_eq!(end.unwrap().stop_reason, StopReason::Stop);
    let (texts, end) = pieces(&model, generate(text("a"), 1, -1.0, 0, &[]));
    assert!(texts.is_empty() && end.unwrap_err().kind == ModelErrorKind::Refused);
    // Who waits for an answer to come whole is not disturbed by one who left.
    drop(model.write(Generate { prompt: text("abc"), sampling: sampling(&asked(&[])) }));
    assert_eq!(ask(&model, &asked(&[])).unwrap(), whole);
}

fn sampling(request: &Request) -> Sampling {
    let Request::Generate(request) = request else { unreachable!("a request to write") };
    request.sampling.clone()
}

#[test]
fn a_dropped_call_is_not_worked_on() {
    let model = open(&llama(), &LocalOptions::default());
    let sample = sample();
    let context = CallContext { sample: &sample, epoch: 0, attempt: 1 };
    let long = Request::Rolling(Rolling { text: "abcdefghij".repeat(400_000) });
    // Four million tokens would take minutes: the drop must end it, or this test does not.
    drop(model.call(&long, &context));
    assert!(ask(&model, &loglikelihood("a", &["b"])).is_ok());
}

#[test]
fn conversations_go_through_the_template_unless_told_otherwise() {
    let template = "{% for m in messages %}{{ m.content }}<|end|>{% endfor %}";
    let with = llama().meta("tokenizer.chat_template", Meta::Text(template.to_owned()));
    let tokens = |tiny: &Tiny, chat: &str, prompt: Prompt| {
        let model = open(tiny, &LocalOptions::from_pairs([("chat", chat)]).unwrap());
        ask(&model, &generate(prompt, 1, 0.0, 0, &[])).unwrap().usage.input_tokens
    };
    // `<s>`, `a`, `b`, `<|end|>`.
    assert_eq!(tokens(&with, "auto", Prompt::user("ab")), 4);
    assert_eq!(tokens(&with, "on", Prompt::user("ab")), 4);
    // Without it a conversation is its text and a line break, which this vocabulary writes as one unknown token.
    assert_eq!(tokens(&with, "off", Prompt::user("ab")), 4);
    assert_eq!(tokens(&llama(), "auto", Prompt::user("abc")), 5);
    // Text that looks like a control token stays text, except where a template put it.
    assert_eq!(tokens(&with, "auto", text("<|end|>")), 8);
    let file = TinyFile::new(&llama().bytes());
    let options = LocalOptions { chat: ChatUse::On, ..LocalOptions::default() };
    let error = LocalModel::open("gguf/x".parse().unwrap(), &file.path, &options, None).unwrap_err();
    assert!(error.to_string().contains("the chat template cannot be used: the file has none"), "{error}");
    assert_eq!(error.hint().unwrap(), "open the model with chat=off to send plain text");
}

#[test]
fn a_conversation_that_the_template_refuses_is_refused() {
    let template = "{{ raise_exception('users only') }}";
    let with = llama().meta("tokenizer.chat_template", Meta::Text(template.to_owned()));
    let model = open(&with, &LocalOptions::default());
    let error = ask(&model, &generate(Prompt::user("a"), 1, 0.0, 0, &[])).unwrap_err();
    assert_eq!(error.kind, ModelErrorKind::Refused);
    assert!(error.to_string().contains("users only"), "{error}");
}
