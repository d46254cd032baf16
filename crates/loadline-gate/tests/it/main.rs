//! The gate between real sockets: a caller, the gate, a fake upstream.

mod admission;
mod attacks;
mod config;
mod proxy;
mod standing;
mod stop;
mod support;
