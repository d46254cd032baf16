//! The weights of a decoder, by what they are for.

use super::config::Config;
use crate::error::LocalError;
use crate::gguf::{Gguf, TensorInfo, TensorKind};
use crate::matrix::Matrix;
use crate::options::Precision;

/// A matrix, and what is added to its product.
#[derive(Debug)]
pub(super) struct Linear {
    pub matrix: Matrix,
    pub bias: Option<Vec<f32>>,
}

/// The weights of one layer.
#[derive(Debug)]
pub(super) struct Layer {
    pub attention_norm: Vec<f32>,
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
    pub query_norm: Option<Vec<f32>>,
    pub key_norm: Option<Vec<f32>>,
    pub attention_out: Linear,
    pub post_attention_norm: Option<Vec<f32>>,
    pub mlp_norm: Vec<f32>,
    pub gate: Linear,
    pub up: Linear,
    pub down: Linear,
    pub post_mlp_norm: Option<Vec<f32>>,
}

/// All weights.
#[derive(Debug)]
pub(super) struct Weights {
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub out_norm: Vec<f32>,
    /// The output head; `None` when it is the embedding.
    pub head: Option<Matrix>,
    /// What each frequency of the rotary embedding is divided by.
    pub rope_factors: Option<Vec<f32>>,
}

impl Weights {
    /// Reads the weights, one tensor after another, on the threads of the current pool.
    pub fn load(
        file: &Gguf,
        config: &Config,
        vocabulary: usize,
        precision: Precision,
    ) -> Result<Self, LocalError> {
        let reader = Reader { file, precision };
        let width = config.width;
        let mut layers = Vec::with_capacity(config.layers);
        for layer in 0..config.layers {
            layers.push(reader.layer(config, layer)?);
        }
        let head = match file.tensor("output.weight") {
            Some(_) => Some(reader.matrix("output.weight", vocabulary, width)?),
            None => None,
        };
        Ok(Self {
            embedding: reader.matrix("token_embd.weight", vocabulary, width)?,
            layers,
            out_norm: reader.vector("output_norm.weight", width)?,
            head,
            rope_factors: reader.maybe_vector("rope_freqs.weight", config.rotary / 2)?,
        })
    }
}

struct Reader<'a> {
    file: &'a Gguf,
    precision: Precision,
}

impl Reader<'_> {
    fn layer(&self, config: &Config, layer: usize) -> Result<Layer, LocalError> {
        let name = |part: &str| format!("blk.{layer}.{part}");
        let (width, inner) = (config.width, config.feed_forward);
        let (queries, keys) = (config.heads * config.head_width, config.kv_heads * config.head_width);
        let norm = |part: &str| self.vector(&name(part), width);
        let maybe_norm = |part: &str, width: usize| self.maybe_vector(&name(part), width);
        Ok(Layer {
            attention_norm: norm("attn_norm.weight")?,
            query: self.linear(&name("attn_q"), queries, width)?,
            key: self.linear(&name("attn_k"), keys, width)?,
            value: self.linear(&name("attn_v"), keys, width)?,
            query_norm: maybe_norm("attn_q_norm.weight", config.head_width)?,
            key_norm: maybe_norm("attn_k_norm.weight", config.head_width)?,
            attention_out: self.linear(&name("attn_output"), width, queries)?,
            post_attention_norm: maybe_norm("post_attention_norm.weight", width)?,
            mlp_norm: norm("ffn_norm.weight")?,
            gate: self.linear(&name("ffn_gate"), inner, width)?,
            up: self.linear(&name("ffn_up"), inner, width)?,
            down: self.linear(&name("ffn_down"), width, inner)?,
            post_mlp_norm: maybe_norm("post_ffw_norm.weight", width)?,
        })
    }

    fn linear(&self, name: &str, rows: usize, columns: usize) -> Result<Linear, LocalError> {
        let matrix = self.matrix(&format!("{name}.weight"), rows, columns)?;
        Ok(Linear { matrix, bias: self.maybe_vector(&format!("{name}.bias"), rows)? })
    }

    fn matrix(&self, name: &str, rows: usize, columns: usize) -> Result<Matrix, LocalError> {
        let tensor = self.find(name, rows, columns)?;
        let tensor = tensor.ok_or_else(|| self.file.damaged(format!("the tensor `{name}` is missing")))?;
        Matrix::load(self.file, tensor, self.precision)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, LocalError> {
        let vector = self.maybe_vector(name, length)?;
        vector.ok_or_else(|| self.file.damaged(format!("the tensor `{name}` is missing")))
    }

    fn maybe_vector(&self, name: &str, length: usize) -> Result<Option<Vec<f32>>, LocalError> {
        let Some(tensor) = self.find(name, 1, length)? else { return Ok(None) };
        if !matches!(tensor.kind, TensorKind::F32 | TensorKind::F16 | TensorKind::BF16) {
            return Err(LocalError::UnsupportedTensor {
                path: self.file.path().to_owned(),
                tensor: name.to_owned(),
                kind: format!("{:?} (expected a float format)", tensor.kind),
            });
        }
        let mut values = vec![0.0; length];
        Matrix::load(self.file, tensor, Precision::F32)?.row(0, &mut values);
        Ok(Some(values))
    }

    fn find(&self, name: &str, rows: usize, columns: usize) -> Result<Option<&TensorInfo>, LocalError> {
        let Some(tensor) = self.file.tensor(name) else { return Ok(None) };
        if (tensor.rows, tensor.columns) != (rows, columns) {
            return Err(self.file.damaged(format!(
                "the tensor `{name}` has {} rows of {} values, expected {rows} of {columns}",
                tensor.rows, tensor.columns
            )));
        }
        Ok(Some(tensor))
    }
}
