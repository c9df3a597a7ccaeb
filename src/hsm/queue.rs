//! The bounded queue between those who want an operation and the threads that have the sessions.
//! Each rank has room of its own and a higher rank goes first, so that a flood of envelopes to open
//! cannot make a signature fail whose reservation stands in the ledger already.
//! A bounded tokio channel has one receiver, and a retry has to go to another thread than the
//! one that failed, so this is a deque under a mutex.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::module::locked;

/// Jobs that wait for a thread.
pub(super) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    capacity: usize,
}

struct State<J> {
    ranks: [VecDeque<J>; RANKS],
    closed: bool,
}

/// How far the work has come to which a job belongs: what was begun is ended before more is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// A signature to which the ledger is committed.
    Committed,
    /// A signed reply.
    Reply,
    /// An envelope to open: new work.
    Intake,
}

const RANKS: usize = 3;

/// What the queue wants to know of a job.
pub(super) trait Queued {
    /// The thread that must not take it.
    fn avoids(&self) -> Option<usize>;

    /// Its rank.
    fn rank(&self) -> Rank;
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// The queue is full.
    Full,
    /// The queue is closed.
    Closed,
}

impl<J: Queued> Queue<J> {
    /// An empty queue in which `capacity` jobs of each rank may wait.
    pub(super) fn new(capacity: usize) -> Self {
        let state = State { ranks: std::array::from_fn(|_| VecDeque::new()), closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity }
    }

    /// Adds `job` at the end of its rank.
    pub(super) fn push(&self, job: J) -> Result<(), (Rejected, J)> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err((Rejected::Closed, job));
        }
        let jobs = &mut state.ranks[job.rank() as usize];
        if jobs.len() >= self.capacity {
            return Err((Rejected::Full, job));
        }
        // A thread that must not take this job would swallow a single wake-up.
        let particular = job.avoids().is_some();
        jobs.push_back(job);
        drop(state);
        if particular {
            self.changed.notify_all();
        } else {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next job for thread `worker`; none once the queue is closed and empty.
    pub(super) fn pop(&self, worker: usize) -> Option<J> {
        let mut state = locked(&self.state);
        loop {
            let job = state.ranks.iter_mut().find_map(|jobs| {
                let mine = jobs.iter().position(|job| job.avoids() != Some(worker))?;
                jobs.remove(mine)
            });
            if job.is_some() {
                return job;
            }
            if state.closed && state.ranks.iter().all(VecDeque::is_empty) {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes no more jobs; those that wait are still handed out.
    pub(super) fn close(&self) {
        let mut state = locked(&self.state);
        state.closed = true;
        drop(state);
        self.changed.notify_all();
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        locked(&self.state).ranks.iter().map(VecDeque::len).sum()
    }
}

/// Whether `deadline` is over.
pub(super) fn expired(deadline: Instant) -> bool {
    Instant::now() >= deadline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Job(u32, Option<usize>, Rank);

    impl Queued for Job {
        fn avoids(&self) -> Option<usize> {
            self.1
        }

        fn rank(&self) -> Rank {
            self.2
        }
    }

    fn job(number: u32, avoids: Option<usize>) -> Job {
        Job(number, avoids, Rank::Reply)
    }

    #[test]
    fn a_flood_of_envelopes_leaves_signing_its_room_and_its_turn() {
        let queue = Queue::new(2);
        let ranked = |number, rank| Job(number, None, rank);
        queue.push(ranked(1, Rank::Intake)).unwrap();
        queue.push(ranked(2, Rank::Intake)).unwrap();
        assert!(matches!(queue.push(ranked(3, Rank::Intake)), Err((Rejected::Full, _))));
        for (number, rank) in [(4, Rank::Reply), (5, Rank::Committed), (6, Rank::Committed)] {
            queue.push(ranked(number, rank)).unwrap();
        }
        assert!(matches!(queue.push(ranked(7, Rank::Committed)), Err((Rejected::Full, _))));
        assert_eq!(queue.len(), 5);
        let order: Vec<u32> = (0..5).map(|_| queue.pop(0).unwrap().0).collect();
        assert_eq!(order, [5, 6, 4, 1, 2]);
    }

    #[test]
    fn is_bounded_and_in_order() {
        let queue = Queue::new(2);
        queue.push(job(1, None)).unwrap();
        queue.push(job(2, None)).unwrap();
        assert_eq!(queue.push(job(3, None)), Err((Rejected::Full, job(3, None))));
        assert_eq!(queue.pop(0), Some(job(1, None)));
        assert_eq!(queue.pop(0), Some(job(2, None)));
    }

    #[test]
    fn a_thread_passes_over_jobs_that_avoid_it() {
        let queue = Queue::new(8);
        queue.push(job(1, Some(0))).unwrap();
        queue.push(job(2, None)).unwrap();
        assert_eq!(queue.pop(0), Some(job(2, None)));
        assert_eq!(queue.pop(1), Some(job(1, Some(0))));
    }

    #[test]
    fn a_closed_queue_is_drained_first() {
        let queue = Queue::new(8);
        queue.push(job(1, None)).unwrap();
        queue.close();
        assert_eq!(queue.push(job(2, None)), Err((Rejected::Closed, job(2, None))));
        assert_eq!(queue.pop(0), Some(job(1, None)));
        assert_eq!(queue.pop(0), None);
    }
}
