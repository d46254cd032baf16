//! Questions of a suite from a secret seed, asked of a model as a caller of this gate would be answered: written down
//! before, charged to an account of their own, and scored by the suite.

use std::sync::Arc;

use bytes::Bytes;
use loadline_core::model::{Generate, Prompt, Role};
use loadline_core::{Digest, ModelOutput, Request, Sample};
use loadline_suites::{Seed, Selection};
use serde_json::json;

use super::{ASKER, Watch, Watcher, What};
use crate::admission::BYTES_PER_TOKEN;
use crate::config::Api;
use crate::gate::Gate;
use crate::guard::ask::{chat, headers, said, whole};
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
        if self.rests(gate, watch, model) {
            return;
        }
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
        let sample = question(&self.seed, (&watch.name, model), selection, number);
        let max_tokens = max_tokens.unwrap_or_else(|| own_limit(&sample));
        let request = gate.next_request();
        let answer = ask(gate, served, &sample, request, max_tokens, own).await;
        // As in an exam: an answer that cannot be scored is wrong. That no score has the metric says nothing of the answer.
        let right = answer.and_then(|completion| {
            let output = ModelOutput { completion, ..ModelOutput::default() };
            let scores = selection.score(&sample, &output);
            let counted = scores.iter().find(|score| score.metric == *metric)?;
            Some(counted.value.number().is_some_and(|number| number >= 1.0))
        });
        // Another model may have taken the name meanwhile.
        if !self.rests(gate, watch, model) {
            self.record(gate, watch, model, request, right).await;
        }
    }

    /// Whether the figure of a watch is of another licence than the one that the model is served under now. Then nothing
    /// is asked until the gate's next start, and the operator is told once.
    fn rests(&self, gate: &Gate, watch: &Watch, model: &Arc<str>) -> bool {
        let rests = watch.rests(gate, model);
        let mut tracks = self.tracks();
        let Some(track) = tracks.get_mut(&(Arc::clone(&watch.name), Arc::clone(model))) else { return rests };
        if rests && !std::mem::replace(&mut track.rests, true) {
            (self.tell)(format!(
                "watch `{}` rests: `{model}` is served under another decision than its figure is of; give it the files of that \
                 decision and start the gate again",
                watch.name
            ));
        }
        track.rests = rests;
        rests
    }

    /// The watch of this name.
    pub fn watch(&self, name: &str) -> Option<&Arc<Watch>> {
        self.watches.iter().find(|watch| *watch.name == *name)
    }
}

/// The question of this number, for a watch and a model. Its level and its place are drawn from the secret seed: so every
/// question is as hard as the test is on average, whatever came before, and that is what bounds the chance of a false
/// alarm. Levels and twins that came in turn would be hard and easy in turn. No other watch, and no other model, has the
/// same questions.
fn question(seed: &Seed, (watch, model): (&str, &str), selection: &Selection, number: u64) -> Sample {
    let (levels, asked, number) = (selection.levels(), selection.name(), number.to_be_bytes());
    let parts = [&seed.as_bytes()[..], watch.as_bytes(), model.as_bytes(), asked.as_bytes(), &number];
    let drawn = Digest::of_parts("loadline-watch-question/1", &parts).0;
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&drawn[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    // The remainder is below the number of levels, of which there is one at least.
    let level = levels[(word(0) % levels.len() as u64) as usize];
    selection.suite().sample(seed, selection.form(), level, word(8))
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
    let (route, path) = chat(upstream.api);
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
    let headers = headers(upstream.api);
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
    said(upstream.api, &serde_json::from_slice(answer?).ok()?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn selection(levels: &[u32]) -> Selection {
        let suite = loadline_suites::find("arithmetic").unwrap();
        Selection::new(suite, loadline_suites::Form::Generate, levels.to_vec()).unwrap()
    }

    fn text(sample: &Sample) -> String {
        match &sample.input {
            Request::Generate(Generate { prompt: Prompt::Text(text), .. }) => text.clone(),
            Request::Generate(Generate { prompt: Prompt::Chat(turns), .. }) => {
                turns.last().unwrap().content.clone()
            }
            _ => panic!("no question"),
        }
    }

    /// The bound on false alarms rests on this: questions are drawn, not taken in turn.
    #[test]
    fn level_and_place_of_a_question_are_drawn_for_each_watch_and_model() {
        let (seed, both) = (Seed::from_bytes([7; 32]), selection(&[1, 3]));
        let asked = |of: (&str, &str)| -> Vec<_> {
            (0..200).map(|number| text(&question(&seed, of, &both, number))).collect()
        };
        let mine = asked(("sums", "m"));
        assert_eq!(mine, asked(("sums", "m")));
        assert_eq!(mine.iter().collect::<BTreeSet<_>>().len(), 200, "none comes twice");
        for other in [asked(("sums", "c")), asked(("other", "m"))] {
            assert!(mine.iter().all(|prompt| !other.contains(prompt)));
        }
        // Level 3 has brackets, level 1 has none. Six standard deviations of 200 coins are 42.
        let hard: Vec<_> = mine.iter().map(|prompt| prompt.contains('(')).collect();
        let many = hard.iter().filter(|hard| **hard).count();
        let changes = hard.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!((58..=142).contains(&many) && (58..=142).contains(&changes), "{many}, {changes} changes");
    }
}
