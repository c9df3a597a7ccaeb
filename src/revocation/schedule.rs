//! When the next list is made.

use std::time::Duration;

use crate::clock::Timestamp;

/// How long a list holds, and how soon the next one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From a list's date to its nextUpdate.
    pub next_update: Duration,
    /// From one list to the next, where nothing happens; less than `next_update`, so that there is
    /// time to mend what keeps a list from being made.
    pub refresh: Duration,
}

impl Schedule {
    /// Whether the list that was made at `made` is to be followed by another. A list from the future
    /// is: the clock was set back, and whoever reads the list would refuse it.
    pub fn is_due(&self, made: Timestamp, now: Timestamp) -> bool {
        now.since(made) >= self.refresh || made > now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_followed_after_the_refresh_and_never_from_the_future() {
        let day = Duration::from_secs(86_400);
        let schedule = Schedule { next_update: day * 7, refresh: day };
        let made = Timestamp::from_unix_seconds(1_700_000_000);
        assert!(!schedule.is_due(made, made));
        assert!(!schedule.is_due(made, made.after(day - Duration::from_millis(1))));
        assert!(schedule.is_due(made, made.after(day)));
        assert!(schedule.is_due(made.after(day), made));
    }
}
