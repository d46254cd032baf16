//! What an authority keeps and does.

pub mod found;
pub mod publish;
pub mod roots;
pub mod rotate;
