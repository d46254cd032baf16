//! Running tokens through the layers.

use std::ops::Range;

use rayon::ThreadPool;
use rayon::prelude::*;

use super::attention::Attention;
use super::cache::KvCache;
use super::config::{Config, LOCAL_ROPE_BASE};
use super::hook::{Hook, Rows, Site};
use super::rope::{Angles, Rope, RopeScaling};
use super::weights::{Layer, Linear, Weights};
use crate::error::LocalError;
use crate::gguf::Gguf;
use crate::kernels::{AddInto, Backend, GatedUnit, RmsNorm};
use crate::matrix::Activations;
use crate::options::Precision;

/// Values that are worth a second thread in the cheap loops.
const PARALLEL_VALUES: usize = 1 << 16;

/// A network with its weights.
#[derive(Debug)]
pub struct Decoder {
    pub(super) config: Config,
    pub(super) weights: Weights,
    pub(super) precision: Precision,
    pub(super) backend: Backend,
    pub(super) vocabulary: usize,
    rope: Rope,
    local_rope: Option<Rope>,
}

/// Tokens to run, cut into segments.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The tokens of all segments, one after another.
    pub tokens: Vec<u32>,
    /// In the order of the tokens, without gaps.
    pub segments: Vec<Segment>,
}

/// Tokens that follow one another. Each sees the tokens of its segment up to itself, and `sees`.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its tokens in the batch; at least one.
    pub rows: Range<usize>,
    /// The cache its keys and values are appended to.
    pub cache: usize,
    /// The position of its first token.
    pub position: usize,
    /// Rows of the cache that all its tokens see: in order, none of them empty, positions growing by one inside each.
    pub sees: Vec<Range<usize>>,
}

impl Batch {
    /// Adds a segment that goes on from a place: it sees `sees` and is appended to the cache with this number.
    pub fn push(
        &mut self,
        tokens: &[u32],
        cache: usize,
        position: usize,
        sees: Vec<Range<usize>>,
    ) -> Range<usize> {
        let rows = self.tokens.len()..self.tokens.len() + tokens.len();
        if !rows.is_empty() {
            self.tokens.extend_from_slice(tokens);
            self.segments.push(Segment { rows: rows.clone(), cache, position, sees });
        }
        rows
    }
}

/// Why a batch was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// A token the model does not have.
    #[error("the model has {vocabulary} tokens, there is none with the number {token}")]
    Token {
        /// The token.
        token: u32,
        /// How many the model has.
        vocabulary: usize,
    },
    /// Segments with gaps, of rows or caches that are not there, or beyond what a position can be.
    #[error("segment {0} of the batch does not fit")]
    Segment(usize),
}

impl Decoder {
    /// Loads the weights on the threads of the pool.
    ///
    /// # Errors
    /// A file of another architecture, with missing tensors or tensors of another shape, or that cannot be read.
    pub fn load(
        file: &Gguf,
        vocabulary: usize,
        precision: Precision,
        backend: Backend,
        pool: &ThreadPool,
    ) -> Result<Self, LocalError> {
        let config = Config::from_gguf(file)?;
        let weights = pool.install(|| Weights::load(file, &config, vocabulary, precision))?;
        let rope = |base, scaling, factors: Option<&[f32]>| {
            Rope::new(config.rotary, base, scaling, factors, config.interleaved)
        };
        Ok(Self {
            rope: rope(config.rope_base, config.rope_scaling, weights.rope_factors.as_deref()),
            local_rope: config.is_local(0).then(|| rope(LOCAL_ROPE_BASE, RopeScaling::None, None)),
            config,
            weights,
            precision,
            backend,
            vocabulary,
        })
    }

    /// The shape of the network.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How many tokens it knows.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Runs a batch on the threads of the current pool, calling the hook on the way, and gives the residual stream
    /// after the last layer: a row of `width` values for each token. Each segment is appended to its cache.
    ///
    /// # Errors
    /// A token the model does not have, or segments that do not fit.
    pub fn forward(
        &self,
        batch: &Batch,
        caches: &mut [&mut KvCache],
        hook: &mut dyn Hook,
    ) -> Result<Vec<f32>, ForwardError> {
        self.check(batch, caches)?;
        let positions: Vec<u32> =
            batch.segments.iter().flat_map(|s| (0..s.rows.len()).map(|i| (s.position + i) as u32)).collect();
        let mut own = Vec::with_capacity(batch.segments.len());
        for segment in &batch.segments {
            let cache = &mut caches[segment.cache];
            own.push(cache.len());
            cache.extend(positions[segment.rows.clone()].iter().copied());
        }
        let mut run = Run {
            decoder: self,
            batch,
            own,
            angles: self.rope.angles(&positions),
            local_angles: self.local_rope.as_ref().map(|rope| rope.angles(&positions)),
            positions,
            buffers: Buffers::default(),
        };
        let mut stream = self.embed(&batch.tokens);
        run.visit(hook, 0, Site::Embedding, &mut stream);
        for (number, layer) in self.weights.layers.iter().enumerate() {
            run.attention(number, layer, &mut stream, caches, hook);
            run.mlp(number, layer, &mut stream, hook);
            run.visit(hook, number, Site::Residual, &mut stream);
        }
        Ok(stream)
    }

    fn check(&self, batch: &Batch, caches: &[&mut KvCache]) -> Result<(), ForwardError> {
        if let Some(token) = batch.tokens.iter().find(|token| **token as usize >= self.vocabulary) {
            return Err(ForwardError::Token { token: *token, vocabulary: self.vocabulary });
        }
        let mut lengths: Vec<usize> = caches.iter().map(|cache| cache.len()).collect();
        let mut row = 0;
        for (number, segment) in batch.segments.iter().enumerate() {
            let fits = segment.rows.start == row
                && !segment.rows.is_empty()
                && segment.position + segment.rows.len() <= u32::MAX as usize
                && lengths
                    .get(segment.cache)
                    .is_some_and(|length| segment.sees.iter().all(|r| r.end <= *length));
            if !fits {
                return Err(ForwardError::Segment(number));
            }
            row = segment.rows.end;
            lengths[segment.cache] += segment.rows.len();
        }
        if row == batch.tokens.len() { Ok(()) } else { Err(ForwardError::Segment(batch.segments.len())) }
    }

    fn embed(&self, tokens: &[u32]) -> Vec<f32> {
        let mut stream = vec![0.0; tokens.len() * self.config.width];
        for (token, row) in tokens.iter().zip(stream.chunks_exact_mut(self.config.width)) {
            self.weights.embedding.row(*token as usize, row);
            row.iter_mut().for_each(|value| *value *= self.config.embedding_scale);
        }
        stream
    }

    /// The root-mean-square norm of rows as wide as the weights.
    pub(super) fn norm(&self, input: &[f32], weights: &[f32], output: &mut Vec<f32>) {
        output.resize(input.len(), 0.0);
        let epsilon = self.config.epsilon;
        let piece = (PARALLEL_VALUES / 4 / weights.len()).max(1) * weights.len();
        each_piece(input, output, piece, |input, output| {
            self.backend.run(RmsNorm { input, weights, epsilon, output });
        });
    }
}

/// Runs a loop over pieces of two slices of one length, on several threads where it is worth it.
fn each_piece(from: &[f32], to: &mut [f32], piece: usize, work: impl Fn(&[f32], &mut [f32]) + Sync) {
    if from.len() < PARALLEL_VALUES {
        work(from, to);
    } else {
        from.par_chunks(piece).zip(to.par_chunks_mut(piece)).for_each(|(from, to)| work(from, to));
    }
}

/// One run of a batch.
struct Run<'a> {
    decoder: &'a Decoder,
    batch: &'a Batch,
    positions: Vec<u32>,
    /// First cache row of each segment.
    own: Vec<usize>,
    angles: Angles,
    local_angles: Option<Angles>,
    buffers: Buffers,
}

/// Memory that every layer uses again.
#[derive(Default)]
struct Buffers {
    normed: Vec<f32>,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    gathered: Vec<f32>,
    gate: Vec<f32>,
    up: Vec<f32>,
    added: Vec<f32>,
}

impl Run<'_> {
    fn visit(&self, hook: &mut dyn Hook, layer: usize, site: Site, values: &mut [f32]) {
        let width = self.decoder.config.width;
        hook.visit(
            layer,
            site,
            &mut Rows { values, width, tokens: &self.batch.tokens, positions: &self.positions },
        );
    }

    fn attention(
        &mut self,
        number: usize,
        layer: &Layer,
        stream: &mut [f32],
        caches: &mut [&mut KvCache],
        hook: &mut dyn Hook,
    ) {
        let decoder = self.decoder;
        let config = &decoder.config;
        let mut buffers = std::mem::take(&mut self.buffers);
        decoder.norm(stream, &layer.attention_norm, &mut buffers.normed);
        let input = Activations::new(&buffers.normed, config.width, decoder.precision, decoder.backend);
        layer.query.apply(&input, decoder.backend, &mut buffers.queries);
        layer.key.apply(&input, decoder.backend, &mut buffers.keys);
        layer.value.apply(&input, decoder.backend, &mut buffers.values);
        let (rope, angles) = match (&decoder.local_rope, &self.local_angles) {
            (Some(rope), Some(angles)) if config.is_local(number) => (rope, angles),
            _ => (&decoder.rope, &self.angles),
        };
        for (heads, norm) in [(&mut buffers.queries, &layer.query_norm), (&mut buffers.keys, &layer.key_norm)]
        {
            if let Some(weights) = norm {
                decoder.norm(heads, weights, &mut buffers.added);
                std::mem::swap(heads, &mut buffers.added);
            }
            let per_row = heads.len() / self.positions.len();
            for (row, heads) in heads.chunks_exact_mut(per_row).enumerate() {
                rope.rotate(heads, config.head_width, angles, row);
            }
        }
        let per_row = config.kv_heads * config.head_width;
        for (segment, own) in self.batch.segments.iter().zip(&self.own) {
            for (i, row) in segment.rows.clone().enumerate() {
                let at = row * per_row..(row + 1) * per_row;
                caches[segment.cache].write(number, own + i, &buffers.keys[at.clone()], &buffers.values[at]);
            }
        }
        buffers.gathered.resize(buffers.queries.len(), 0.0);
        let attention = Attention {
            config,
            backend: decoder.backend,
            layer: number,
            segments: &self.batch.segments,
            caches,
            own: &self.own,
            queries: &buffers.queries,
        };
        attention.run(&mut buffers.gathered);
        let inner = config.heads * config.head_width;
        let input = Activations::new(&buffers.gathered, inner, decoder.precision, decoder.backend);
        layer.attention_out.apply(&input, decoder.backend, &mut buffers.added);
        self.buffers = buffers;
        self.add(number, Site::AttentionOutput, layer.post_attention_norm.as_deref(), stream, hook);
    }

    fn mlp(&mut self, number: usize, layer: &Layer, stream: &mut [f32], hook: &mut dyn Hook) {
        let decoder = self.decoder;
        let config = &decoder.config;
        let mut buffers = std::mem::take(&mut self.buffers);
        decoder.norm(stream, &layer.mlp_norm, &mut buffers.normed);
        let input = Activations::new(&buffers.normed, config.width, decoder.precision, decoder.backend);
        layer.gate.apply(&input, decoder.backend, &mut buffers.gate);
        layer.up.apply(&input, decoder.backend, &mut buffers.up);
        let activation = config.activation;
        each_piece(&buffers.up, &mut buffers.gate, PARALLEL_VALUES / 4, |up, gate| {
            decoder.backend.run(GatedUnit { activation, gate, up });
        });
        let input = Activations::new(&buffers.gate, config.feed_forward, decoder.precision, decoder.backend);
        layer.down.apply(&input, decoder.backend, &mut buffers.added);
        self.buffers = buffers;
        self.add(number, Site::MlpOutput, layer.post_mlp_norm.as_deref(), stream, hook);
    }

    /// Adds what a layer computed to the residual stream, after its norm and the hook.
    fn add(
        &mut self,
        number: usize,
        site: Site,
        norm: Option<&[f32]>,
        stream: &mut [f32],
        hook: &mut dyn Hook,
    ) {
        let mut added = std::mem::take(&mut self.buffers.added);
        if let Some(weights) = norm {
            self.decoder.norm(&added, weights, &mut self.buffers.normed);
            std::mem::swap(&mut added, &mut self.buffers.normed);
        }
        self.visit(hook, number, site, &mut added);
        self.decoder.backend.run(AddInto { to: stream, from: &added });
        self.buffers.added = added;
    }
}

impl Linear {
    fn apply(&self, input: &Activations<'_>, backend: Backend, out: &mut Vec<f32>) {
        self.matrix.multiply(input, backend, out);
        if let Some(bias) = &self.bias {
            for row in out.chunks_exact_mut(bias.len()) {
                backend.run(AddInto { to: row, from: bias });
            }
        }
    }
}
