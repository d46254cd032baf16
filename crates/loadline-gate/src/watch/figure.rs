//! Below what there is an alarm, and where that figure is from.

use std::fmt;

use loadline_core::Digest;
use loadline_core::untrusted::one_line;
use loadline_policy::Decimal;
use loadline_policy::decide::PolicyRef;
use loadline_suites::Selection;

/// The least share of right answers that is no reason for an alarm.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Above 0 and below 1.
    pub least: f64,
    /// Where it is from.
    pub source: Source,
}

/// Where a figure is from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The operator's own, for a reason in words.
    Operator(String),
    /// The licence of every model that is watched rests on it.
    Licensed(Box<LicensedTest>),
}

impl Source {
    /// The test of the licence, where it is from one.
    pub fn licensed(&self) -> Option<&LicensedTest> {
        match self {
            Self::Operator(_) => None,
            Self::Licensed(test) => Some(test),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(words) => write!(f, "the operator's own figure: {}", one_line(words, 400)),
            Self::Licensed(test) => {
                let LicensedTest { id, decision, policy, .. } = &**test;
                let (id, name, version) =
                    (one_line(id, 100), one_line(&policy.name, 100), one_line(&policy.version, 40));
                write!(f, "licensed: test `{id}` of decision {decision}, policy `{name}` version {version}")
            }
        }
    }
}

/// A test that a licence rests on.
#[derive(Clone, Debug)]
pub struct LicensedTest {
    /// Its name in the policy.
    pub id: String,
    /// Digest of the decision that found it met.
    pub decision: Digest,
    /// The policy that the decision was made under.
    pub policy: PolicyRef,
    /// What its lower bound had to reach. Of the exam's interval nothing is taken: where that lies is chance, and a model
    /// that is as good as ever may well lie below it.
    pub bound: Decimal,
    /// Which score counts.
    pub metric: String,
    /// What it asks.
    pub selection: Selection,
}
