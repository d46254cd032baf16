//! Where every draw comes from.

use std::fmt;

use loadline_core::Digest;
use loadline_core::digest::hex;

use crate::stream::Stream;

/// What all items of a set are made from.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The seed of a number, as a user gives it.
    pub fn from_u64(number: u64) -> Self {
        Self(Digest::of_parts("loadline/seed/u64/1", &[&number.to_be_bytes()]).0)
    }

    /// The seed that is these bytes, as an exam derives it.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of one purpose: a digest of the seed and of the parts, each with its length.
    pub(crate) fn key(&self, purpose: &str, suite: &str, version: &str, level: u32, index: u64) -> Digest {
        Digest::of_parts(
            purpose,
            &[&self.0, suite.as_bytes(), version.as_bytes(), &level.to_be_bytes(), &index.to_be_bytes()],
        )
    }
}

/// Shows only a digest's start: an exam's seed is a secret until the exam is over.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({}…)", hex(&Digest::of_parts("loadline/seed/shown/1", &[&self.0]).0[..4]))
    }
}

/// The stream of a key for one purpose, so that drawing more for one purpose moves nothing in another.
pub(crate) fn stream(key: &Digest, purpose: &str) -> Stream {
    Stream::new(Digest::of_parts("loadline/suites/stream/1", &[&key.0, purpose.as_bytes()]).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_key_counts() {
        let (one, two) = (Seed::from_u64(1), Seed::from_u64(2));
        let base = one.key("p", "s", "v", 1, 1);
        for other in [
            two.key("p", "s", "v", 1, 1),
            one.key("q", "s", "v", 1, 1),
            one.key("p", "t", "v", 1, 1),
            one.key("p", "s", "w", 1, 1),
            one.key("p", "s", "v", 2, 1),
            one.key("p", "s", "v", 1, 2),
        ] {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn debug_does_not_show_the_seed() {
        let seed = Seed::from_bytes([0xab; 32]);
        assert!(!format!("{seed:?}").contains("abab"));
    }
}
