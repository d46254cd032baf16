//! Questions of a suite from a secret seed, asked of a model as a caller of this gate would be answered: written down
//! before, charged to an account of their own, and scored by the suite.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use loadline_core::model::{Generate, Prompt, Role};
use loadline_core::{Digest, ModelOutput, Request, Sample};
use loadline_suites::Selection;
use serde_json::{Value, json};

use super::{ASKER, Watch, Watcher, What};
use crate::admission::BYTES_PER_TOKEN;
use crate::config::Api;
use crate::gate::Gate;
use crate::guard::ask::whole;
use crate::guard::own::Own;
use crate::ledger::{Account, Charge, Ending, Intent, Limits, Outcome, RequestId, UsageBasis, Used};
use crate::snapshot::Served;
use crate::upstream::Outgoing;
use crate::usage::Meter;

/// The largest answer.
const MAX_ANSWER_BYTES: usize = 8 << 20;

impl Watcher {
    /// Asks one question, and takes its score in. Nothing is asked of a model that this gate may not serve now.
    pub async fn probe(&self, gate: &Gate, watch: &Watch, model: &Arc<str>) {
        let What::Probe { selection, metric, max_tokens, .. } = &watch.what else { return };
        if gate.ready().is_err() {
            return;
        }
        let Ok(own) = Own::probe(gate, model) else { return };
        let snapshot = gate.snapshot();
        let Some(served) = snapshot.models.get(model) else { return };
        let number = {
            let mut tracks = self.tracks();
            let name = (Arc::clone(&watch.name), Arc::clone(model));
            let Some(track) = tracks.get_mut(&name) else { return };
            track.asked += 1;
            track.asked - 1
        };
        // A question that may have been asked never comes again, whatever happens now.
        if let Err(error) = self.keep().await {
            (self.tell)(format!("what is watched cannot be kept: {error}"));
            return;
        }
        let sample = self.question(watch, selection, number);
        let max_tokens = max_tokens.unwrap_or_else(|| own_limit(&sample));
        let request = gate.next_request();
        let answer = ask(gate, served, &sample, request, max_tokens, own).await;
        let right = answer.map(|completion| {
            let output = ModelOutput { completion, ..ModelOutput::default() };
            let scores = selection.score(&sample, &output);
            let counted = scores.iter().find(|score| score.metric == *metric);
            counted.and_then(|score| score.value.number()).is_some_and(|number| number >= 1.0)
        });
        self.record(gate, watch, model, request, right).await;
    }

    /// The question of this number. Its level and its place are drawn from the secret seed: so every question is as hard
    /// as the test is on average, whatever came before, and that is what bounds the chance of a false alarm. Levels and
    /// twins that came in turn would be hard and easy in turn. No other watch has the same questions.
    fn question(&self, watch: &Watch, selection: &Selection, number: u64) -> Sample {
        let (levels, asked) = (selection.levels(), selection.name());
        let parts =
            [&self.seed.as_bytes()[..], watch.name.as_bytes(), asked.as_bytes(), &number.to_be_bytes()];
        let drawn = Digest::of_parts("loadline-watch-question/1", &parts).0;
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&drawn[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        // The remainder is below the number of levels, of which there is one at least.
        let level = levels[(word(0) % levels.len() as u64) as usize];
        selection.suite().sample(&self.seed, selection.form(), level, word(8))
    }

    /// The watch of this name.
    pub fn watch(&self, name: &str) -> Option<&Arc<Watch>> {
        self.watches.iter().find(|watch| *watch.name == *name)
    }
}

/// Most tokens of an answer, as the suite says it: so an exam asked.
fn own_limit(sample: &Sample) -> u64 {
    match &sample.input {
        Request::Generate(generate) => generate.sampling.max_tokens.into(),
        _ => 0,
    }
}

/// The body of a question in the protocol of its upstream; none for what is no question.
fn body(served: &Served, sample: &Sample, api: Api, max_tokens: u64) -> Option<Bytes> {
    let Request::Generate(Generate { prompt, .. }) = &sample.input else { return None };
    let messages: Vec<_> = match prompt {
        Prompt::Text(text) => vec![(Role::User, text.clone())],
        Prompt::Chat(messages) => messages.iter().map(|m| (m.role, m.content.clone())).collect(),
    };
    let is_apart = |role: &Role| api == Api::Anthropic && *role == Role::System;
    let system: Vec<_> =
        messages.iter().filter(|(role, _)| is_apart(role)).map(|(_, text)| text.as_str()).collect();
    let turns: Vec<_> = messages
        .iter()
        .filter(|(role, _)| !is_apart(role))
        .map(|(role, text)| json!({ "role": role.name(), "content": text }))
        .collect();
    let mut body = json!({
        "model": served.upstream_model, "messages": turns, "max_tokens": max_tokens, "temperature": 0,
    });
    if !system.is_empty() {
        body["system"] = json!(system.join("\n\n"));
    }
    Some(Bytes::from(body.to_string()))
}

/// What the model answers; none when there is no answer. It is under way until this returns.
async fn ask(
    gate: &Gate,
    served: &Served,
    sample: &Sample,
    request: RequestId,
    max_tokens: u64,
    mut own: Own,
) -> Option<String> {
    let upstream = served.upstreams.first()?;
    let body = body(served, sample, upstream.api, max_tokens)?;
    let (route, path, at) = match upstream.api {
        Api::OpenAi => ("/v1/chat/completions", "/chat/completions", "/choices/0/message/content"),
        Api::Anthropic => ("/v1/messages", "/messages", "/content/0/text"),
    };
    let now = gate.now();
    let input = (body.len() as u64).div_ceil(BYTES_PER_TOKEN);
    let charges = vec![Charge { account: Account::quota(ASKER), limits: Limits::default() }];
    let reserved = input.saturating_add(max_tokens);
    let reservation = gate.base.quota.reserve(&charges, reserved, now.wall_ms).ok()?;
    let intent = gate.base.audit.intent(Intent {
        request,
        at_ms: now.wall_ms,
        key: ASKER.into(),
        subject: ASKER.into(),
        route,
        model: Arc::clone(&served.name),
        model_digest: Some(served.license.model),
        license: Some(served.license.digest),
        stage: Some(served.license.stage),
        standing_epoch: gate.snapshot().standing.as_ref().map_or(0, |fresh| fresh.mark.epoch),
        charges,
        reserved,
        keep: served.keep,
        content: body.clone(),
    });
    let mut recorded = match intent.await {
        Ok(recorded) => recorded,
        Err(_) => {
            gate.base.quota.settle(reservation, 0);
            return None;
        }
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if upstream.api == Api::Anthropic {
        let version = HeaderValue::from_static("2023-06-01");
        headers.insert(HeaderName::from_static("anthropic-version"), version);
    }
    let outgoing = Outgoing { path, headers, body, request, at: now, default_output_tokens: max_tokens };
    let got = async {
        let response = upstream.send(&*gate.base.dial, &outgoing, now.passed_ms).await.ok()?;
        let status = response.status();
        let (answer, usage) = whole(response.into_body(), MAX_ANSWER_BYTES).await?;
        Some((status, answer, usage))
    };
    // What was stopped while the intent was written is found here too, and nothing is sent then.
    let (failed, got) = tokio::select! {
        biased;
        _ = own.cut() => (Ending::Stopped, None),
        got = tokio::time::timeout(upstream.total, got) => match got {
            Ok(got) => (Ending::UpstreamFailed, got),
            Err(_) => (Ending::TimedOut, None),
        },
    };
    let answer = got.as_ref().filter(|(status, ..)| status.is_success());
    let usage = answer.and_then(|(_, _, usage)| *usage);
    let answer = answer.map(|(_, answer, _)| answer);
    let (used, ending) = match answer {
        None => (Used { input: 0, output: 0, basis: UsageBasis::Estimated }, failed),
        Some(answer) => {
            let mut meter = Meter::new(false);
            meter.feed(answer);
            if let Some(usage) = usage {
                meter.tell(usage);
            }
            recorded.content.write(answer);
            (meter.used(true, input, Some(max_tokens)), Ending::Complete)
        }
    };
    gate.base.quota.settle(reservation, used.total());
    let status = got.as_ref().map_or(0, |(status, ..)| status.as_u16());
    let delivered_bytes = answer.map_or(0, |answer| answer.len() as u64);
    let at_ms = gate.now().wall_ms;
    gate.base.audit.outcome(recorded, Outcome { at_ms, status, ending, used, delivered_bytes });
    let answer: Value = serde_json::from_slice(answer?).ok()?;
    answer.pointer(at)?.as_str().map(str::to_owned)
}
