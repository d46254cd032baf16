//! The gate in front of models. Before each request it asks one question: is there a licence, fresh and unrevoked, that
//! lets this caller use this model, in this stage, within these marks?
//!
//! [`ledger`] is what must be durable, as traits. [`audit`], [`quota`] and [`stops`] are what stands behind them, [`keys`] is the file of the
//! callers' keys.

pub mod audit;
pub mod keys;
pub mod ledger;
pub mod quota;
pub mod stops;
