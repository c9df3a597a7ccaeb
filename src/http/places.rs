//! Who holds a connection, and who makes room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::limits::Limits;

/// What counts as one client: an IPv4 address or an IPv6 /64, the least that a site is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => {
                let prefix = v6.to_bits() & (u128::MAX << 64);
                Self(IpAddr::V6(Ipv6Addr::from_bits(prefix)))
            }
            v4 => Self(v4),
        }
    }
}

/// The places for connections of one server.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Numbers the moments at which a place begins to wait.
    turns: AtomicU64,
    held: Mutex<HashMap<Source, Vec<Arc<Place>>>>,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Place {
    /// The turn since which the connection waits for its client; [`BUSY`] while it serves it.
    since: AtomicU64,
    cut: Notify,
}

/// Not waiting: the request is complete and its answer is being made.
const BUSY: u64 = u64::MAX;

/// Holds a place; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Held {
    places: Arc<Places>,
    source: Source,
    place: Arc<Place>,
}

/// Marks a connection as busy; dropping it makes it wait again.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Held);

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Source, Vec<Arc<Place>>>> {
        // The map is whole between any two operations, also after a panic elsewhere.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    /// A place for a client at `address`, if need be that of the connection that has waited longest
    /// for its client: of the same source where that has its share, of any source where all places
    /// are taken. `None` where none of them waits.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Held> {
        let source = Source::from(address);
        let mut held = self.held();
        if held.get(&source).map_or(0, Vec::len) >= limits.connections_per_source.max(1) {
            make_room(&mut held, Some(source))?;
        }
        if held.values().map(Vec::len).sum::<usize>() >= limits.connections.max(1) {
            make_room(&mut held, None)?;
        }
        let place = Arc::new(Place { since: AtomicU64::new(self.turn()), cut: Notify::new() });
        held.entry(source).or_default().push(Arc::clone(&place));
        Some(Held { places: Arc::clone(self), source, place })
    }

    /// How many places are held.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.held().values().map(Vec::len).sum()
    }
}

/// Cuts the connection that has waited longest, of `source` or of all.
fn make_room(held: &mut HashMap<Source, Vec<Arc<Place>>>, source: Option<Source>) -> Option<()> {
    let waiting = held
        .iter()
        .filter(|(key, _)| source.is_none_or(|source| source == **key))
        .flat_map(|(key, places)| places.iter().map(move |place| (*key, place)))
        .map(|(key, place)| (place.since.load(Ordering::Acquire), key, place))
        .filter(|(since, ..)| *since != BUSY)
        .min_by_key(|(since, ..)| *since);
    let (_, key, place) = waiting?;
    let place = Arc::clone(place);
    release(held, key, &place);
    place.cut.notify_one();
    Some(())
}

fn release(held: &mut HashMap<Source, Vec<Arc<Place>>>, source: Source, place: &Arc<Place>) {
    if let Some(places) = held.get_mut(&source) {
        places.retain(|other| !Arc::ptr_eq(other, place));
        if places.is_empty() {
            held.remove(&source);
        }
    }
}

impl Held {
    /// Ends when the place is given to another connection.
    pub(super) async fn cut(&self) {
        self.place.cut.notified().await;
    }

    /// Marks the request as complete.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.place.since.store(BUSY, Ordering::Release);
        Busy(self)
    }

    /// Whether the connection waits for its client.
    pub(super) fn is_waiting(&self) -> bool {
        self.place.since.load(Ordering::Acquire) != BUSY
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        release(&mut self.places.held(), self.source, &self.place);
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.place.since.store(self.0.places.turn(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_cut(held: &Held) -> bool {
        let cut = std::pin::pin!(held.cut());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        cut.poll(&mut context).is_ready()
    }

    use std::future::Future;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn limits(connections: usize, connections_per_source: usize) -> Limits {
        Limits { connections, connections_per_source, ..Limits::default() }
    }

    #[test]
    fn the_longest_waiting_of_the_source_makes_room() {
        let (places, limits) = (Places::new(), limits(10, 2));
        let other = places.take(B, &limits).unwrap();
        let first = places.take(A, &limits).unwrap();
        let second = places.take(A, &limits).unwrap();
        let third = places.take(A, &limits).unwrap();
        assert!(is_cut(&first) && !is_cut(&second) && !is_cut(&third) && !is_cut(&other));
        drop(first);
        assert_eq!(places.count(), 3);
    }

    #[test]
    fn busy_ones_stay_and_wait_anew_afterwards() {
        let (places, limits) = (Places::new(), limits(2, 2));
        let first = places.take(A, &limits).unwrap();
        let second = places.take(B, &limits).unwrap();
        let (busy, busy_too) = (first.busy(), second.busy());
        assert!(places.take(A, &limits).is_none(), "nobody waits");
        drop(busy_too);
        drop(busy);
        let third = places.take(A, &limits).unwrap();
        assert!(is_cut(&second) && !is_cut(&first), "the second began to wait before the first");
        drop((second, third));
        assert_eq!(places.count(), 1);
        drop(first);
        assert_eq!(places.count(), 0);
    }

    #[test]
    fn limits_that_sink_take_the_places_of_who_waits() {
        let places = Places::new();
        let first = places.take(A, &limits(9, 9)).unwrap();
        let second = places.take(A, &limits(9, 9)).unwrap();
        let third = places.take(A, &limits(9, 1)).unwrap();
        assert!(is_cut(&first) && !is_cut(&second) && !is_cut(&third), "one makes room for one");
        assert!(places.take(B, &limits(9, 1)).is_some(), "another source has its own share");
    }

    #[test]
    fn an_ipv6_site_is_one_source() {
        let (places, limits) = (Places::new(), limits(10, 1));
        let first = places.take("2001:db8::1".parse().unwrap(), &limits).unwrap();
        let neighbour = places.take("2001:db8::ffff:1".parse().unwrap(), &limits).unwrap();
        let stranger = places.take("2001:db8:0:1::1".parse().unwrap(), &limits).unwrap();
        assert!(is_cut(&first) && !is_cut(&neighbour) && !is_cut(&stranger));
        let mapped = places.take("::ffff:192.0.2.1".parse().unwrap(), &limits).unwrap();
        let plain = places.take(A, &limits).unwrap();
        assert!(is_cut(&mapped) && !is_cut(&plain));
    }
}
