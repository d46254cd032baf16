//! What kind of network a file holds, from its metadata.

use super::rope::RopeScaling;
use crate::error::{ARCHITECTURES, LocalError};
use crate::gguf::Gguf;
use crate::kernels::Activation;

/// The shape of a decoder.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its family, as the file names it.
    pub architecture: &'static str,
    /// Layers.
    pub layers: usize,
    /// Values in one row of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; each serves `heads / kv_heads` query heads.
    pub kv_heads: usize,
    /// Values of one head.
    pub head_width: usize,
    /// Values between the two halves of the MLP.
    pub feed_forward: usize,
    /// Most tokens in one sequence.
    pub context: usize,
    pub(super) epsilon: f32,
    pub(super) activation: Activation,
    pub(super) embedding_scale: f32,
    pub(super) attention_scale: f32,
    /// Values of a head that are rotated.
    pub(super) rotary: usize,
    /// Whether value `2i` is rotated with `2i + 1`, and not `i` with `i + rotary/2`.
    pub(super) interleaved: bool,
    pub(super) rope_base: f64,
    pub(super) rope_scaling: RopeScaling,
    /// Tokens that a layer with a sliding window sees.
    pub(super) window: Option<usize>,
    /// Every how many layers one sees everything; 0 when none does.
    pub(super) window_period: usize,
}

/// Rotation base of Gemma 3's layers with a sliding window, which files do not state.
pub(super) const LOCAL_ROPE_BASE: f64 = 10_000.0;

impl Config {
    /// Reads the shape.
    ///
    /// # Errors
    /// An architecture or a variation that is not known, a key that is missing or out of bounds.
    pub fn from_gguf(file: &Gguf) -> Result<Self, LocalError> {
        let found = file.metadata.text("general.architecture").unwrap_or("none");
        let Some(architecture) = ARCHITECTURES.into_iter().find(|known| *known == found) else {
            let found = loadline_core::untrusted::one_line(found, 40);
            return Err(LocalError::UnknownArchitecture { path: file.path().to_owned(), found });
        };
        let keys = Keys { file, architecture };
        keys.refuse_unsupported()?;
        let gemma = architecture == "gemma3";
        let (layers, width) = (keys.count("block_count", 1024)?, keys.count("embedding_length", 1 << 17)?);
        let heads = keys.count("attention.head_count", 1 << 12)?;
        let kv_heads = keys.count_or("attention.head_count_kv", 1 << 12, heads)?;
        let head_width = keys.count_or("attention.key_length", 1 << 12, width / heads)?;
        let rotary = keys.count_or("rope.dimension_count", 1 << 12, head_width)?;
        let window = match architecture {
            "gemma3" | "llama" => {
                file.metadata.count(&keys.name("attention.sliding_window")).filter(|n| *n > 0)
            }
            _ => None,
        };
        // Gemma 3 27B (62 layers) scales by the width of the model, all others by the width of a head.
        let scaled_by = if gemma && layers == 62 { width / heads } else { head_width };
        let config = Self {
            architecture,
            layers,
            width,
            heads,
            kv_heads,
            head_width,
            feed_forward: keys.count("feed_forward_length", 1 << 20)?,
            context: keys.count("context_length", 1 << 24)?,
            epsilon: keys.float("attention.layer_norm_rms_epsilon")?.unwrap_or(1e-6) as f32,
            activation: if gemma { Activation::Gelu } else { Activation::Silu },
            embedding_scale: if gemma { (width as f32).sqrt() } else { 1.0 },
            attention_scale: 1.0 / (scaled_by as f32).sqrt(),
            rotary,
            interleaved: architecture == "llama",
            rope_base: keys.float("rope.freq_base")?.unwrap_or(10_000.0),
            rope_scaling: keys.rope_scaling()?,
            window,
            window_period: if gemma { 6 } else { 0 },
        };
        config.check(&keys)?;
        Ok(config)
    }

    fn check(&self, keys: &Keys<'_>) -> Result<(), LocalError> {
        let value_width = keys.count_or("attention.value_length", 1 << 12, self.head_width)?;
        let wrong = if !self.heads.is_multiple_of(self.kv_heads) {
            format!("{} query heads do not divide among {} key heads", self.heads, self.kv_heads)
        } else if self.head_width == 0 || !self.head_width.is_multiple_of(2) {
            format!("heads of {} values cannot be rotated", self.head_width)
        } else if self.rotary == 0 || !self.rotary.is_multiple_of(2) || self.rotary > self.head_width {
            format!("{} of {} values of a head cannot be rotated", self.rotary, self.head_width)
        } else if value_width != self.head_width {
            return Err(keys.file.unsupported(format!(
                "values of a width ({value_width}) other than that of keys ({})",
                self.head_width
            )));
        } else {
            return Ok(());
        };
        Err(keys.file.damaged(wrong))
    }

    /// The window of a layer, where it has one.
    pub(super) fn window_of(&self, layer: usize) -> Option<usize> {
        let sees_all = self.window_period > 0 && (layer + 1).is_multiple_of(self.window_period);
        self.window.filter(|_| !sees_all)
    }

    /// Whether a layer rotates with [`LOCAL_ROPE_BASE`].
    pub(super) fn is_local(&self, layer: usize) -> bool {
        self.window_period > 0 && !(layer + 1).is_multiple_of(self.window_period)
    }
}

struct Keys<'a> {
    file: &'a Gguf,
    architecture: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    fn count(&self, key: &str, most: usize) -> Result<usize, LocalError> {
        let name = self.name(key);
        match self.file.metadata.get(&name) {
            None => Err(self.file.damaged(format!("`{name}` is missing"))),
            Some(value) => match self.file.metadata.count(&name) {
                Some(count) if (1..=most).contains(&count) => Ok(count),
                _ => Err(self.file.damaged(format!("`{name}` is {value:.60?}, expected 1 to {most}"))),
            },
        }
    }

    fn count_or(&self, key: &str, most: usize, default: usize) -> Result<usize, LocalError> {
        match self.file.metadata.get(&self.name(key)) {
            None => Ok(default),
            Some(_) => self.count(key, most),
        }
    }

    /// A positive number.
    fn float(&self, key: &str) -> Result<Option<f64>, LocalError> {
        let name = self.name(key);
        match self.file.metadata.get(&name) {
            None => Ok(None),
            Some(value) => match self.file.metadata.float(&name) {
                Some(number) if number.is_finite() && number > 0.0 => Ok(Some(number)),
                _ => Err(self.file.damaged(format!("`{name}` is {value:.60?}, expected a positive number"))),
            },
        }
    }

    fn refuse_unsupported(&self) -> Result<(), LocalError> {
        let experts = self.file.metadata.count(&self.name("expert_count")).unwrap_or(0);
        if experts > 0 {
            return Err(self.file.unsupported(format!("a mixture of {experts} experts")));
        }
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if self.file.metadata.get(&self.name(key)).is_some() {
                return Err(self.file.unsupported(format!("`{}`", self.name(key))));
            }
        }
        Ok(())
    }

    fn rope_scaling(&self) -> Result<RopeScaling, LocalError> {
        let factor = match self.float("rope.scaling.factor")? {
            Some(factor) => Some(factor),
            None => self.float("rope.scale_linear")?,
        };
        match self.file.metadata.text(&self.name("rope.scaling.type")) {
            None => Ok(factor.map_or(RopeScaling::None, RopeScaling::Linear)),
            Some("none") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear(factor.unwrap_or(1.0))),
            Some(other) => {
                let other = loadline_core::untrusted::one_line(other, 40);
                Err(self.file.unsupported(format!("scaling the rotary embedding by `{other}`")))
            }
        }
    }
}
