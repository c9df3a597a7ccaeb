//! A record as a line: time, level, role, message, fields.

use std::fmt::Write as _;

use log::{Level, Record};

use super::clean::{self, MAX_MESSAGE};
use crate::clock::Timestamp;

/// What stands at the beginning of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prefix {
    /// The time, for people and files.
    Time(Timestamp),
    /// `<N>`, the syslog level, for systemd, which adds the time itself.
    Syslog,
}

/// The record as one line with its newline.
pub(super) fn line(prefix: Prefix, role: &str, record: &Record<'_>) -> String {
    let mut out = match prefix {
        Prefix::Time(time) => format!("{time} {:5} ", record.level()),
        Prefix::Syslog => format!("<{}>", syslog_level(record.level())),
    };
    let _ = write!(out, "{role}: {}", clean::clean(record.args(), MAX_MESSAGE));
    for (name, value) in clean::fields(record.key_values()) {
        let _ = write!(out, " {name}=");
        let bare = |c: char| !c.is_whitespace() && !matches!(c, '"' | '\\' | '=');
        if !value.is_empty() && value.chars().all(bare) {
            out.push_str(&value);
        } else {
            let _ = write!(out, "\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        }
    }
    out.push('\n');
    out
}

/// The syslog level (RFC 5424 section 6.2.1), as systemd-journal-logger maps it.
const fn syslog_level(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 5,
        Level::Debug => 6,
        Level::Trace => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(message: &str, fields: &[(&str, &str)]) -> String {
        let time = Timestamp::from_unix_millis(1_700_000_000_123);
        let record = |args: std::fmt::Arguments<'_>| {
            let record =
                Record::builder().args(args).level(Level::Warn).key_values(&fields).build();
            line(Prefix::Time(time), "signer", &record)
        };
        record(format_args!("{message}"))
    }

    #[test]
    fn a_line_is_readable() {
        assert_eq!(
            logged("refused", &[("transaction", "4f2a"), ("reason", "no challenge"), ("n", "")]),
            "2023-11-14T22:13:20.123Z WARN  signer: refused transaction=4f2a \
             reason=\"no challenge\" n=\"\"\n"
        );
    }

    #[test]
    fn a_value_forges_neither_a_line_nor_a_field() {
        let line = logged(
            "a\nb",
            &[
                ("tid", "x\n2023 ERROR signer: fake"),
                ("cn", "a\" outcome=\"success"),
                ("e", "\x1b[2J"),
            ],
        );
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert!(line.contains(r#"tid="x\\n2023 ERROR signer: fake""#), "{line}");
        assert!(line.contains(r#"cn="a\" outcome=\"success""#), "{line}");
        assert!(!line.contains('\x1b'), "{line}");
    }

    #[test]
    fn systemd_gets_its_level() {
        let record = Record::builder().args(format_args!("m")).level(Level::Error).build();
        assert_eq!(line(Prefix::Syslog, "frontend", &record), "<3>frontend: m\n");
    }
}
