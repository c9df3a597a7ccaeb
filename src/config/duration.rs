//! Durations as people write them: `90d`, `1h30m`, `500ms`.

use std::time::Duration;

/// The units, with their length in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("ms", 1),
    ("m", 60_000),
    ("s", 1000),
];

/// Reads a duration: numbers with the units w, d, h, m, s, ms, largest first by custom but not by
/// rule. A bare number has no meaning, months and years have no fixed length: both are refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut millis: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..end])?.1;
        millis = millis.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[end..];
    }
    (!text.is_empty()).then(|| Duration::from_millis(millis))
}

/// Writes a duration as [`parse_duration`] reads it, to the millisecond: `90d`, `1h30m`. No weeks: people
/// count validity in days.
pub(super) fn duration_text(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)]
    {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0..=u64::MAX) {
            let duration = Duration::from_millis(millis);
            proptest::prop_assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
        }
    }

    #[test]
    fn reads_units_and_sums() {
        let cases = [
            ("365d", 365 * 86_400_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("10m", 600_000),
            ("2w", 1_209_600_000),
            ("250ms", 250),
            ("0s", 0),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_fixed_length() {
        for text in ["", "5", "1y", "1 h", "h", "-1h", "1.5h", "1H", "99999999999999999999d", "١h"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("18446744073709551615w"), None, "overflow is refused");
    }
}
