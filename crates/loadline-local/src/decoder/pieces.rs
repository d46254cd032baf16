//! Long batches in pieces, so that memory does not grow with them.

use std::ops::Range;

use super::cache::KvCache;
use super::forward::{Batch, Decoder, ForwardError, Segment};
use super::hook::Hook;

/// Tokens that are run through the layers together.
pub const PIECE: usize = 512;

/// A piece of a batch that was run.
#[derive(Debug)]
pub struct Piece<'a> {
    /// Which rows of the batch.
    pub rows: Range<usize>,
    /// Their residual stream after the last layer.
    pub stream: &'a [f32],
}

impl Decoder {
    /// As [`Decoder::forward`], at most [`PIECE`] tokens at a time. `each` gets every piece in order; `false` from it
    /// ends the run early.
    ///
    /// # Errors
    /// A token the model does not have, or segments that do not fit.
    pub fn forward_in_pieces(
        &self,
        batch: &Batch,
        caches: &mut [&mut KvCache],
        hook: &mut dyn Hook,
        mut each: impl FnMut(Piece<'_>) -> bool,
    ) -> Result<(), ForwardError> {
        let mut piece = Batch::default();
        let mut done = 0;
        for (number, segment) in batch.segments.iter().enumerate() {
            let mut rest = segment.clone();
            while !rest.rows.is_empty() {
                let length = caches.get(rest.cache).ok_or(ForwardError::Segment(number))?.len();
                let pending = piece.segments.iter().filter(|s| s.cache == rest.cache).map(|s| s.rows.len());
                let own = length + pending.sum::<usize>();
                let now = rest.rows.len().min(PIECE - piece.tokens.len());
                let Some(tokens) = batch.tokens.get(rest.rows.start..rest.rows.start + now) else {
                    return Err(ForwardError::Segment(number));
                };
                piece.push(tokens, rest.cache, rest.position, rest.sees.clone());
                go_on(&mut rest, now, own);
                if piece.tokens.len() == PIECE
                    && !self.run_piece(&mut piece, &mut done, caches, hook, &mut each)?
                {
                    return Ok(());
                }
            }
        }
        if !piece.tokens.is_empty() {
            self.run_piece(&mut piece, &mut done, caches, hook, &mut each)?;
        }
        Ok(())
    }

    fn run_piece(
        &self,
        piece: &mut Batch,
        done: &mut usize,
        caches: &mut [&mut KvCache],
        hook: &mut dyn Hook,
        each: &mut impl FnMut(Piece<'_>) -> bool,
    ) -> Result<bool, ForwardError> {
        let stream = self.forward(piece, caches, hook)?;
        let rows = *done..*done + piece.tokens.len();
        *done = rows.end;
        *piece = Batch::default();
        Ok(each(Piece { rows, stream: &stream }))
    }
}

/// What is left of a segment when its first tokens are in the cache from row `own` on.
fn go_on(rest: &mut Segment, tokens: usize, own: usize) {
    rest.rows.start += tokens;
    rest.position += tokens;
    match rest.sees.last_mut() {
        Some(last) if last.end == own && last.start < own => last.end += tokens,
        _ => rest.sees.push(own..own + tokens),
    }
}
