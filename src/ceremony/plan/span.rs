//! Lengths of time as calendars have them: `20y`, `18mo`, `90d`, `12h`.

use der::DateTime;
use serde::Deserialize;

use crate::clock::Timestamp;

/// A length of time. Years and months follow the calendar, so that `10y` ends on the same date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    months: u32,
    hours: u32,
}

impl Span {
    /// The moment so long after `start`. A day that the month does not have becomes its last one.
    pub fn after(self, start: Timestamp) -> Timestamp {
        let start = start.unix_seconds();
        let shifted = self.shift_months(start).unwrap_or(start);
        Timestamp::from_unix_seconds(shifted + u64::from(self.hours) * 3600)
    }

    fn shift_months(self, start: u64) -> Option<u64> {
        let date = DateTime::from_unix_duration(std::time::Duration::from_secs(start)).ok()?;
        let months = u32::from(date.year()) * 12 + u32::from(date.month()) - 1 + self.months;
        let (year, month) = (u16::try_from(months / 12).ok()?, u8::try_from(months % 12 + 1).ok()?);
        let day =
            |day| DateTime::new(year, month, day, date.hour(), date.minutes(), date.seconds()).ok();
        let found = (0..4).find_map(|less| day(date.day().checked_sub(less)?))?;
        Some(found.unix_duration().as_secs())
    }

    /// Days, years and months counted long.
    pub fn days_at_most(self) -> u32 {
        self.months * 31 + self.hours.div_ceil(24)
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.months, self.hours) {
            (months @ 1.., 0) if months.is_multiple_of(12) => write!(f, "{}y", months / 12),
            (months @ 1.., 0) => write!(f, "{months}mo"),
            (_, hours) if hours.is_multiple_of(24) => write!(f, "{}d", hours / 24),
            (_, hours) => write!(f, "{hours}h"),
        }
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u32 =
            number.parse().ok().filter(|n| (1..=100_000).contains(n)).ok_or_else(|| {
                format!(
                    "«{}» is no length of time: write 20y, 18mo, 90d or 12h",
                    text.escape_debug()
                )
            })?;
        match unit {
            "y" if number <= 100 => Ok(Self { months: number * 12, hours: 0 }),
            "mo" if number <= 1200 => Ok(Self { months: number, hours: 0 }),
            "d" => Ok(Self { months: 0, hours: number * 24 }),
            "h" => Ok(Self { months: 0, hours: number }),
            _ => Err(format!(
                "«{}» is no length of time: write 20y, 18mo, 90d or 12h",
                text.escape_debug()
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(span: &str, date: &str) -> String {
        let date: DateTime = date.parse().unwrap();
        let start = Timestamp::from_unix_seconds(date.unix_duration().as_secs());
        span.parse::<Span>().unwrap().after(start).to_string()
    }

    #[test]
    fn follows_the_calendar() {
        assert_eq!(after("20y", "2026-03-01T12:00:00Z"), "2046-03-01T12:00:00.000Z");
        assert_eq!(after("1y", "2028-02-29T00:00:00Z"), "2029-02-28T00:00:00.000Z");
        assert_eq!(after("1mo", "2026-01-31T00:00:00Z"), "2026-02-28T00:00:00.000Z");
        assert_eq!(after("11mo", "2026-02-01T00:00:00Z"), "2027-01-01T00:00:00.000Z");
        assert_eq!(after("90d", "2026-01-01T00:00:00Z"), "2026-04-01T00:00:00.000Z");
        assert_eq!(after("12h", "2026-01-01T00:00:00Z"), "2026-01-01T12:00:00.000Z");
    }

    #[test]
    fn refuses_what_is_none() {
        for text in ["", "y", "0d", "10", "5m", "-1d", "999y", "1.5y"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
