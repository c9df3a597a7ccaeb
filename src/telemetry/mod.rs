//! Logs, metrics, and whether a role still answers: journald records where there is a journal, lines on stderr where there is none.
//! Owns: field names, escaping. Never: a secret (I11).
//!
//! Everything logs through the `log` macros with structured fields:
//!
//! ```
//! use chancery::telemetry::event;
//! log::info!(event = event::ENROLMENT, transaction = "4f2a", outcome = "success"; "enrolled");
//! ```
//!
//! Text from outside (transaction IDs, names) goes into fields, never into the message's format. Both
//! are escaped and cut here, so no caller has to think of it (T53).

mod clean;
pub mod event;
mod lines;
mod logger;
pub mod metrics;
pub mod pulse;

pub use clean::clean as escaped;
pub use logger::{InitError, Options, init};
