//! Tiny models of every family with random weights, and what they should compute, written the slow and plain way.

use std::collections::BTreeMap;

use crate::tiny::{Meta, Tiny};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Llama,
    Qwen2,
    Qwen3,
    Gemma3,
}

/// Widths are not multiples of what the kernels like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub family: Family,
    pub layers: usize,
    pub width: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head: usize,
    pub inner: usize,
    pub window: Option<usize>,
    /// Divides every angle.
    pub linear: Option<f32>,
    /// Divides the angle of each pair.
    pub factors: Option<Vec<f32>>,
}

pub const VOCABULARY: usize = 50;
const EPSILON: f64 = 1e-5;
const BASE: f64 = 500.0;

impl Shape {
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

/// The logits after every token of a sequence, in double precision.
pub fn logits(shape: &Shape, tokens: &[u32]) -> Vec<Vec<f64>> {
    let weights = shape.weights();
    let gemma = shape.family == Family::Gemma3;
    let scale = if gemma { f64::from((shape.width as f32).sqrt()) } else { 1.0 };
    let embedding = |token: u32| {
        let row = &weights["token_embd.weight"][token as usize * shape.width..][..shape.width];
        row.iter().map(|x| f64::from(*x) * scale).collect::<Vec<_>>()
    };
    let mut stream: Vec<Vec<f64>> = tokens.iter().map(|token| embedding(*token)).collect();
    for layer in 0..shape.layers {
        let get = |name: &str| weights.get(&format!("blk.{layer}.{name}"));
        let norm = |x: &[f64], name: &str| get(name).map_or_else(|| x.to_vec(), |w| rms_norm(x, w));
        let linear = |x: &[f64], name: &str| {
            let mut y = product(x, &get(&format!("{name}.weight")).unwrap()[..]);
            if let Some(bias) = get(&format!("{name}.bias")) {
                y.iter_mut().zip(bias).for_each(|(y, b)| *y += f64::from(*b));
            }
            y
        };
        let heads = |x: &[f64], name: &str, norm_name: &str, position: usize| -> Vec<Vec<f64>> {
            let y = linear(x, name);
            y.chunks(shape.head).map(|head| rotate(shape, layer, &norm(head, norm_name), position)).collect()
        };
        let normed: Vec<_> = stream.iter().map(|x| norm(x, "attn_norm.weight")).collect();
        let each = |name, norm_name| -> Vec<_> {
            normed.iter().enumerate().map(|(i, x)| heads(x, name, norm_name, i)).collect()
        };
        let (queries, keys) = (each("attn_q", "attn_q_norm.weight"), each("attn_k", "attn_k_norm.weight"));
        let values: Vec<Vec<f64>> = normed.iter().map(|x| linear(x, "attn_v")).collect();
        for (i, x) in stream.iter_mut().enumerate() {
            let gathered: Vec<f64> = (0..shape.heads)
                .flat_map(|head| attend(shape, layer, head, &queries[i], &keys[..=i], &values))
                .collect();
            let added = norm(&linear(&gathered, "attn_output"), "post_attention_norm.weight");
            x.iter_mut().zip(added).for_each(|(x, a)| *x += a);
            let h = norm(x, "ffn_norm.weight");
            let gated: Vec<f64> = linear(&h, "ffn_gate")
                .iter()
                .zip(linear(&h, "ffn_up"))
                .map(|(g, u)| activate(gemma, *g) * u)
                .collect();
            let added = norm(&linear(&gated, "ffn_down"), "post_ffw_norm.weight");
            x.iter_mut().zip(added).for_each(|(x, a)| *x += a);
        }
    }
    let head = weights.get("output.weight").unwrap_or(&weights["token_embd.weight"]);
    stream.iter().map(|x| product(&rms_norm(x, &weights["output_norm.weight"]), head)).collect()
}

fn product(x: &[f64], matrix: &[f32]) -> Vec<f64> {
    matrix.chunks(x.len()).map(|row| row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum()).collect()
}

fn rms_norm(x: &[f64], weights: &[f32]) -> Vec<f64> {
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weights).map(|(x, w)| x / (mean + EPSILON).sqrt() * f64::from(*w)).collect()
}

fn activate(gemma: bool, x: f64) -> f64 {
    if gemma {
        0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
    } else {
        x / (1.0 + (-x).exp())
    }
}

/// Whether a layer of Gemma sees only its window.
fn is_local(shape: &Shape, layer: usize) -> bool {
    shape.family == Family::Gemma3 && layer % 6 != 5
}

fn rotate(shape: &Shape, layer: usize, head: &[f64], position: usize) -> Vec<f64> {
    let half = head.len() / 2;
    let mut out = head.to_vec();
    for i in 0..half {
        let local = is_local(shape, layer);
        let base = if local { 10_000.0 } else { BASE };
        let mut angle = position as f64 * f64::powf(base, -(i as f64) / half as f64);
        if !local {
            angle /= f64::from(shape.linear.unwrap_or(1.0));
            angle /= shape.factors.as_ref().map_or(1.0, |factors| f64::from(factors[i]));
        }
        let (a, b) = if shape.family == Family::Llama { (2 * i, 2 * i + 1) } else { (i, i + half) };
        out[a] = head[a] * angle.cos() - head[b] * angle.sin();
        out[b] = head[a] * angle.sin() + head[b] * angle.cos();
    }
    out
}

fn attend(
    shape: &Shape,
    layer: usize,
    head: usize,
    queries: &[Vec<f64>],
    keys: &[Vec<Vec<f64>>],
    values: &[Vec<f64>],
) -> Vec<f64> {
    let kv = head / (shape.heads / shape.kv_heads);
    let local = is_local(shape, layer) || shape.family == Family::Llama;
    let first = shape.window.filter(|_| local).map_or(0, |window| keys.len().saturating_sub(window));
    let scores: Vec<f64> = keys[first..]
        .iter()
        .map(|key| {
            queries[head].iter().zip(&key[kv]).map(|(q, k)| q * k).sum::<f64>() / (shape.head as f64).sqrt()
        })
        .collect();
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|s| (s - most).exp()).sum();
    let mut out = vec![0.0; shape.head];
    for (score, value) in scores.iter().zip(&values[first..]) {
        let p = (score - most).exp() / total;
        out.iter_mut().zip(&value[kv * shape.head..]).for_each(|(out, v)| *out += p * v);
    }
    out
}

/// The logarithm of the probability of a token.
pub fn log_probability(logits: &[f64], token: u32) -> f64 {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits[token as usize] - most - logits.iter().map(|l| (l - most).exp()).sum::<f64>().ln()
}
