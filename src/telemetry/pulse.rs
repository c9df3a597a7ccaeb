//! Whether everything that a role has going answers: what its service manager's watchdog is fed by. Not
//! whether it has what it needs: an HSM that is away and a disk that is full are a status, and no reason to
//! be killed.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

/// How long a part may be silent before it is dead: what replaces a thread that has ended takes a moment.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts of a role: its loops and threads.
#[derive(Default)]
pub struct Pulse(Mutex<Vec<Part>>);

struct Part {
    name: &'static str,
    answers: Box<dyn Fn() -> bool + Send + Sync>,
    silent_since: Option<Instant>,
}

impl Pulse {
    /// Adds a part; `answers` looks at memory alone, so that it cannot wait for what is outside.
    pub fn part(&self, name: &'static str, answers: impl Fn() -> bool + Send + Sync + 'static) {
        self.lock().push(Part { name, answers: Box::new(answers), silent_since: None });
    }

    /// Adds a task that goes on until the role ends.
    pub fn task<T>(&self, name: &'static str, task: JoinHandle<T>) -> JoinHandle<T> {
        let handle = task.abort_handle();
        self.part(name, move || !handle.is_finished());
        task
    }

    /// Adds a loop that waits for nothing outside: it has to come round within `limit`, too.
    pub fn beat(&self, name: &'static str, limit: Duration) -> Beat {
        let last = Arc::new(Mutex::new(Instant::now()));
        let beat = Beat(last.clone());
        self.part(name, move || lock(&last).elapsed() <= limit);
        beat
    }

    /// Forgets every part: the role ends, and so do they.
    pub fn end(&self) {
        self.lock().clear();
    }

    /// A part that has not answered for a while at `now`, if there is one.
    pub fn silent(&self, now: Instant) -> Option<&'static str> {
        let mut dead = None;
        for part in self.lock().iter_mut() {
            if (part.answers)() {
                part.silent_since = None;
                continue;
            }
            let since = *part.silent_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= PATIENCE {
                dead = dead.or(Some(part.name));
            }
        }
        dead
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Part>> {
        lock(&self.0)
    }
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|part| part.name)).finish()
    }
}

/// Of a loop that comes round.
#[derive(Debug)]
pub struct Beat(Arc<Mutex<Instant>>);

impl Beat {
    /// It came round.
    pub fn beat(&self) {
        *lock(&self.0) = Instant::now();
    }
}

/// Held for a look at memory only; a poisoned one is still in order.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_is_gone_is_named_after_a_while() {
        let pulse = Pulse::default();
        let start = Instant::now();
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        let alive = pulse.task("alive", tokio::spawn(std::future::pending::<()>()));
        let beat = pulse.beat("beats", Duration::from_secs(3600));
        beat.beat();
        assert_eq!(pulse.silent(after(60)), None);

        let task = pulse.task("ended", tokio::spawn(async { panic!("as a defect would") }));
        assert!(task.await.is_err());
        assert_eq!(pulse.silent(after(100)), None, "it may be replaced");
        assert_eq!(pulse.silent(after(109)), None);
        assert_eq!(pulse.silent(after(110)), Some("ended"));
        pulse.end();
        assert_eq!(pulse.silent(after(200)), None);
        alive.abort();

        let _late = pulse.beat("late", Duration::ZERO);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(pulse.silent(after(300)), None);
        assert_eq!(pulse.silent(after(311)), Some("late"));
    }
}
