//! What an authority keeps and does.

pub mod publish;
