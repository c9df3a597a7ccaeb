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

#[cfg(test)]
mod tests {
    use super::*;

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
