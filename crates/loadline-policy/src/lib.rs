//! Rules and evidence in, a decision with reasons out. Pure: no IO, no clock, and no float in anything that is
//! decided or signed.
//!
//! Read in this order: [`decimal`] (the numbers) → [`compute`] (how much training compute) → [`rules`] (which laws
//! that concerns) → [`policy`] (what must be shown) → [`decide`](mod@decide) (allow, deny, undetermined) →
//! [`license`] (what is signed). `docs/policy.md` is the page for people who write policies.

mod basis;
mod bounds;
pub mod compute;
pub mod decide;
pub mod decimal;
#[cfg(feature = "toml")]
pub mod document;
pub mod license;
mod names;
pub mod policy;
pub mod rules;

pub use compute::{Category, Ledger};
pub use decide::{Decision, Outcome, decide};
pub use decimal::{Decimal, Interval};
#[cfg(feature = "toml")]
pub use document::{MOST_BYTES, Place, Problem, Problems};
pub use license::License;
pub use loadline_core::{Instant, instant, strict};
pub use names::Named;
pub use policy::Policy;
pub use rules::{Pack, ScopeVerdict};
