//! Log-likelihoods by completions that echo the prompt with the log-probabilities of its tokens.

use loadline_core::model::{ContinuationLoglikelihood, Loglikelihood, ModelOutput, Prompt, Rolling, Usage};
use loadline_core::{ModelError, ModelErrorKind};

use super::align::covering;
use super::reply::{Choice, Logprobs, Reply};
use super::{OpenAi, request};
use crate::options::ApiChoice;
use crate::transport::Answer;

/// How an endpoint can be asked for the log-probabilities of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EchoWay {
    /// Several prompts at once.
    many: bool,
    /// Fewest tokens it will write behind the prompt.
    max_tokens: u32,
}

/// Ways to ask, the best first: vLLM takes the first, llama-cpp-python's server the last.
const WAYS: [EchoWay; 3] = [
    EchoWay { many: true, max_tokens: 0 },
    EchoWay { many: false, max_tokens: 0 },
    EchoWay { many: false, max_tokens: 1 },
];

/// A text and the byte from which its tokens count.
struct Part {
    text: String,
    from: usize,
}

impl OpenAi {
    /// The log-likelihood of each continuation.
    pub(super) async fn loglikelihood(&self, asked: &Loglikelihood) -> Result<ModelOutput, ModelError> {
        let context = match &asked.context {
            Prompt::Text(text) => text,
            Prompt::Chat(_) => {
                let message = "the log-likelihood of an answer in a conversation cannot be had over HTTP: only the \
                    server knows the chat template";
                return Err(ModelError::new(ModelErrorKind::Unsupported, message).with_hint(
                    "use a task with plain-text prompts, or a model in this process (gguf/PATH)",
                ));
            }
        };
        let parts = asked.continuations.iter();
        let parts =
            parts.map(|text| Part { text: format!("{context}{text}"), from: context.len() }).collect();
        self.likelihoods(parts, false).await
    }

    /// The log-likelihood of a text, all of it. Where the model has no start token the first token has no probability
    /// and is left out.
    pub(super) async fn rolling(&self, asked: &Rolling) -> Result<ModelOutput, ModelError> {
        self.likelihoods(vec![Part { text: asked.text.clone(), from: 0 }], true).await
    }

    async fn likelihoods(&self, parts: Vec<Part>, may_lack_first: bool) -> Result<ModelOutput, ModelError> {
        if self.options.api == ApiChoice::Chat {
            return Err(unsupported("api=chat is set, and chat completions give no log-likelihoods"));
        }
        let way = *self.way.get_or_try_init(|| self.find_way()).await?;
        let mut output = ModelOutput::default();
        let at_once = if way.many { parts.len().max(1) } else { 1 };
        for parts in parts.chunks(at_once) {
            let (logprobs, usage) = self.echo(way, parts).await?;
            output.usage.input_tokens += usage.input_tokens;
            output.usage.output_tokens += usage.output_tokens;
            for (part, logprobs) in parts.iter().zip(&logprobs) {
                output.loglikelihoods.push(self.sum(part, logprobs, way.max_tokens, may_lack_first)?);
            }
        }
        Ok(output)
    }

    /// Asks for the log-probabilities of texts; the answers come in the order of the texts.
    async fn echo(&self, way: EchoWay, parts: &[Part]) -> Result<(Vec<Logprobs>, Usage), ModelError> {
        let texts: Vec<String> = parts.iter().map(|part| part.text.clone()).collect();
        let body = request::echo(&self.reference.name, &self.options, &texts, way.max_tokens)?;
        let answer = self.transport.post(&self.completions, body).await?;
        let body: &[u8] = match &answer {
            Answer::Whole(body) => body,
            Answer::Events(_) => &[],
        };
        let reply: Reply = self.transport.parse(body)?;
        self.transport.answered();
        // A text without an answer is left without tokens, which do not cover it.
        let mut found: Vec<Logprobs> = texts.iter().map(|_| Logprobs::default()).collect();
        for Choice { index, logprobs, .. } in reply.choices {
            if let (Some(place), Some(logprobs)) = (found.get_mut(index), logprobs) {
                *place = logprobs;
            }
        }
        Ok((found, reply.usage.map(Usage::from).unwrap_or_default()))
    }

    /// Adds up the log-probabilities of the tokens that count.
    fn sum(
        &self,
        part: &Part,
        logprobs: &Logprobs,
        written: u32,
        may_lack_first: bool,
    ) -> Result<ContinuationLoglikelihood, ModelError> {
        let written = usize::try_from(written).unwrap_or(usize::MAX);
        let range = covering(&part.text, part.from, logprobs, written).ok_or_else(|| {
            let message = "log-probabilities came back for other tokens than those of the prompt";
            self.transport.error(ModelErrorKind::Refused, message)
        })?;
        let mut total = ContinuationLoglikelihood { sum: 0.0, tokens: 0, greedy: true };
        for index in range {
            let Some(logprob) = logprobs.token_logprobs.get(index).copied().flatten() else {
                if index == 0 && may_lack_first {
                    continue;
                }
                return Err(no_probability(index));
            };
            total.sum += logprob;
            total.tokens += 1;
            let likeliest = logprobs.top_logprobs.as_ref().and_then(|top| top.get(index).copied().flatten());
            // Without a list of the likeliest, only a token above one half is known to be the likeliest.
            total.greedy &= logprob >= likeliest.map_or(-std::f64::consts::LN_2, |likeliest| likeliest.0);
        }
        Ok(total)
    }

    /// Tries each way on a short text.
    async fn find_way(&self) -> Result<EchoWay, ModelError> {
        let probe = |text: &str| Part { text: text.to_owned(), from: "One two three".len() };
        let mut why = String::new();
        for way in WAYS {
            let parts = [probe("One two three four"), probe("One two three five")];
            let parts = if way.many { &parts[..] } else { &parts[..1] };
            match self.probe(way, parts).await {
                Ok(true) => return Ok(way),
                Ok(false) => "the tokens of the prompt came back without probabilities".clone_into(&mut why),
                Err(error) if !is_about_the_request(&error) => return Err(error),
                // A server that breaks on the last way too, without a word on what was asked, is just broken.
                Err(error) if way == WAYS[2] && error.kind == ModelErrorKind::Server && !is_named(&error) => {
                    return Err(error);
                }
                Err(error) => why = error.message,
            }
        }
        Err(unsupported(&why))
    }

    async fn probe(&self, way: EchoWay, parts: &[Part]) -> Result<bool, ModelError> {
        let (logprobs, _) = self.echo(way, parts).await?;
        let mut all = parts.iter().zip(&logprobs);
        all.try_fold(true, |good, (part, logprobs)| {
            Ok(good && self.sum(part, logprobs, way.max_tokens, false)?.tokens > 0)
        })
    }
}

/// Whether a server's complaint names what was asked for.
fn is_named(error: &ModelError) -> bool {
    ["echo", "logprob"].iter().any(|word| error.message.contains(word))
}

/// Whether a way failed because of how it asked. llama.cpp's and llama-cpp-python's servers say so with a 500.
fn is_about_the_request(error: &ModelError) -> bool {
    use ModelErrorKind::{Refused, Server, Unsupported};
    let rejected = error.kind == Server && error.message.contains(" 500 ");
    matches!(error.kind, Refused | Unsupported) || rejected
}

fn unsupported(why: &str) -> ModelError {
    ModelError::new(ModelErrorKind::Unsupported, format!("this endpoint gives no log-likelihoods: {why}")).with_hint(
        "log-likelihood tasks need completions with `echo` and `logprobs` (vLLM has them, llama.cpp's server and \
         OpenAI do not); use a task that generates, or a model in this process (gguf/PATH)",
    )
}

fn no_probability(index: usize) -> ModelError {
    let message = match index {
        0 => "the first token of a text has no probability with this model: give the continuation a context"
            .to_owned(),
        _ => format!("token {index} of the prompt came back without a probability"),
    };
    ModelError::new(ModelErrorKind::Refused, message)
}
