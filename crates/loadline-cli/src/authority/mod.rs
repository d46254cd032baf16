//! What an authority keeps and does.

pub mod found;
pub mod roots;
