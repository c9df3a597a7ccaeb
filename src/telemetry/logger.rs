//! The logger: chooses the journal or standard error and hands over cleaned records.

use std::io::Write as _;

use log::{Level, LevelFilter, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use super::clean::{self, MAX_MESSAGE};
use super::event;
use super::lines::{Prefix, line};
use crate::clock::{Clock as _, SystemClock};

/// What [`init`] wants to know.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The least severe level that is logged. Other crates than ours are heard from `warn` up.
    pub level: LevelFilter,
    /// The process's role (`signer`), in every record.
    pub role: &'static str,
}

/// The logger was set before.
#[derive(Debug, thiserror::Error)]
#[error("logging is set up twice in this process; call telemetry::init once, in main")]
pub struct InitError;

/// Sets the process's logger: the journal's own protocol where stderr is connected to the journal,
/// else lines on stderr.
pub fn init(options: Options) -> Result<(), InitError> {
    let target = if connected_to_journal() {
        // Under a sandbox that hides the journal's socket, stderr still reaches it.
        JournalLog::empty().map_or(Target::Stderr { to_systemd: true }, |journal| {
            Target::Journal(
                journal
                    .with_syslog_identifier("chancery".to_owned())
                    .add_extra_field("CHANCERY_ROLE", options.role),
            )
        })
    } else {
        Target::Stderr { to_systemd: false }
    };
    let logger = Logger { target, options };
    log::set_boxed_logger(Box::new(logger)).map_err(|_| InitError)?;
    log::set_max_level(options.level);
    Ok(())
}

struct Logger {
    target: Target,
    options: Options,
}

enum Target {
    Journal(JournalLog),
    Stderr { to_systemd: bool },
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        // The process's, which a reload changes.
        let level = log::max_level();
        // What it returns as an error it logs as well, and each mechanism that it has no name for.
        if target.starts_with("cryptoki") {
            return level >= LevelFilter::Debug;
        }
        let ours = target == "chancery" || target.starts_with("chancery::");
        metadata.level() <= level && (ours || metadata.level() <= Level::Warn)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        match &self.target {
            Target::Journal(journal) if send(journal, record).is_ok() => {}
            Target::Journal(_) | Target::Stderr { to_systemd: true } => {
                write(&line(Prefix::Syslog, self.options.role, record));
            }
            Target::Stderr { to_systemd: false } => {
                write(&line(Prefix::Time(SystemClock.now()), self.options.role, record));
            }
        }
    }

    fn flush(&self) {}
}

/// Sends the cleaned record; its fields get our prefix, so none can pass for one of the journal's.
fn send(journal: &JournalLog, record: &Record<'_>) -> std::io::Result<()> {
    let message = clean::clean(record.args(), MAX_MESSAGE);
    let fields = journal_fields(record);
    let mut builder = record.to_builder();
    builder.key_values(&fields);
    journal.journal_send(&builder.args(format_args!("{message}")).build())
}

/// The fields of the journal for a record's own, and the ID of its event.
fn journal_fields(record: &Record<'_>) -> Vec<(String, String)> {
    let own = clean::fields(record.key_values());
    let id = own.iter().find(|(name, _)| name == "event").and_then(|(_, e)| event::message_id(e));
    let prefixed = |(name, value): (String, String)| {
        (format!("CHANCERY_{}", name.to_ascii_uppercase()), value)
    };
    let id = id.map(|id| ("MESSAGE_ID".to_owned(), id.to_owned()));
    id.into_iter().chain(own.into_iter().map(prefixed)).collect()
}

/// One write a line, so that the lines of several processes do not mix. Who closed stderr wants none.
fn write(line: &str) {
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever an attacker has put into names and values: the journal's own fields are ours.
    #[test]
    fn no_field_passes_for_one_of_the_journals() {
        let hostile = "x\nMESSAGE_ID=ffffffffffffffffffffffffffffffff\n_UID=0\0\u{202e}PRIORITY=0";
        let values = [
            ("event", "refused"),
            ("MESSAGE_ID", hostile),
            ("_UID", hostile),
            ("PRIORITY\nMESSAGE", hostile),
            ("source", hostile),
        ];
        let record = Record::builder().key_values(&values).build();
        let fields = journal_fields(&record);
        let id = event::message_id("refused").unwrap();
        assert_eq!(fields[0], ("MESSAGE_ID".to_owned(), id.to_owned()));
        for (name, value) in &fields[1..] {
            assert!(name.starts_with("CHANCERY_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c == '_'), "{name}");
            assert!(!value.contains(['\n', '\0', '\u{202e}']), "{value:?}");
        }
        let none = Record::builder().key_values(&[("event", "made up")]).build();
        assert_eq!(journal_fields(&none)[0].0, "CHANCERY_EVENT");
    }

    #[test]
    fn other_crates_are_heard_when_it_matters() {
        let options = Options { level: LevelFilter::Debug, role: "signer" };
        let logger = Logger { target: Target::Stderr { to_systemd: false }, options };
        log::set_max_level(options.level);
        let enabled = |target: &str, level| {
            logger.enabled(&Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled("chancery::hsm", Level::Debug));
        assert!(!enabled("chancery::hsm", Level::Trace));
        assert!(!enabled("sled::pagecache", Level::Debug));
        assert!(!enabled("chancery_impostor", Level::Info));
        assert!(enabled("sled::pagecache", Level::Warn));
    }
}
