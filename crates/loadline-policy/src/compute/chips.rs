//! Dense peaks of chips. Makers advertise peaks "with sparsity" that are twice what dense training can reach.

use super::Precision;
use crate::decimal::Decimal;

/// A chip.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    /// Its name in declarations.
    pub name: &'static str,
    /// One for each arithmetic it is known with.
    pub peaks: &'static [Peak],
}

/// Peaks of one arithmetic, in 10⁹ FLOP per second.
#[derive(Clone, Copy, Debug)]
pub struct Peak {
    /// The arithmetic.
    pub precision: Precision,
    /// What dense matrices reach.
    pub dense_gflop_per_s: u64,
    /// Whether the maker also advertises twice that, "with sparsity".
    pub advertised_sparse: bool,
}

impl Peak {
    /// Dense peak in FLOP per second.
    pub fn dense(&self) -> Decimal {
        Decimal::from(self.dense_gflop_per_s).times(&Decimal::from(1_000_000_000))
    }

    /// What is advertised with sparsity, in FLOP per second.
    pub fn sparse(&self) -> Option<Decimal> {
        self.advertised_sparse.then(|| self.dense().times(&Decimal::from(2)))
    }
}

const fn peak(precision: Precision, dense_gflop_per_s: u64, advertised_sparse: bool) -> Peak {
    Peak { precision, dense_gflop_per_s, advertised_sparse }
}

const HOPPER: &[Peak] = &[
    peak(Precision::Bf16, 989_500, true),
    peak(Precision::Fp16, 989_500, true),
    peak(Precision::Fp8, 1_979_000, true),
];

/// The chips whose peak is known here. V100, A100, H100 SXM, TPU v3 and TPU v4 as Epoch AI uses them in its notes; the
/// others from their makers' data sheets.
pub const CHIPS: &[Chip] = &[
    Chip { name: "v100", peaks: &[peak(Precision::Fp16, 125_000, false)] },
    Chip {
        name: "a100",
        peaks: &[peak(Precision::Bf16, 312_000, true), peak(Precision::Fp16, 312_000, true)],
    },
    Chip { name: "h100-sxm", peaks: HOPPER },
    Chip { name: "h800-sxm", peaks: HOPPER },
    Chip { name: "h200-sxm", peaks: HOPPER },
    Chip { name: "tpu-v3", peaks: &[peak(Precision::Bf16, 123_000, false)] },
    Chip { name: "tpu-v4", peaks: &[peak(Precision::Bf16, 275_000, false)] },
    Chip { name: "tpu-v5e", peaks: &[peak(Precision::Bf16, 197_000, false)] },
    Chip { name: "tpu-v5p", peaks: &[peak(Precision::Bf16, 459_000, false)] },
];

/// The chip of this name.
#[cfg(feature = "toml")]
pub(super) fn find(name: &str) -> Option<&'static Chip> {
    CHIPS.iter().find(|chip| chip.name == name)
}
