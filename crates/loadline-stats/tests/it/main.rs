//! Tests of the whole crate. `cfg(test)` tells clippy that helpers are test code too.

#[cfg(test)]
mod coverage;
#[cfg(test)]
mod drift;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod published;
#[cfg(test)]
mod results;
#[cfg(test)]
mod simulate;
