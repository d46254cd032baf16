//! Time, in both of its kinds: what the wall says, which can be set, and what has passed, which cannot.

use std::time::{SystemTime, UNIX_EPOCH};

use loadline_core::Instant;

/// A moment as the gate sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since 1970 by the wall clock.
    pub wall_ms: u64,
    /// Milliseconds since some fixed moment of this process; never goes back.
    pub passed_ms: u64,
}

impl Moment {
    /// The wall clock's moment in whole seconds.
    pub fn wall(self) -> Instant {
        // A clock beyond the year 9999 is broken; nothing holds at its last moment.
        Instant::from_seconds(self.wall_ms / 1_000).unwrap_or(Instant::EPOCH.plus_days(u64::MAX))
    }
}

/// Where moments come from: the system, or a test.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Moment;
}

/// The system's clocks.
#[derive(Debug)]
pub struct SystemClock(std::time::Instant);

impl SystemClock {
    /// Begins to count now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment { wall_ms: millis(wall), passed_ms: millis(self.0.elapsed()) }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
