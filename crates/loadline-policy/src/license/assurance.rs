//! Assurance levels. A level belongs to a scheme: `averi.org/aal-1` and `overt/aal-1` mean different things.
//!
//! | level | what it rests on |
//! |---|---|
//! | `loadline/al-0` | a record that anyone can recompute; nobody independent took part |
//! | `loadline/al-1` | the same, and an external auditor signed |
//! | `averi.org/aal-1` | the peak of current practice by AVERI's scale: time-bounded, leaning on what the developer says; an external auditor signed |
//!
//! No software grants more: AVERI's second level needs access that software cannot see, and its third and fourth are
//! not technically feasible today (Brundage et al., arXiv 2601.11699).

/// The level that software alone carries.
pub const LOWEST: &str = "loadline/al-0";

/// Levels that need an external auditor's signature.
const AUDITED: &[&str] = &["loadline/al-1", "averi.org/aal-1"];

/// Why a level cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Several schemes use the same label for different things.
    #[error("does not name its scheme")]
    NoNamespace,
    /// More than evidence in software can carry.
    #[error("is more than this evidence can carry")]
    NotGranted,
    /// Not a level that is known here.
    #[error("is not a known assurance level")]
    Unknown,
}

/// Whether a policy may claim a level.
///
/// # Errors
/// Why not.
pub fn check(level: &str) -> Result<(), Refusal> {
    let Some((scheme, _)) = level.split_once('/') else { return Err(Refusal::NoNamespace) };
    match (level == LOWEST || AUDITED.contains(&level), scheme) {
        (true, _) => Ok(()),
        (false, "loadline" | "averi.org" | "overt") => Err(Refusal::NotGranted),
        _ => Err(Refusal::Unknown),
    }
}

/// Whether the signatures carry a level.
pub fn carried(level: &str, external_auditor: bool) -> bool {
    level == LOWEST || (external_auditor && AUDITED.contains(&level))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_as_far_as_the_evidence_goes() {
        for level in ["loadline/al-0", "loadline/al-1", "averi.org/aal-1"] {
            assert_eq!(check(level), Ok(()));
        }
        for level in ["averi.org/aal-2", "averi.org/aal-3", "averi.org/aal-4", "loadline/al-2", "overt/aal-3"]
        {
            assert_eq!(check(level), Err(Refusal::NotGranted), "{level}");
        }
        assert_eq!(check("aal-1"), Err(Refusal::NoNamespace));
        assert_eq!(check("example.org/gold"), Err(Refusal::Unknown));
        assert!(
            carried(LOWEST, false) && !carried("averi.org/aal-1", false) && carried("averi.org/aal-1", true)
        );
        assert!(!carried("averi.org/aal-3", true));
    }
}
