//! From the residual stream to tokens: logits, and log-likelihoods without keeping logits.

use rayon::prelude::*;

use super::forward::Decoder;
use crate::kernels::{LANES, LogSumExp};
use crate::matrix::{Activations, Matrix};

/// Tokens of the vocabulary that are computed at once; fixed, so that results do not depend on the threads.
const TOKENS_AT_ONCE: usize = 128 * LANES;
/// Rows that are computed at once.
const ROWS_AT_ONCE: usize = 64;

/// How likely one token was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenScore {
    /// Natural logarithm of its probability.
    pub log_probability: f64,
    /// Whether no other token was likelier (of equals the one with the lowest number counts as likeliest).
    pub is_likeliest: bool,
}

/// What is known of one row after some tokens of the vocabulary.
#[derive(Clone, Copy)]
struct Partial {
    largest: f32,
    /// Sum of `e^(logit − largest)`.
    sum: f64,
    likeliest: usize,
    /// The logit of the wanted token, where it was among them.
    wanted: Option<f32>,
}

impl Decoder {
    fn head(&self) -> &Matrix {
        self.weights.head.as_ref().unwrap_or(&self.weights.embedding)
    }

    /// The rows of the residual stream that are wanted, after the last norm.
    fn normed(&self, stream: &[f32], rows: impl Iterator<Item = usize>) -> Vec<f32> {
        let width = self.config.width;
        let picked: Vec<f32> =
            rows.flat_map(|row| &stream[row * width..(row + 1) * width]).copied().collect();
        let mut normed = Vec::new();
        self.norm(&picked, &self.weights.out_norm, &mut normed);
        normed
    }

    /// The logits after one row of the residual stream.
    pub fn logits(&self, stream: &[f32], row: usize) -> Vec<f32> {
        let normed = self.normed(stream, std::iter::once(row));
        let input = Activations::new(&normed, self.config.width, self.precision, self.backend);
        let mut logits = Vec::new();
        self.head().multiply(&input, self.backend, &mut logits);
        logits
    }

    /// How likely each wanted token is after its row: `(row, token)` in, scores out in the same order. The logits of
    /// a row are never all in memory.
    pub fn score_tokens(&self, stream: &[f32], wanted: &[(usize, u32)]) -> Vec<TokenScore> {
        wanted.chunks(ROWS_AT_ONCE).flat_map(|wanted| self.score_some(stream, wanted)).collect()
    }

    fn score_some(&self, stream: &[f32], wanted: &[(usize, u32)]) -> Vec<TokenScore> {
        let normed = self.normed(stream, wanted.iter().map(|(row, _)| *row));
        let input = Activations::new(&normed, self.config.width, self.precision, self.backend);
        let prepared = self.head().prepare(&input, self.backend);
        let firsts: Vec<usize> = (0..self.vocabulary).step_by(TOKENS_AT_ONCE).collect();
        let pieces: Vec<Vec<Partial>> = firsts
            .into_par_iter()
            .map(|first| {
                let tokens = first..(first + TOKENS_AT_ONCE).min(self.vocabulary);
                let mut logits = vec![0.0; wanted.len() * tokens.len()];
                self.head().multiply_some(&prepared, tokens.clone(), &mut logits, self.backend);
                let rows = logits.chunks_exact(tokens.len()).zip(wanted);
                rows.map(|(logits, (_, token))| self.partial(logits, first, *token as usize)).collect()
            })
            .collect();
        (0..wanted.len()).map(|row| join(pieces.iter().map(|piece| piece[row]), wanted[row].1)).collect()
    }

    fn partial(&self, logits: &[f32], first: usize, token: usize) -> Partial {
        let (largest, sum, place) = self.backend.run(LogSumExp(logits));
        let wanted = token.checked_sub(first).and_then(|at| logits.get(at)).copied();
        Partial { largest, sum, likeliest: first + place, wanted }
    }
}

/// Joins the pieces of one row, in order.
fn join(pieces: impl Iterator<Item = Partial>, token: u32) -> TokenScore {
    let mut all = Partial { largest: f32::NEG_INFINITY, sum: 0.0, likeliest: 0, wanted: None };
    for piece in pieces {
        if piece.largest > all.largest {
            all.sum *= f64::from(all.largest - piece.largest).exp();
            all.sum += piece.sum;
            (all.largest, all.likeliest) = (piece.largest, piece.likeliest);
        } else {
            all.sum += piece.sum * f64::from(piece.largest - all.largest).exp();
        }
        all.wanted = all.wanted.or(piece.wanted);
    }
    let logit = all.wanted.map_or(f64::NAN, f64::from);
    TokenScore {
        log_probability: logit - f64::from(all.largest) - all.sum.ln(),
        is_likeliest: all.likeliest == token as usize,
    }
}
