//! Who is in the handshake: connections that are not upgraded yet, so many in all and so many of one address. Whoever comes
//! when there is no place takes that of the one that is there longest, of its own address if that has too many. So silent
//! peers shut nobody out: a client needs its place for some milliseconds. Whose request is being decided gives way to nobody; whoever
//! comes then waits, and no other address with it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::metrics::GaveWay;

/// Addresses that count as one: an IPv4 address, or a /64 of IPv6, which one host may have all of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Neighbourhood(IpAddr);

impl Neighbourhood {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
            v4 @ IpAddr::V4(_) => Self(v4),
        }
    }
}

/// All places.
pub(crate) struct Places {
    inner: Mutex<Inner>,
    freed: Notify,
    /// How many may wait: as many as have places.
    waiting: Semaphore,
    total: usize,
    per_address: usize,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// In the order they came.
    taken: BTreeMap<u64, Occupant>,
    of: HashMap<Neighbourhood, usize>,
}

struct Occupant {
    from: Neighbourhood,
    state: Arc<AtomicU8>,
    gives_way: CancellationToken,
}

/// What whoever has a place does. The first of these give way first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Stage {
    /// It has asked for nothing yet, or its answer is there.
    Asks = 0,
    /// It takes an answer that is large. How long that lasts is up to the peer.
    Takes = 1,
    /// Its request is being decided, which is up to us: it gives way to nobody.
    Waits = 2,
}

/// A place, given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    state: Arc<AtomicU8>,
    gives_way: CancellationToken,
}

impl Places {
    pub(crate) fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            freed: Notify::new(),
            waiting: Semaphore::new(total.clamp(1, Semaphore::MAX_PERMITS)),
            total: total.max(1),
            per_address: per_address.max(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for who comes from `address`, at once unless the requests of all who could give way are being decided; `None` if as
    /// many wait for that as may. Says who gave way.
    ///
    /// Cancel safe.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Option<(Place, Option<GaveWay>)> {
        let from = Neighbourhood::of(address);
        if let Some(taken) = self.try_take(from) {
            return Some(taken);
        }
        let _waits = self.waiting.try_acquire().ok()?;
        loop {
            // All who wait look: the place that is free may be none for the first of them.
            let freed = self.freed.notified();
            if let Some(taken) = self.try_take(from) {
                return Some(taken);
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Self>, from: Neighbourhood) -> Option<(Place, Option<GaveWay>)> {
        let mut inner = self.lock();
        let gave_way = if inner.of.get(&from).is_some_and(|count| *count >= self.per_address) {
            inner
                .send_away(|guest| guest.from == from)
                .then_some(GaveWay::Address)?;
            Some(GaveWay::Address)
        } else if inner.taken.len() >= self.total {
            inner.send_away(|_| true).then_some(GaveWay::Total)?;
            Some(GaveWay::Total)
        } else {
            None
        };
        let id = inner.next;
        inner.next += 1;
        let state = Arc::<AtomicU8>::default();
        let gives_way = CancellationToken::new();
        let guest = Occupant {
            from,
            state: state.clone(),
            gives_way: gives_way.clone(),
        };
        inner.taken.insert(id, guest);
        *inner.of.entry(from).or_default() += 1;
        drop(inner);
        let places = self.clone();
        let place = Place {
            places,
            id,
            state,
            gives_way,
        };
        Some((place, gave_way))
    }
}

impl Inner {
    /// Sends the oldest of those away who are at the first stage of all that give way. `false` if none is.
    fn send_away(&mut self, among: impl Fn(&Occupant) -> bool) -> bool {
        let oldest = |stage: Stage| {
            let is =
                |(_, guest): &(&u64, &Occupant)| guest.state.load(Ordering::Relaxed) == stage as u8 && among(guest);
            self.taken.iter().find(is).map(|(id, _)| *id)
        };
        let Some(id) = oldest(Stage::Asks).or_else(|| oldest(Stage::Takes)) else {
            return false;
        };
        if let Some(guest) = self.remove(id) {
            guest.gives_way.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Occupant> {
        let guest = self.taken.remove(&id)?;
        if let Some(count) = self.of.get_mut(&guest.from) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&guest.from);
            }
        }
        Some(guest)
    }
}

impl Place {
    /// What it does from now on.
    pub(crate) fn is_at(&self, stage: Stage) {
        self.state.store(stage as u8, Ordering::Relaxed);
        if stage != Stage::Waits {
            self.places.freed.notify_waiters();
        }
    }

    /// Cancelled when it has to give way.
    pub(crate) fn gives_way(&self) -> &CancellationToken {
        &self.gives_way
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().remove(self.id);
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_oldest_gives_way_first_of_its_own_address() {
        let places = Places::new(3, 2);
        let (a, b) = (address("10.0.0.1"), address("10.0.0.2"));
        let (first, none) = places.take(b).await.unwrap();
        assert_eq!(none, None);
        let (second, _) = places.take(a).await.unwrap();
        let (third, _) = places.take(a).await.unwrap();
        let (_fourth, gave_way) = places.take(a).await.unwrap();
        assert_eq!(gave_way, Some(GaveWay::Address));
        let gone = [&first, &second, &third].map(|place| place.gives_way().is_cancelled());
        assert_eq!(gone, [false, true, false]);
        let (_fifth, gave_way) = places.take(b).await.unwrap();
        assert_eq!(
            (gave_way, first.gives_way().is_cancelled()),
            (Some(GaveWay::Total), true)
        );
        drop((second, first));
        assert_eq!(places.lock().taken.len(), 3, "who was sent away gives nothing back");
    }

    /// A place for `address`, once there is one.
    fn taking(
        places: &Arc<Places>,
        address: &'static str,
    ) -> tokio::task::JoinHandle<Option<(Place, Option<GaveWay>)>> {
        let places = places.clone();
        tokio::spawn(async move { places.take(self::address(address)).await })
    }

    #[tokio::test]
    async fn whose_request_is_being_decided_gives_way_to_nobody_and_as_many_may_wait_as_have_places() {
        let places = Places::new(1, 1);
        let (first, _) = places.take(address("10.0.0.1")).await.unwrap();
        first.is_at(Stage::Waits);
        let other = taking(&places, "10.0.0.2");
        tokio::task::yield_now().await;
        assert!(!first.gives_way().is_cancelled());
        assert!(places.take(address("10.0.0.3")).await.is_none());
        drop(first);
        assert_eq!(other.await.unwrap().unwrap().1, None);
        assert!(places.lock().of.is_empty());
    }

    #[tokio::test]
    async fn a_place_goes_to_whom_it_is_for_though_others_wait_longer() {
        let places = Places::new(4, 1);
        let [one, other] = ["10.0.0.1", "10.0.0.2"];
        let (held, freed) = (
            places.take(address(one)).await.unwrap().0,
            places.take(address(other)).await.unwrap().0,
        );
        held.is_at(Stage::Waits);
        freed.is_at(Stage::Waits);
        let longer = taking(&places, one);
        tokio::task::yield_now().await;
        let waits = taking(&places, other);
        tokio::task::yield_now().await;
        drop(freed);
        assert!(waits.await.unwrap().is_some());
        assert!(!longer.is_finished());
        longer.abort();
    }

    #[tokio::test]
    async fn who_takes_a_large_answer_gives_way_behind_those_who_ask() {
        let places = Places::new(2, 2);
        let from = address("10.0.0.1");
        let (takes, asks) = (places.take(from).await.unwrap().0, places.take(from).await.unwrap().0);
        takes.is_at(Stage::Takes);
        let next = places.take(from).await.unwrap().0;
        assert!(asks.gives_way().is_cancelled() && !takes.gives_way().is_cancelled());
        next.is_at(Stage::Waits);
        let _last = places.take(from).await.unwrap();
        assert!(takes.gives_way().is_cancelled() && !next.gives_way().is_cancelled());
    }

    #[test]
    fn a_network_of_one_host_counts_as_one_address() {
        let of = |text| Neighbourhood::of(address(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
