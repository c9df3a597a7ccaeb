//! Wrong challenge passwords are counted, a source at a time and all together, so that nobody can
//! try many (docs/threats.md t04). Who has had too many wrong ones is told to come back later
//! before a challenge is looked at, so that the answer says nothing of the challenge. Queries for
//! what is not there (t19) and envelopes that cannot be opened (t14) are counted in the same way.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// How many misses are borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuessLimits {
    /// From one source (an IPv4 address, an IPv6 /64) in a window.
    pub per_source: u32,
    /// From all sources together in a window; it also bounds what is remembered.
    pub total: u32,
    /// The length of a window.
    pub window: Duration,
}

/// The misses of the current window. Simultaneous requests can go over a limit by as
/// many as are being decided at that moment.
#[derive(Debug)]
pub struct Guesses {
    limits: Mutex<GuessLimits>,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Timestamp>,
    total: u32,
    sources: HashMap<IpAddr, u32>,
}

/// Nothing of the kind that comes from this source is looked at for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyGuesses {
    /// Seconds until the window ends; at least 1.
    pub retry_after_seconds: u32,
}

impl Guesses {
    /// Nothing counted yet.
    pub fn new(limits: GuessLimits) -> Self {
        Self { limits: Mutex::new(limits), window: Mutex::default() }
    }

    /// Other limits from now on; what was counted counts on.
    pub fn limit(&self, limits: GuessLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn limits(&self) -> GuessLimits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what came from `source` may be looked at now.
    pub fn admit(&self, source: IpAddr, now: Timestamp) -> Result<(), TooManyGuesses> {
        let limits = self.limits();
        let window = self.current(now, &limits);
        let of_source = window.sources.get(&network(source)).copied().unwrap_or_default();
        if of_source < limits.per_source && window.total < limits.total {
            return Ok(());
        }
        let end = window.began.unwrap_or(now).after(limits.window);
        let left = end.since(now).as_millis().div_ceil(1000);
        Err(TooManyGuesses { retry_after_seconds: u32::try_from(left).unwrap_or(u32::MAX).max(1) })
    }

    /// Counts a miss of `source`; says whether this one reached a limit.
    pub fn missed(&self, source: IpAddr, now: Timestamp) -> bool {
        let limits = self.limits();
        let mut window = self.current(now, &limits);
        window.total = window.total.saturating_add(1);
        let total = window.total;
        let of_source = window.sources.entry(network(source)).or_default();
        *of_source = of_source.saturating_add(1);
        *of_source == limits.per_source || total == limits.total
    }

    /// The window of `now`; a clock that went back begins a new one.
    fn current(&self, now: Timestamp, limits: &GuessLimits) -> MutexGuard<'_, Window> {
        // Held for arithmetic only; a poisoned one is still in order.
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |began: Timestamp| now >= began && now.since(began) < limits.window;
        if !window.began.is_some_and(fresh) {
            *window = Window { began: Some(now), ..Window::default() };
        }
        window
    }
}

/// What stands for a source: one sender may have a whole IPv6 /64.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GuessLimits =
        GuessLimits { per_source: 3, total: 5, window: Duration::from_secs(60) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000 + seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn t04_a_source_with_too_many_wrong_challenges_waits_for_the_window_to_end() {
        let guesses = Guesses::new(LIMITS);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        for n in 1..=3 {
            assert_eq!(guesses.admit(bad, at(n)), Ok(()));
            assert_eq!(guesses.missed(bad, at(n)), n == 3, "guess {n}");
        }
        assert_eq!(guesses.admit(bad, at(11)), Err(TooManyGuesses { retry_after_seconds: 50 }));
        assert_eq!(guesses.admit(good, at(11)), Ok(()), "others are served");
        assert_eq!(guesses.admit(bad, at(61)), Ok(()), "the window is over");
    }

    #[test]
    fn other_limits_hold_for_what_was_counted() {
        let guesses = Guesses::new(LIMITS);
        let source = address("192.0.2.1");
        for _ in 0..2 {
            guesses.missed(source, at(0));
        }
        assert_eq!(guesses.admit(source, at(0)), Ok(()));
        guesses.limit(GuessLimits { per_source: 2, ..LIMITS });
        assert!(guesses.admit(source, at(0)).is_err());
        guesses.limit(LIMITS);
        assert_eq!(guesses.admit(source, at(0)), Ok(()));
    }

    #[test]
    fn t04_many_sources_together_reach_the_total() {
        let guesses = Guesses::new(LIMITS);
        for n in 1..=5 {
            let source = address(&format!("192.0.2.{n}"));
            assert_eq!(guesses.admit(source, at(0)), Ok(()));
            assert_eq!(guesses.missed(source, at(0)), n == 5);
        }
        assert!(guesses.admit(address("198.51.100.1"), at(0)).is_err());
    }

    #[test]
    fn t04_a_site_of_ipv6_is_one_source_and_an_old_clock_begins_anew() {
        let guesses = Guesses::new(LIMITS);
        for n in 1..=3 {
            guesses.missed(address(&format!("2001:db8::{n}")), at(0));
        }
        assert!(guesses.admit(address("2001:db8::ffff:1"), at(0)).is_err());
        assert!(guesses.admit(address("2001:db8:0:1::1"), at(0)).is_ok());
        guesses.missed(address("::ffff:192.0.2.9"), at(0));
        guesses.missed(address("192.0.2.9"), at(0));
        assert!(guesses.admit(address("2001:db8:0:1::1"), at(0)).is_err(), "five in all");
        assert!(guesses.admit(address("2001:db8::1"), Timestamp::from_unix_seconds(5)).is_ok());
    }
}
