//! Moments as data: whole seconds in UTC, written as `2026-11-23T19:07:00Z` and in no other form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;
/// 9999-12-31T23:59:59Z: the last moment that has four digits for its year.
const LAST: u64 = 253_402_300_799;

/// A moment from 1970-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// Why something is not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a moment: expected the form 2026-11-23T19:07:00Z, from 1970 to 9999")]
pub struct InstantError(String);

impl Instant {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// So many seconds after 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// After the year 9999.
    pub fn from_seconds(seconds: u64) -> Result<Self, InstantError> {
        if seconds <= LAST { Ok(Self(seconds)) } else { Err(InstantError(seconds.to_string())) }
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> u64 {
        self.0
    }

    /// So many days later, at most the last moment.
    #[must_use]
    pub fn plus_days(self, days: u64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(DAY_S)).min(LAST))
    }

    /// Year, month and day. The algorithm is `civil_from_days` of Howard Hinnant, "chrono-Compatible Low-Level Date
    /// Algorithms".
    fn date(self) -> (u64, u64, u64) {
        let z = self.0 / DAY_S + 719_468;
        let (era, day_of_era) = (z / 146_097, z % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        (year_of_era + era * 400 + u64::from(month <= 2), month, day)
    }

    /// `2026-11-23`.
    pub fn day(self) -> String {
        let (year, month, day) = self.date();
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Days from 1970-01-01 to a date (`days_from_civil`, same source).
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = self.0 % DAY_S;
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}Z", self.day())
    }
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, InstantError> {
        let wrong = || InstantError(crate::untrusted::one_line(text, 40));
        let digits = |from: usize, to: usize| {
            let part = text.get(from..to).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse::<u64>().ok()).ok_or_else(wrong)
        };
        let (year, month, day) = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return Err(wrong());
        }
        let time = digits(11, 13)? * 3_600 + digits(14, 16)? * 60 + digits(17, 19)?;
        let seconds = days(year, month, day).ok_or_else(wrong)? * DAY_S + time;
        let moment = Self::from_seconds(seconds).map_err(|_| wrong())?;
        // One text for each moment: no 30 February, no hour 24, no other separators.
        if moment.to_string() == text { Ok(moment) } else { Err(wrong()) }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_234_567_890, "2009-02-13T23:31:30Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Instant::from_seconds(seconds).unwrap().to_string(), text);
            assert_eq!(text.parse::<Instant>().unwrap().seconds(), seconds);
        }
        assert!(Instant::from_seconds(LAST + 1).is_err());
    }

    #[test]
    fn every_day_for_three_centuries_comes_back() {
        let mut last = String::new();
        for day in 0..110_000 {
            let moment = Instant::from_seconds(day * DAY_S + 1).unwrap();
            let text = moment.to_string();
            assert_eq!(text.parse::<Instant>().unwrap(), moment);
            assert!(text > last);
            last = text;
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T19:07:00",
            "2026-11-23T19:07:00+00:00",
            "2026-11-23 19:07:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-23T24:00:00Z",
            "2026-11-23T19:07:60Z",
            "1969-12-31T23:59:59Z",
            "2026-11-23T19:07:00.0Z",
            "２026-11-23T19:07:00Z",
        ] {
            assert!(text.parse::<Instant>().is_err(), "{text}");
        }
    }
}
