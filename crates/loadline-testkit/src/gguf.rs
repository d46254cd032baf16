//! GGUF files small enough for tests: tiny models of every family, with random weights.

use std::collections::BTreeMap;

/// The kind of a tensor of 32-bit floats, as GGUF numbers it.
const F32: u32 = 0;

/// A metadata value.
pub enum Meta {
    /// A whole number.
    Count(u32),
    /// A number.
    Float(f32),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Several numbers.
    Floats(Vec<f32>),
    /// Several whole numbers.
    Ints(Vec<i32>),
}

/// A file in the making.
#[derive(Default)]
pub struct Tiny {
    /// Key and value, in order.
    pub meta: Vec<(String, Meta)>,
    /// Name, dimensions (columns first), number of the kind, bytes.
    pub tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

impl Tiny {
    /// With one more entry.
    #[must_use]
    pub fn meta(mut self, key: &str, value: Meta) -> Self {
        self.meta.push((key.to_owned(), value));
        self
    }

    /// With one more tensor.
    #[must_use]
    pub fn raw(mut self, name: &str, dimensions: &[u64], kind: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push((name.to_owned(), dimensions.to_vec(), kind, bytes));
        self
    }

    /// With one more tensor of 32-bit floats.
    #[must_use]
    pub fn floats(self, name: &str, dimensions: &[u64], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.raw(name, dimensions, F32, bytes)
    }

    /// The file.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3u32.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.meta.len() as u64).to_le_bytes());
        for (key, value) in &self.meta {
            text(&mut out, key);
            write_meta(&mut out, value);
        }
        let mut offset = 0u64;
        for (name, dimensions, kind, bytes) in &self.tensors {
            text(&mut out, name);
            out.extend((dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset += (bytes.len() as u64).next_multiple_of(32);
        }
        for (_, _, _, bytes) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            out.extend(bytes);
        }
        out
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn write_meta(out: &mut Vec<u8>, value: &Meta) {
    let list = |out: &mut Vec<u8>, kind: u32, count: usize| {
        out.extend(9u32.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend((count as u64).to_le_bytes());
    };
    match value {
        Meta::Count(n) => {
            out.extend(4u32.to_le_bytes());
            out.extend(n.to_le_bytes());
        }
        Meta::Float(x) => {
            out.extend(6u32.to_le_bytes());
            out.extend(x.to_le_bytes());
        }
        Meta::Bool(b) => {
            out.extend(7u32.to_le_bytes());
            out.push(u8::from(*b));
        }
        Meta::Text(t) => {
            out.extend(8u32.to_le_bytes());
            text(out, t);
        }
        Meta::Texts(texts) => {
            list(out, 8, texts.len());
            texts.iter().for_each(|t| text(out, t));
        }
        Meta::Floats(values) => {
            list(out, 6, values.len());
            values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
        Meta::Ints(values) => {
            list(out, 5, values.len());
            values.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
    }
}

/// A family of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `llama`.
    Llama,
    /// `qwen2`.
    Qwen2,
    /// `qwen3`.
    Qwen3,
    /// `gemma3`.
    Gemma3,
}

/// The sizes of a network. Widths are not multiples of what the kernels like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Its family.
    pub family: Family,
    /// Layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values.
    pub kv_heads: usize,
    /// Width of a head.
    pub head: usize,
    /// Width of the feed-forward part.
    pub inner: usize,
    /// Tokens that a local layer sees.
    pub window: Option<usize>,
    /// Divides every angle.
    pub linear: Option<f32>,
    /// Divides the angle of each pair.
    pub factors: Option<Vec<f32>>,
}

/// Tokens of its vocabulary.
pub const VOCABULARY: usize = 50;
/// Added to a mean square before its root is taken.
pub const EPSILON: f64 = 1e-5;
/// Base of the rotary angles.
pub const BASE: f64 = 500.0;

impl Shape {
    /// A usual one.
    #[must_use]
    pub fn of(family: Family) -> Self {
        let gemma = family == Family::Gemma3;
        Self {
            family,
            layers: if gemma { 7 } else { 2 },
            width: 40,
            heads: 4,
            kv_heads: if gemma { 1 } else { 2 },
            head: if family == Family::Qwen3 { 18 } else { 10 },
            inner: 72,
            window: gemma.then_some(5),
            linear: None,
            factors: None,
        }
    }

    fn name(&self) -> &'static str {
        match self.family {
            Family::Llama => "llama",
            Family::Qwen2 => "qwen2",
            Family::Qwen3 => "qwen3",
            Family::Gemma3 => "gemma3",
        }
    }

    /// Every tensor: name, rows, columns.
    fn tensors(&self) -> Vec<(String, usize, usize)> {
        let mut all = vec![("token_embd.weight".to_owned(), VOCABULARY, self.width)];
        let (q, k) = (self.heads * self.head, self.kv_heads * self.head);
        for layer in 0..self.layers {
            let mut add =
                |name: &str, rows, columns| all.push((format!("blk.{layer}.{name}"), rows, columns));
            add("attn_norm.weight", 1, self.width);
            add("attn_q.weight", q, self.width);
            add("attn_k.weight", k, self.width);
            add("attn_v.weight", k, self.width);
            add("attn_output.weight", self.width, q);
            add("ffn_norm.weight", 1, self.width);
            add("ffn_gate.weight", self.inner, self.width);
            add("ffn_up.weight", self.inner, self.width);
            add("ffn_down.weight", self.width, self.inner);
            if self.family == Family::Qwen2 {
                add("attn_q.bias", 1, q);
                add("attn_k.bias", 1, k);
                add("attn_v.bias", 1, k);
            }
            if matches!(self.family, Family::Qwen3 | Family::Gemma3) {
                add("attn_q_norm.weight", 1, self.head);
                add("attn_k_norm.weight", 1, self.head);
            }
            if self.family == Family::Gemma3 {
                add("post_attention_norm.weight", 1, self.width);
                add("post_ffw_norm.weight", 1, self.width);
            }
        }
        all.push(("output_norm.weight".to_owned(), 1, self.width));
        if self.family == Family::Llama {
            all.push(("output.weight".to_owned(), VOCABULARY, self.width));
        }
        all
    }

    /// The same random weights each time.
    #[must_use]
    pub fn weights(&self) -> BTreeMap<String, Vec<f32>> {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        let fill = |(name, rows, columns): (String, usize, usize)| {
            let norm = name.ends_with("norm.weight");
            let scale = 1.7 / (columns as f32).sqrt();
            let values =
                (0..rows * columns).map(|_| if norm { 1.0 + 0.3 * random() } else { scale * random() });
            let values = values.collect();
            (name, values)
        };
        self.tensors().into_iter().map(fill).collect()
    }
}

/// A model file of this shape, with a small SentencePiece vocabulary.
#[must_use]
pub fn model(shape: &Shape) -> Tiny {
    let name = shape.name();
    let key = |key: &str| format!("{name}.{key}");
    let count = |n: usize| Meta::Count(n as u32);
    let mut tiny = Tiny::default()
        .meta("general.architecture", Meta::Text(name.to_owned()))
        .meta(&key("block_count"), count(shape.layers))
        .meta(&key("context_length"), count(64))
        .meta(&key("embedding_length"), count(shape.width))
        .meta(&key("feed_forward_length"), count(shape.inner))
        .meta(&key("attention.head_count"), count(shape.heads))
        .meta(&key("attention.head_count_kv"), count(shape.kv_heads))
        .meta(&key("attention.key_length"), count(shape.head))
        .meta(&key("attention.layer_norm_rms_epsilon"), Meta::Float(EPSILON as f32))
        .meta(&key("rope.freq_base"), Meta::Float(BASE as f32));
    if let Some(window) = shape.window {
        tiny = tiny.meta(&key("attention.sliding_window"), count(window));
    }
    if let Some(linear) = shape.linear {
        tiny = tiny.meta(&key("rope.scaling.type"), Meta::Text("linear".to_owned()));
        tiny = tiny.meta(&key("rope.scaling.factor"), Meta::Float(linear));
    }
    let letters = (b'a'..=b'z').map(|c| char::from(c).to_string());
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>", "\u{2581}", "<|end|>"].map(str::to_owned).to_vec();
    tokens.extend(letters);
    tokens.extend((tokens.len()..VOCABULARY).map(|i| format!("x{i}")));
    let kinds = (0..VOCABULARY as i32).map(|i| {
        if i == 0 {
            2
        } else if i == 1 || i == 2 || i == 4 {
            3
        } else {
            1
        }
    });
    tiny = tiny
        .meta("tokenizer.ggml.model", Meta::Text("llama".to_owned()))
        .meta("tokenizer.ggml.tokens", Meta::Texts(tokens))
        .meta("tokenizer.ggml.scores", Meta::Floats(vec![0.0; VOCABULARY]))
        .meta("tokenizer.ggml.token_type", Meta::Ints(kinds.collect()))
        .meta("tokenizer.ggml.bos_token_id", Meta::Count(1))
        .meta("tokenizer.ggml.eos_token_id", Meta::Count(2))
        .meta("tokenizer.ggml.unknown_token_id", Meta::Count(0))
        .meta("tokenizer.ggml.add_space_prefix", Meta::Bool(false));
    let weights = shape.weights();
    for (tensor, rows, columns) in shape.tensors() {
        let dimensions = if rows == 1 { vec![columns as u64] } else { vec![columns as u64, rows as u64] };
        tiny = tiny.floats(&tensor, &dimensions, &weights[&tensor]);
    }
    if let Some(factors) = &shape.factors {
        tiny = tiny.floats("rope_freqs.weight", &[factors.len() as u64], factors);
    }
    tiny
}
