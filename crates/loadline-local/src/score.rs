//! Log-likelihoods: of continuations after a context, and of whole texts.

use loadline_core::model::ContinuationLoglikelihood;

use crate::decoder::{Batch, Decoder, KvCache, NoHook, TokenScore};
use crate::engine::EngineError;
use crate::tokenizer::{ControlTokens, Tokenizer};

/// A context and what may follow it, in tokens. The context is read once, the continuations are branches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// At least one token.
    pub context: Vec<u32>,
    /// Each may be empty.
    pub continuations: Vec<Vec<u32>>,
}

impl Tree {
    /// Cuts context and continuations into tokens by the rules of lm-evaluation-harness: white space at the end of
    /// the context moves to the continuation; both are encoded as one text, which is cut after as many tokens as the
    /// context has alone; an empty context is the token for the beginning of a sequence, or else for its end.
    ///
    /// # Errors
    /// An empty context when the model has neither token.
    pub fn encode(
        tokenizer: &Tokenizer,
        context: &str,
        continuations: &[String],
        control: ControlTokens,
    ) -> Result<Self, EngineError> {
        let kept = context.trim_end();
        let space = &context[kept.len()..];
        let mut context = tokenizer.encode_sequence(kept, control);
        let encoded = continuations.iter().map(|continuation| {
            let whole = tokenizer.encode_sequence(&format!("{kept}{space}{continuation}"), control);
            whole.get(context.len()..).unwrap_or_default().to_vec()
        });
        let continuations = encoded.collect();
        if context.is_empty() {
            context.push(tokenizer.prefix().ok_or(EngineError::NoPrefix)?);
        }
        Ok(Self { context, continuations })
    }

    /// Tokens that are read.
    pub fn tokens(&self) -> usize {
        self.context.len() + self.continuations.iter().map(Vec::len).sum::<usize>()
    }

    /// Tokens of the longest sequence in the tree.
    pub fn longest(&self) -> usize {
        self.context.len() + self.continuations.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// Scores every continuation of every tree; all trees go through the layers together.
///
/// # Errors
/// Tokens the model does not have, a cancelled run, or numbers that are not finite.
pub fn score_trees(
    decoder: &Decoder,
    trees: &[Tree],
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<Vec<ContinuationLoglikelihood>>, EngineError> {
    let mut batch = Batch::default();
    let mut wanted = Vec::new();
    for (cache, tree) in trees.iter().enumerate() {
        let context = batch.push(&tree.context, cache, 0, Vec::new());
        for continuation in &tree.continuations {
            let Some((first, rest)) = continuation.split_first() else { continue };
            wanted.push((context.end - 1, *first));
            let sees = std::iter::once(0..context.len()).collect();
            let branch = batch.push(&continuation[..rest.len()], cache, context.len(), sees);
            wanted.extend(branch.zip(rest.iter().copied()));
        }
    }
    let scores = score_rows(decoder, &batch, trees.len(), &wanted, cancelled)?;
    let mut scores = scores.into_iter();
    let sum = |continuation: &Vec<u32>| add_up(scores.by_ref().take(continuation.len()));
    let mut sum = sum;
    trees.iter().map(|tree| tree.continuations.iter().map(&mut sum).collect()).collect()
}

/// The log-likelihood of a whole text: each token once, in windows as long as the context. The first window begins
/// after `prefix`; later ones begin after the last token of the window before, and the last is filled up with what
/// came before it.
///
/// # Errors
/// As [`score_trees`].
pub fn score_rolling(
    decoder: &Decoder,
    tokens: &[u32],
    prefix: u32,
    context: usize,
    cancelled: &dyn Fn() -> bool,
) -> Result<ContinuationLoglikelihood, EngineError> {
    let mut all = Vec::with_capacity(tokens.len());
    for window in rolling_windows(tokens, prefix, context) {
        let mut batch = Batch::default();
        batch.push(&window.input, 0, 0, Vec::new());
        let first = window.input.len() - window.predicted.len();
        let wanted: Vec<_> = (first..).zip(window.predicted.iter().copied()).collect();
        all.extend(score_rows(decoder, &batch, 1, &wanted, cancelled)?);
    }
    add_up(all.into_iter())
}

/// One window: the tokens read, and those to be predicted after the last of them.
#[derive(Debug, PartialEq, Eq)]
struct Window<'a> {
    input: Vec<u32>,
    predicted: &'a [u32],
}

fn rolling_windows(tokens: &[u32], prefix: u32, context: usize) -> Vec<Window<'_>> {
    let mut windows = Vec::new();
    let first = tokens.len().min(context);
    if first > 0 {
        let input = std::iter::once(prefix).chain(tokens[..first - 1].iter().copied()).collect();
        windows.push(Window { input, predicted: &tokens[..first] });
    }
    let mut at = first;
    while at < tokens.len() {
        let end = tokens.len().min(at + context);
        // `at` is at least `context`, so there always is a token before.
        let input = tokens[end - 1 - context..end - 1].to_vec();
        windows.push(Window { input, predicted: &tokens[at..end] });
        at = end;
    }
    windows
}

/// Runs a batch over fresh caches and scores the wanted token after each wanted row; rows in any order.
fn score_rows(
    decoder: &Decoder,
    batch: &Batch,
    caches: usize,
    wanted: &[(usize, u32)],
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<TokenScore>, EngineError> {
    let mut caches: Vec<KvCache> = (0..caches).map(|_| KvCache::new(decoder.config())).collect();
    let mut caches: Vec<&mut KvCache> = caches.iter_mut().collect();
    let mut scores = vec![None; wanted.len()];
    let mut stopped = cancelled();
    if !stopped {
        decoder.forward_in_pieces(batch, &mut caches, &mut NoHook, |piece| {
            let here: Vec<usize> = (0..wanted.len()).filter(|i| piece.rows.contains(&wanted[*i].0)).collect();
            let local: Vec<_> =
                here.iter().map(|i| (wanted[*i].0 - piece.rows.start, wanted[*i].1)).collect();
            for (i, score) in here.iter().zip(decoder.score_tokens(piece.stream, &local)) {
                scores[*i] = Some(score);
            }
            stopped = cancelled();
            !stopped
        })?;
    }
    if stopped {
        return Err(EngineError::Cancelled);
    }
    scores.into_iter().map(|score| score.ok_or(EngineError::NotFinite)).collect()
}

fn add_up(scores: impl Iterator<Item = TokenScore>) -> Result<ContinuationLoglikelihood, EngineError> {
    let mut total = ContinuationLoglikelihood { sum: 0.0, tokens: 0, greedy: true };
    for score in scores {
        total.sum += score.log_probability;
        total.tokens += 1;
        total.greedy &= score.is_likeliest;
    }
    if total.sum.is_finite() { Ok(total) } else { Err(EngineError::NotFinite) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_predict_each_token_once() {
        let tokens: Vec<u32> = (10..20).collect();
        let windows = rolling_windows(&tokens, 1, 4);
        let predicted: Vec<u32> = windows.iter().flat_map(|w| w.predicted).copied().collect();
        assert_eq!(predicted, tokens);
        assert_eq!(windows[0].input, [1, 10, 11, 12]);
        assert_eq!(windows[1].input, [13, 14, 15, 16]);
        assert_eq!(windows[1].predicted, [14, 15, 16, 17]);
        assert_eq!(windows[2].input, [15, 16, 17, 18]);
        assert_eq!(windows[2].predicted, [18, 19]);
        assert!(rolling_windows(&[], 1, 4).is_empty());
        assert_eq!(rolling_windows(&tokens[..1], 1, 4), [Window { input: vec![1], predicted: &tokens[..1] }]);
    }
}
