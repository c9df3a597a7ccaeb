//! The bounded queue between those who want an operation and the threads that have the sessions.
//! Each rank has room of its own and a higher rank goes first, so that a flood of envelopes to open
//! cannot make a signature fail whose reservation stands in the ledger already.
//! A bounded tokio channel has one receiver, and a retry has to go to another thread than the
//! one that failed, so this is a deque under a mutex.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
    sitting_out: usize,
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
        let state = State {
            ranks: std::array::from_fn(|_| VecDeque::new()),
            closed: false,
            sitting_out: 0,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity }
    }

    /// Adds `job` at the end of its rank.
    pub(super) fn push(&self, job: J) -> Result<(), (Rejected, J)> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err((Rejected::Closed, job));
        }
        // A thread that must not take this job, or sits out, would swallow a single wake-up.
        let particular = job.avoids().is_some() || state.sitting_out > 0;
        let jobs = &mut state.ranks[job.rank() as usize];
        if jobs.len() >= self.capacity {
            return Err((Rejected::Full, job));
        }
        jobs.push_back(job);
        drop(state);
        if particular {
            self.changed.notify_all();
        } else {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Puts back a job that was taken, before all others of its rank; it comes back where the queue is
    /// closed, for the others may have gone.
    pub(super) fn put_back(&self, job: J) -> Result<(), J> {
        let mut state = locked(&self.state);
        if state.closed {
            return Err(job);
        }
        state.ranks[job.rank() as usize].push_front(job);
        drop(state);
        self.changed.notify_all();
        Ok(())
    }

    /// Waits for `pause` without taking a job; whether the queue was closed meanwhile.
    pub(super) fn sit_out(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        let mut state = locked(&self.state);
        state.sitting_out += 1;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                state.sitting_out -= 1;
                return state.closed;
            }
            let waited = self.changed.wait_timeout(state, left);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
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
    fn a_job_put_back_is_the_next_and_wakes_past_those_who_sit_out() {
        let queue = Queue::new(8);
        queue.push(job(1, None)).unwrap();
        queue.push(job(2, None)).unwrap();
        let first = queue.pop(0).unwrap();
        queue.put_back(first).unwrap();
        assert_eq!(queue.pop(1), Some(job(1, None)));
        assert_eq!(queue.pop(1), Some(job(2, None)));
        assert!(!queue.sit_out(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let sits_out = scope.spawn(|| queue.sit_out(Duration::from_secs(600)));
            let works = scope.spawn(|| queue.pop(1));
            while locked(&queue.state).sitting_out == 0 {
                std::thread::yield_now();
            }
            queue.push(job(3, None)).unwrap();
            assert_eq!(works.join().unwrap(), Some(job(3, None)));
            queue.close();
            assert!(sits_out.join().unwrap());
        });
        assert_eq!(queue.put_back(job(4, None)), Err(job(4, None)));
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
