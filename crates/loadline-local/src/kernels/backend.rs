//! Which instructions to use, decided when the program runs.
#![expect(unsafe_code, reason = "calls functions compiled for instructions that were detected")]

use std::fmt;

#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
use super::simd::Simd;
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// An inner loop, written for any lanes.
pub(crate) trait Operation {
    /// What it gives.
    type Output;
    /// Runs it. Implementations are `#[inline(always)]`, so that they are compiled for the backend's instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// The instructions that the inner loops are run with.
#[derive(Clone, Copy, Debug)]
pub struct Backend(Kind);

#[derive(Clone, Copy, Debug)]
enum Kind {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable,
}

impl Backend {
    /// The fastest backend of this processor.
    pub fn best() -> Self {
        Self::available().into_iter().next().unwrap_or(Self::portable())
    }

    /// The backend that every processor has.
    pub fn portable() -> Self {
        Self(Kind::Portable)
    }

    /// Every backend of this processor, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut kinds = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            kinds.extend(Avx512::detect().map(Kind::Avx512));
            kinds.extend(Avx2::detect().map(Kind::Avx2));
        }
        #[cfg(target_arch = "aarch64")]
        kinds.extend(Neon::detect().map(Kind::Neon));
        kinds.push(Kind::Portable);
        kinds.into_iter().map(Self).collect()
    }

    /// What the backend takes off every code by itself; see [`Simd::BIAS`].
    pub(crate) fn bias(self) -> i32 {
        struct Bias;
        impl Operation for Bias {
            type Output = i32;

            #[inline(always)]
            fn run<S: Simd>(self, _: S) -> i32 {
                S::BIAS
            }
        }
        self.run(Bias)
    }

    /// Runs an operation.
    pub(crate) fn run<O: Operation>(self, operation: O) -> O::Output {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions were detected.
            Kind::Avx512(simd) => unsafe { run_avx512(simd, operation) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the value proves that the instructions were detected.
            Kind::Avx2(simd) => unsafe { run_avx2(simd, operation) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: the value proves that the instructions were detected.
            Kind::Neon(simd) => unsafe { run_neon(simd, operation) },
            Kind::Portable => run_portable(operation),
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512(_) => "AVX-512 VNNI",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2(_) => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Kind::Neon(_) => "NEON",
            Kind::Portable => "portable",
        })
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
fn run_avx512<O: Operation>(simd: Avx512, operation: O) -> O::Output {
    operation.run(simd)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<O: Operation>(simd: Avx2, operation: O) -> O::Output {
    operation.run(simd)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn run_neon<O: Operation>(simd: Neon, operation: O) -> O::Output {
    operation.run(simd)
}

/// A function of its own, so that it is compiled once and not into every caller.
#[inline(never)]
fn run_portable<O: Operation>(operation: O) -> O::Output {
    operation.run(Portable)
}
