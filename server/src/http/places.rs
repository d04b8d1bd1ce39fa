//! Who is in the handshake: connections that are not upgraded yet, so many in all and so many of one address. Whoever comes
//! when there is no place takes that of the one that is there longest, of its own address if that has too many. So silent
//! peers shut nobody out: a client needs its place for some milliseconds.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
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
    total: usize,
    per_address: usize,
}

#[derive(Default)]
struct Inner {
    next: u64,
    /// In the order they came.
    taken: BTreeMap<u64, Guest>,
    of: HashMap<Neighbourhood, usize>,
}

struct Guest {
    from: Neighbourhood,
    busy: Arc<AtomicBool>,
    gives_way: CancellationToken,
}

/// A place, given back when dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    id: u64,
    busy: Arc<AtomicBool>,
    gives_way: CancellationToken,
}

impl Places {
    pub(crate) fn new(total: usize, per_address: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::default(),
            freed: Notify::new(),
            total: total.max(1),
            per_address: per_address.max(1),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for who comes from `address`, at once unless all who could give way are being answered. Says who gave way.
    ///
    /// Cancel safe.
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> (Place, Option<GaveWay>) {
        let from = Neighbourhood::of(address);
        loop {
            let freed = self.freed.notified();
            if let Some(taken) = self.try_take(from) {
                return taken;
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
        let busy = Arc::<AtomicBool>::default();
        let gives_way = CancellationToken::new();
        let guest = Guest {
            from,
            busy: busy.clone(),
            gives_way: gives_way.clone(),
        };
        inner.taken.insert(id, guest);
        *inner.of.entry(from).or_default() += 1;
        drop(inner);
        let places = self.clone();
        let place = Place {
            places,
            id,
            busy,
            gives_way,
        };
        Some((place, gave_way))
    }
}

impl Inner {
    /// Sends the oldest of those away who are not being answered. `false` if all are.
    fn send_away(&mut self, among: impl Fn(&Guest) -> bool) -> bool {
        let oldest = |(_, guest): &(&u64, &Guest)| among(guest) && !guest.busy.load(Ordering::Relaxed);
        let Some(id) = self.taken.iter().find(oldest).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(guest) = self.remove(id) {
            guest.gives_way.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Guest> {
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
    /// Whether its request is being answered: it gives way to nobody.
    pub(crate) fn busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
        if !busy {
            self.places.freed.notify_one();
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
        self.places.freed.notify_one();
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
        let (first, none) = places.take(b).await;
        assert_eq!(none, None);
        let (second, _) = places.take(a).await;
        let (third, _) = places.take(a).await;
        let (_fourth, gave_way) = places.take(a).await;
        assert_eq!(gave_way, Some(GaveWay::Address));
        let gone = [&first, &second, &third].map(|place| place.gives_way().is_cancelled());
        assert_eq!(gone, [false, true, false]);
        let (_fifth, gave_way) = places.take(b).await;
        assert_eq!(
            (gave_way, first.gives_way().is_cancelled()),
            (Some(GaveWay::Total), true)
        );
        drop((second, first));
        assert_eq!(places.lock().taken.len(), 3, "who was sent away gives nothing back");
    }

    #[tokio::test]
    async fn who_is_being_answered_gives_way_to_nobody() {
        let places = Places::new(1, 1);
        let (first, _) = places.take(address("10.0.0.1")).await;
        first.busy(true);
        let other = tokio::spawn({
            let places = places.clone();
            async move { places.take(address("10.0.0.2")).await.1 }
        });
        tokio::task::yield_now().await;
        assert!(!first.gives_way().is_cancelled());
        drop(first);
        assert_eq!(other.await.unwrap(), None);
        assert!(places.lock().of.is_empty());
    }

    #[test]
    fn a_network_of_one_host_counts_as_one_address() {
        let of = |text| Neighbourhood::of(address(text));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
