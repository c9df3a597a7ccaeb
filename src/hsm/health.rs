//! Whether the HSM is there: what the threads report, and what they wait for.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::job::JobError;
use super::module::locked;

/// For so long after the HSM went away its callers wait for it; later ones are told at once.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether the HSM is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HsmState {
    /// It works.
    Up,
    /// It is away; it is tried again and again.
    Down {
        /// How that showed.
        reason: String,
    },
    /// The token refuses the PIN. Nothing is tried any more until a restart.
    PinRefused {
        /// The return code's name, or the token's flag.
        reason: String,
    },
}

/// The state, and who waits for its change.
pub(super) struct Health {
    inner: Mutex<Inner>,
    changed: Condvar,
}

struct Inner {
    state: HsmState,
    since: Instant,
    stopping: bool,
}

/// What the keeper has to do.
pub(super) enum Event {
    /// Look after the threads.
    Tick,
    /// Bring the HSM back; it went away for this reason.
    Down(String),
    /// End.
    Stop,
}

impl Health {
    pub(super) fn new() -> Self {
        let inner = Inner { state: HsmState::Up, since: Instant::now(), stopping: false };
        Self { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    pub(super) fn state(&self) -> HsmState {
        locked(&self.inner).state.clone()
    }

    /// Whether it works.
    pub(super) fn is_up(&self) -> bool {
        locked(&self.inner).state == HsmState::Up
    }

    /// Waits until the HSM works, at most until `deadline` and no longer than callers are to wait
    /// for an HSM that is away.
    pub(super) fn wait(&self, deadline: Instant) -> Result<(), JobError> {
        let mut inner = locked(&self.inner);
        loop {
            let reason = match &inner.state {
                HsmState::Up => return Ok(()),
                HsmState::PinRefused { reason } => {
                    return Err(JobError::PinRefused(reason.clone()));
                }
                HsmState::Down { reason } => reason,
            };
            let until = deadline.min(inner.since + PATIENCE);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || inner.stopping {
                return Err(JobError::Away(reason.clone()));
            }
            let waited = self.changed.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An error for a new job, where waiting has no prospect.
    pub(super) fn hopeless(&self) -> Option<JobError> {
        let inner = locked(&self.inner);
        match &inner.state {
            HsmState::Down { reason } if inner.since.elapsed() > PATIENCE => {
                Some(JobError::Away(reason.clone()))
            }
            HsmState::PinRefused { reason } => Some(JobError::PinRefused(reason.clone())),
            _ => None,
        }
    }

    /// A thread found the HSM away.
    pub(super) fn report(&self, reason: String) {
        let mut inner = locked(&self.inner);
        if inner.state == HsmState::Up {
            inner.state = HsmState::Down { reason };
            inner.since = Instant::now();
            self.changed.notify_all();
        }
    }

    /// The token refused the PIN. Whether that was not known before.
    pub(super) fn refuse(&self, reason: String) -> bool {
        let mut inner = locked(&self.inner);
        let known = matches!(inner.state, HsmState::PinRefused { .. });
        inner.state = HsmState::PinRefused { reason };
        self.changed.notify_all();
        !known
    }

    /// The HSM works again; says how long it was away.
    pub(super) fn up(&self) -> Duration {
        let mut inner = locked(&self.inner);
        inner.state = HsmState::Up;
        self.changed.notify_all();
        std::mem::replace(&mut inner.since, Instant::now()).elapsed()
    }

    /// Ends the keeper and lets nobody wait any longer.
    pub(super) fn stop(&self) {
        locked(&self.inner).stopping = true;
        self.changed.notify_all();
    }

    /// What is to be done; a tick after `pause` at the latest.
    pub(super) fn next(&self, pause: Duration) -> Event {
        let mut inner = locked(&self.inner);
        let deadline = Instant::now() + pause;
        loop {
            match &inner.state {
                _ if inner.stopping => return Event::Stop,
                HsmState::Down { reason } => return Event::Down(reason.clone()),
                HsmState::Up | HsmState::PinRefused { .. } => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Tick;
            }
            let waited = self.changed.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Sleeps for `pause`; whether to go on after it.
    pub(super) fn sleep(&self, pause: Duration) -> bool {
        let deadline = Instant::now() + pause;
        let mut inner = locked(&self.inner);
        while !inner.stopping {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            let waited = self.changed.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_return() {
        let health = Health::new();
        health.wait(Instant::now()).unwrap();
        health.report("gone".into());
        let waited = health.wait(Instant::now() + Duration::from_millis(10));
        assert!(matches!(waited, Err(JobError::Away(reason)) if reason == "gone"));
        assert!(health.hopeless().is_none());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| health.wait(Instant::now() + Duration::from_secs(30)));
            health.up();
            waiting.join().unwrap().unwrap();
        });
    }

    #[test]
    fn a_refused_pin_is_final_at_once() {
        let health = Health::new();
        assert!(health.refuse("CKR_PIN_LOCKED".into()), "it was not known");
        assert!(!health.refuse("CKR_PIN_LOCKED".into()), "it is told once");
        let waited = health.wait(Instant::now() + Duration::from_secs(30));
        assert!(matches!(waited, Err(JobError::PinRefused(_))));
        assert!(matches!(health.hopeless(), Some(JobError::PinRefused(_))));
        health.report("gone".into());
        assert!(matches!(health.state(), HsmState::PinRefused { .. }));
    }
}
