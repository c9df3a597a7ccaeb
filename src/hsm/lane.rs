//! A lane: the place of one worker thread, which is given to another when the first hangs.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::module::locked;

/// One thread's place.
#[derive(Default)]
pub(super) struct Lane(Mutex<State>);

#[derive(Default)]
struct State {
    /// Counts the threads that had this lane.
    holder: u64,
    /// Since when the holder is in a call.
    since: Option<Instant>,
}

impl Lane {
    /// Who has the lane now.
    pub(super) fn holder(&self) -> u64 {
        locked(&self.0).holder
    }

    /// `holder` begins a call.
    pub(super) fn begin(&self, holder: u64) {
        let mut state = locked(&self.0);
        if state.holder == holder {
            state.since = Some(Instant::now());
        }
    }

    /// `holder` is back from its call; whether it still has the lane.
    pub(super) fn end(&self, holder: u64) -> bool {
        let mut state = locked(&self.0);
        let mine = state.holder == holder;
        if mine {
            state.since = None;
        }
        mine
    }

    /// How long the holder has been in its call.
    pub(super) fn busy_for(&self) -> Option<Duration> {
        locked(&self.0).since.map(|since| since.elapsed())
    }

    /// Takes the lane from its holder.
    pub(super) fn give_up(&self) {
        let mut state = locked(&self.0);
        state.holder += 1;
        state.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_lost_its_lane_learns_it() {
        let lane = Lane::default();
        let first = lane.holder();
        lane.begin(first);
        assert!(lane.busy_for().is_some());
        lane.give_up();
        let second = lane.holder();
        assert!(lane.busy_for().is_none());
        lane.begin(second);
        assert!(!lane.end(first));
        assert!(lane.busy_for().is_some(), "the first must not end the second's call");
        assert!(lane.end(second) && lane.busy_for().is_none());
    }
}
