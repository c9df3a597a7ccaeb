//! How far a long command has come: on a terminal, and nowhere else.

use std::io::{IsTerminal as _, Write as _};

use super::output;

/// How far it has come, for a person at a terminal.
pub(super) struct Progress {
    what: &'static str,
    end: u64,
    percent: Option<u64>,
    shown: bool,
}

impl Progress {
    /// `what` is counted up to `end`.
    pub(super) fn new(what: &'static str, end: u64) -> Self {
        Self { what, end, percent: None, shown: std::io::stderr().is_terminal() }
    }

    /// So many are `done`.
    pub(super) fn at(&mut self, done: u64) {
        let percent = done.saturating_mul(100).checked_div(self.end);
        if self.shown && percent != self.percent {
            self.percent = percent;
            let _ = write!(std::io::stderr(), "\r{}: {done} of {}", self.what, self.end);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.percent.is_some() {
            output::note("");
        }
    }
}
