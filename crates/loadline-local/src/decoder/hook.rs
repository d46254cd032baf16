//! Looking into the decoder while it computes, and changing what it computes.

/// Where in the decoder a hook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Site {
    /// The residual stream before the first layer (layer 0).
    Embedding,
    /// What the attention of a layer adds to the residual stream.
    AttentionOutput,
    /// What the MLP of a layer adds to the residual stream.
    MlpOutput,
    /// The residual stream after a layer.
    Residual,
}

/// The values at one site: one row for each token of the batch.
#[derive(Debug)]
pub struct Rows<'a> {
    /// Row after row; what is written here is what the decoder goes on with.
    pub values: &'a mut [f32],
    /// Values in one row.
    pub width: usize,
    /// The tokens of the rows.
    pub tokens: &'a [u32],
    /// The positions of the rows in their sequences.
    pub positions: &'a [u32],
}

impl Rows<'_> {
    /// The values of one token of the batch.
    pub fn row(&mut self, row: usize) -> &mut [f32] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }
}

/// Is called at every site of every layer, in the order of computation.
pub trait Hook: Send {
    /// May read the values and write others.
    fn visit(&mut self, layer: usize, site: Site, rows: &mut Rows<'_>);
}

/// A hook that does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHook;

impl Hook for NoHook {
    fn visit(&mut self, _: usize, _: Site, _: &mut Rows<'_>) {}
}
