//! A decoder with its tokenizer, chat template and threads: everything a request needs, called directly.

use std::path::Path;

use loadline_core::Digest;
use loadline_core::model::{ContinuationLoglikelihood, Loglikelihood, ModelOutput, Prompt, Usage};
use rayon::ThreadPool;

use crate::chat::{self, ChatTemplate};
use crate::decoder::{Decoder, ForwardError, PIECE};
use crate::error::LocalError;
use crate::generate::{Session, Watch, generate};
use crate::gguf::Gguf;
use crate::kernels::Backend;
use crate::options::{ChatUse, LocalOptions};
use crate::score::{Tree, score_rolling, score_trees};
use crate::tokenizer::{ControlTokens, Tokenizer};

/// A model that is loaded. [`crate::LocalModel`] asks it on a thread of its own; what looks into the model uses it
/// directly, through [`Engine::decoder`] and [`Engine::install`].
#[derive(Debug)]
pub struct Engine {
    decoder: Decoder,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    pool: ThreadPool,
    context: usize,
}

/// Why a request was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The request is longer than the context.
    #[error("the request has {tokens} tokens; the context of the model is {context}")]
    TooLong {
        /// Tokens of the longest sequence in the request.
        tokens: usize,
        /// Tokens that fit.
        context: usize,
    },
    /// The chat template refused the conversation.
    #[error("the chat template refuses the conversation: {0}")]
    Chat(String),
    /// Settings of the sampling that make no sense.
    #[error("{0}")]
    Sampling(String),
    /// Nothing to begin with: an empty context, and no token for the beginning or end of a sequence.
    #[error("the text to begin with is empty, and the model has no token for the beginning of a sequence")]
    NoPrefix,
    /// Nobody waits for the answer any more.
    #[error("the request was cancelled")]
    Cancelled,
    /// The network gave something that is not a number.
    #[error("the model gave a number that is not finite")]
    NotFinite,
    /// A batch that does not fit the model.
    #[error(transparent)]
    Forward(#[from] ForwardError),
}

impl Engine {
    /// Whether a file can be opened, as far as its head tells: format, architecture, kinds of tensors, tokenizer,
    /// template. No weights are read.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn check(path: &Path, options: &LocalOptions) -> Result<(), LocalError> {
        head(path, options).map(drop)
    }

    /// Opens a GGUF file, with the digest of what was read when it is not given.
    ///
    /// # Errors
    /// A file that cannot be read, is cut short or damaged, or holds what this crate does not compute.
    pub fn open(
        path: &Path,
        options: &LocalOptions,
        digest: Option<Digest>,
    ) -> Result<(Self, Digest), LocalError> {
        let (file, tokenizer, template) = head(path, options)?;
        let threads =
            options.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, usize::from);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|number| format!("loadline-local-{number}"))
            .build()
            .map_err(|error| LocalError::Threads(error.to_string()))?;
        let (decoder, digest) = std::thread::scope(|scope| {
            let hashing = digest.is_none().then(|| scope.spawn(|| file.digest()));
            let decoder = Decoder::load(&file, tokenizer.len(), options.precision, Backend::best(), &pool);
            let hashed = hashing.map(|thread| {
                thread.join().map_err(|_| LocalError::Threads("the hashing thread ended early".to_owned()))?
            });
            match (digest, hashed) {
                (Some(digest), _) => Ok((decoder?, digest)),
                (None, Some(hashed)) => Ok((decoder?, hashed?)),
                (None, None) => Ok((decoder?, file.digest()?)),
            }
        })?;
        let most = decoder.config().context;
        let context = options.context.map_or(most, |context| context.get().min(most));
        Ok((Self { decoder, tokenizer, template, pool, context }, digest))
    }

    /// The network.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Whether conversations go through a template.
    pub fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// Most tokens in one sequence.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Runs something on the threads of this model.
    pub fn install<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    /// The text of a prompt as the model reads it, and whether its control tokens are meant.
    ///
    /// # Errors
    /// A conversation that the chat template refuses.
    pub fn prompt_text(&self, prompt: &Prompt) -> Result<(String, ControlTokens), EngineError> {
        match (prompt, &self.template) {
            (Prompt::Text(text), _) => Ok((text.clone(), ControlTokens::AsText)),
            (Prompt::Chat(messages), Some(template)) => {
                Ok((template.render(messages).map_err(EngineError::Chat)?, ControlTokens::Parsed))
            }
            (Prompt::Chat(messages), None) => Ok((chat::plain(messages), ControlTokens::AsText)),
        }
    }

    /// Cuts a request for log-likelihoods into tokens.
    ///
    /// # Errors
    /// A conversation the template refuses, a request that is too long, nothing to begin with.
    pub fn tree(&self, request: &Loglikelihood) -> Result<Tree, EngineError> {
        let (text, control) = self.prompt_text(&request.context)?;
        let tree = Tree::encode(&self.tokenizer, &text, &request.continuations, control)?;
        // The last token is only predicted, never read.
        self.fits(tree.longest() - 1)?;
        Ok(tree)
    }

    /// Scores several requests together.
    ///
    /// # Errors
    /// A cancelled run, or numbers that are not finite.
    pub fn score(
        &self,
        trees: &[Tree],
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Vec<ModelOutput>, EngineError> {
        let scores = self.install(|| score_trees(&self.decoder, trees, cancelled))?;
        Ok(scores.into_iter().zip(trees).map(|(scores, tree)| scored(scores, tree.tokens())).collect())
    }

    /// Scores a whole text.
    ///
    /// # Errors
    /// As [`Engine::score`]; nothing to begin with.
    pub fn rolling(
        &self,
        text: &str,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<ModelOutput, EngineError> {
        let prefix = self.tokenizer.prefix().ok_or(EngineError::NoPrefix)?;
        let tokens = self.tokenizer.encode(text, ControlTokens::AsText);
        let score =
            self.install(|| score_rolling(&self.decoder, &tokens, prefix, self.context, cancelled))?;
        Ok(scored(vec![score], tokens.len()))
    }

    /// Writes an answer; the session remembers the prompt for the next call.
    ///
    /// # Errors
    /// A conversation the template refuses, a prompt that is too long, settings out of bounds, a cancelled run.
    pub fn generate(
        &self,
        session: &mut Session,
        request: &loadline_core::model::Generate,
        watch: &mut Watch<'_>,
    ) -> Result<ModelOutput, EngineError> {
        let (text, control) = self.prompt_text(&request.prompt)?;
        let mut prompt = self.tokenizer.encode_sequence(&text, control);
        if prompt.is_empty() {
            prompt.push(self.tokenizer.prefix().ok_or(EngineError::NoPrefix)?);
        }
        self.fits(prompt.len())?;
        let (decoder, tokenizer, context) = (&self.decoder, &self.tokenizer, self.context);
        let written = self
            .install(|| generate(decoder, tokenizer, session, &prompt, &request.sampling, context, watch))?;
        let usage = Usage { input_tokens: prompt.len() as u64, output_tokens: written.tokens as u64 };
        Ok(ModelOutput {
            completion: written.text,
            stop_reason: written.stop_reason,
            loglikelihoods: Vec::new(),
            usage,
        })
    }

    fn fits(&self, tokens: usize) -> Result<(), EngineError> {
        if tokens <= self.context {
            return Ok(());
        }
        Err(EngineError::TooLong { tokens, context: self.context })
    }
}

/// Tokens from which on a batch gains nothing by more requests, which would only take memory for their keys and
/// values. A request that is short of it is joined by the next, so that most batches still are one piece.
pub const WORTH_GATHERING: usize = PIECE * 3 / 4;

fn scored(loglikelihoods: Vec<ContinuationLoglikelihood>, tokens: usize) -> ModelOutput {
    let usage = Usage { input_tokens: tokens as u64, output_tokens: 0 };
    ModelOutput { loglikelihoods, usage, ..ModelOutput::default() }
}

/// What stands before the weights.
fn head(path: &Path, options: &LocalOptions) -> Result<(Gguf, Tokenizer, Option<ChatTemplate>), LocalError> {
    let mut file = Gguf::open(path)?;
    // The shape first: a file of another architecture has another tokenizer.
    crate::decoder::Config::from_gguf(&file)?;
    let tokenizer = Tokenizer::from_metadata(&mut file.metadata)
        .map_err(|what| LocalError::Tokenizer { path: path.to_owned(), what })?;
    let template = template(&file, &tokenizer, options.chat)?;
    Ok((file, tokenizer, template))
}

fn template(file: &Gguf, tokenizer: &Tokenizer, chat: ChatUse) -> Result<Option<ChatTemplate>, LocalError> {
    let wrong = |what| LocalError::ChatTemplate { path: file.path().to_owned(), what };
    match (file.metadata.text("tokenizer.chat_template"), chat) {
        (_, ChatUse::Off) | (None, ChatUse::Auto) => Ok(None),
        (None, ChatUse::On) => Err(wrong("the file has none".to_owned())),
        (Some(source), ChatUse::Auto | ChatUse::On) => {
            let text = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id)).unwrap_or("");
            let template = ChatTemplate::new(source, text(tokenizer.bos()), text(tokenizer.eos()));
            template.map(Some).map_err(wrong)
        }
    }
}
