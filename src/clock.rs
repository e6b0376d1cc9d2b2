//! The time, from one place, so that tests can set it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;

/// Where the program takes the time from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

impl Clock {
    /// The clock of the machine.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that others take it from")]
    pub fn system() -> Self {
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that asks `now`.
    pub fn of(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time now, in whole microseconds: what Postgres and ClickHouse can hold.
    pub fn now(&self) -> Timestamp {
        let now = (self.0)();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    /// A point for measuring durations.
    pub fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A duration in seconds, for a histogram.
pub fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// The seconds from one instant to a later one; never below zero, because clocks differ.
pub fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    Duration::try_from(to.duration_since(from)).map_or(0.0, seconds)
}
