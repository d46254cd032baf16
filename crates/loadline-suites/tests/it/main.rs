//! Every suite as a user of the crate sees it.

mod ability;
mod chance;
mod figures;
mod golden;
mod items;
mod scoring;
mod solve;
mod support;
