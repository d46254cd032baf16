//! Every suite as a user of the crate sees it.

mod figures;
