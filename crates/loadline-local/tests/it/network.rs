//! What tiny models of every family should compute, written the slow and plain way.

use loadline_testkit::gguf::{BASE, EPSILON, Family, Shape};

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
