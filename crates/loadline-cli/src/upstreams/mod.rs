//! What the program gives a gate to reach models by: connections with TLS, and models of this process.

mod dial;
mod resident;

pub use dial::Dialer;
pub use resident::Residents;
