//! The inner loops, once, over sixteen lanes; which instructions the lanes are is chosen at run time.
//!
//! An `Operation` is written over the `Simd` trait. `Backend::run` compiles it once for each instruction set
//! and runs the one for the processor at hand. Every backend adds the same numbers in the same order, so all that
//! have a fused multiply-add give the same bits.

mod backend;
mod elementwise;
mod float;
mod int8;
#[cfg(target_arch = "aarch64")]
mod neon;
mod output;
mod portable;
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use backend::Backend;
pub(crate) use backend::Operation;
pub(crate) use elementwise::{Activation, AddInto, GatedUnit, LogSumExp, RmsNorm, Softmax};
pub(crate) use float::{float_panels, outer};
pub(crate) use int8::{Int8Input, Int8Rows, Row, Target, TileCodes, UNIT, int8_panels, quantise_row};
pub(crate) use output::{ColumnBlock, split_columns};
pub(crate) use simd::{LANES, Lanes, Simd, unpack_line};
