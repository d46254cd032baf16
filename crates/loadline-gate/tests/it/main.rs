//! The gate from outside: between real sockets, and on disks that fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test helper may panic as a test may")]

mod admission;
mod attacks;
mod config;
mod durable;
mod guards;
mod observe;
mod proxy;
mod residents;
mod run;
mod standing;
mod stop;
mod support;
mod tls;
mod watch;
mod watch_licensed;
