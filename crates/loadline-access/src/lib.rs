//! The access programme: who gets to use a model before everybody does, for what, and how that was decided.
//!
//! Read in this order: [`programme`] (the rules, one TOML file) → [`request`] (what people sign) → [`desk`] (what is
//! done with it) → [`errand`] (what whoever runs it has done there) → [`book`] (what the log comes to) → `panel` and [`lottery`] (who reviews, who is drawn) →
//! [`figures`] (what is published). [`identity`] is who vouches for a person, [`token`] how nobody learns which person
//! uses what. [`store`] keeps it all in one append-only log. No clock: moments come from the caller.

pub mod book;
pub mod desk;
pub mod errand;
pub mod figures;
pub mod identity;
pub mod lottery;
mod panel;
pub mod programme;
pub mod refusal;
pub mod request;
pub mod rows;
pub mod store;
pub mod token;
pub mod usage;

pub use desk::Desk;
pub use errand::Errand;
pub use programme::Programme;
pub use refusal::Refusal;
