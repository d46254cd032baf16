//! The gate in front of models. Before each request it asks one question: is there a licence, fresh and unrevoked, that
//! lets this caller use this model, in this stage, within these marks?
//!
//! Read in this order: [`config`] (the file) → [`snapshot`] (what the gate goes by) → [`admission`] (the decision) →
//! [`gate`] (how that changes, and what is cut then) → [`serve`] (callers) → [`run`] (all of it together). [`ledger`] is
//! what must be durable, as traits. [`audit`], [`quota`] and [`stops`] are what stands behind them, [`keys`] is the file
//! of the callers' keys.

pub mod admin;
pub mod admission;
mod ask;
pub mod audit;
mod body;
pub mod caller;
pub mod clock;
pub mod config;
mod conn;
mod control;
pub mod disk;
mod door;
mod forward;
pub mod gate;
pub mod keys;
pub mod ledger;
mod live;
pub mod memory;
pub mod metrics;
mod otlp;
pub mod post;
mod proxy;
pub mod quota;
pub mod readiness;
mod receipts;
pub mod refusal;
pub mod report;
pub mod run;
pub mod serve;
pub mod snapshot;
pub mod standing;
pub mod stops;
pub mod trace;
pub mod upstream;
mod usage;

pub use gate::{Foundations, Gate};
pub use refusal::{Code, Refusal};
