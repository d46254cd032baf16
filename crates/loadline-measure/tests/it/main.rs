//! The runner against models whose faults are scripted, on a paused clock: nothing here waits for real time.

mod support;

mod adaptive;
mod budget;
mod export;
mod faults;
mod kill;
mod resume;
mod scoring;
