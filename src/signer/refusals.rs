//! Refusals are counted, not recorded one by one: whoever can send a message must not be able to
//! fill the ledger. One entry a minute, endpoint, source and reason; the sources beyond the bound
//! of a minute share one. A local user who may not use a socket is such a source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Timestamp;
use crate::ledger::{Actor, Draft, Event, Fingerprint, Origin, Outcome, Refusals};

/// How many different counters one minute may have.
const BOUND: usize = 256;

/// What stands for the sources beyond the bound.
const OTHERS: &str = "others";

/// The counters of the minutes that are not yet in the ledger.
#[derive(Debug, Default)]
pub(super) struct RefusalCounter(Mutex<HashMap<Kind, Count>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kind {
    minute: u64,
    endpoint: Arc<str>,
    source: String,
    /// The local user, where the kernel named one.
    uid: Option<u32>,
    reason: &'static str,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    count: u64,
    example: Option<[u8; 32]>,
}

impl RefusalCounter {
    /// Counts one refusal. `example` is the SHA-256 of the message.
    pub(super) fn count(
        &self,
        now: Timestamp,
        endpoint: &Arc<str>,
        source: IpAddr,
        reason: &'static str,
        example: [u8; 32],
    ) {
        let (endpoint, source) = (endpoint.clone(), network(source));
        self.add(Kind { minute: minute(now), endpoint, source, uid: None, reason }, Some(example));
    }

    /// Counts one connection of a user who may not use a socket; `reason` names the socket.
    pub(super) fn count_user(&self, now: Timestamp, uid: u32, reason: &'static str) {
        let (minute, endpoint, source) = (minute(now), Arc::from(""), format!("uid {uid}"));
        self.add(Kind { minute, endpoint, source, uid: Some(uid), reason }, None);
    }

    fn add(&self, mut kind: Kind, example: Option<[u8; 32]>) {
        let mut counts = self.lock();
        if !counts.contains_key(&kind) && counts.len() >= BOUND {
            (kind.source, kind.uid) = (OTHERS.into(), None);
        }
        counts.entry(kind).or_insert(Count { count: 0, example }).count += 1;
    }

    /// The entries of all minutes before the one of `now`; of all minutes at shutdown.
    pub(super) fn due(&self, now: Option<Timestamp>) -> Vec<Draft> {
        let open = now.map_or(u64::MAX, minute);
        let mut counts = self.lock();
        let mut due: Vec<_> = counts.extract_if(|kind, _| kind.minute < open).collect();
        drop(counts);
        due.sort_by(|(a, _), (b, _)| {
            (a.minute, &a.source, a.reason).cmp(&(b.minute, &b.source, b.reason))
        });
        due.into_iter().map(|(kind, count)| draft(kind, count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Kind, Count>> {
        // Held for map operations only; a poisoned one is still in order.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The start of the minute of `now`.
const fn minute(now: Timestamp) -> u64 {
    now.unix_millis() / 60_000 * 60_000
}

fn draft(kind: Kind, count: Count) -> Draft {
    let object = match &*kind.endpoint {
        "" => kind.reason.to_owned(),
        endpoint => format!("{} at {endpoint}", kind.reason),
    };
    Draft {
        actor: kind.uid.map_or(Actor::Anonymous, Actor::Uid),
        origin: Origin::Internal,
        object,
        outcome: Outcome::Failure,
        event: Event::Refusals(Refusals {
            minute: kind.minute,
            endpoint: kind.endpoint.to_string(),
            source: kind.source,
            reason: kind.reason.into(),
            count: count.count,
            example: count.example.map(Fingerprint),
        }),
    }
}

/// The network that stands for a source: an IPv4 address itself, an IPv6 address by its /64,
/// which one sender may have whole.
fn network(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(drafts: Vec<Draft>) -> Vec<(String, u64)> {
        let event = |d: Draft| match d.event {
            Event::Refusals(r) => (r.source, r.count),
            other => panic!("{other:?}"),
        };
        drafts.into_iter().map(event).collect()
    }

    #[test]
    fn counts_by_minute_and_network() {
        let counter = RefusalCounter::default();
        let endpoint: Arc<str> = "device".into();
        let at = |s: u64| Timestamp::from_unix_seconds(60_000 + s);
        for (second, source) in [
            (0, "10.0.0.1"),
            (59, "10.0.0.1"),
            (60, "10.0.0.1"),
            (1, "2001:db8::1"),
            (2, "2001:db8::2"),
        ] {
            counter.count(
                at(second),
                &endpoint,
                source.parse().unwrap(),
                "wrong-challenge",
                [7; 32],
            );
        }
        let first = events(counter.due(Some(at(61))));
        assert_eq!(first, [("10.0.0.1".to_owned(), 2), ("2001:db8::/64".to_owned(), 2)]);
        assert!(counter.due(Some(at(61))).is_empty());
        assert_eq!(events(counter.due(None)), [("10.0.0.1".to_owned(), 1)]);
    }

    #[test]
    fn a_local_user_is_the_actor_until_the_minute_is_full() {
        let counter = RefusalCounter::default();
        let now = Timestamp::from_unix_seconds(60);
        for uid in 0..10_000 {
            counter.count_user(now, uid, "wrong user");
            counter.count_user(now, uid % 2, "wrong user");
        }
        let all = counter.due(None);
        assert_eq!(all.len(), BOUND + 1);
        let of = |actor: Actor| all.iter().find(|d| d.actor == actor).map(|d| &d.event);
        let Some(Event::Refusals(first)) = of(Actor::Uid(1)) else { panic!("{all:?}") };
        assert_eq!((first.source.as_str(), first.count, first.example), ("uid 1", 5001, None));
        let Some(Event::Refusals(others)) = of(Actor::Anonymous) else { panic!("{all:?}") };
        assert_eq!(others.source, OTHERS);
    }

    #[test]
    fn many_sources_share_one_counter() {
        let counter = RefusalCounter::default();
        let endpoint: Arc<str> = "device".into();
        for i in 0..10_000u32 {
            let source = IpAddr::V4(i.into());
            counter.count(
                Timestamp::from_unix_seconds(60),
                &endpoint,
                source,
                "malformed",
                [0; 32],
            );
        }
        let all = events(counter.due(None));
        assert_eq!(all.len(), BOUND + 1);
        assert_eq!(all.iter().map(|(_, n)| n).sum::<u64>(), 10_000);
    }
}
