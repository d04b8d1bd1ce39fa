//! Which host is to write a store, so that all hosts say the same without asking each other: rendezvous hashing. It is a convention that
//! spares lost races, and nothing depends on it.

use streamkit_engine::StoreId;

use crate::host::HostId;

/// The host that is to write a store, of these; `None` of none. All who know the same hosts say the same, in whatever order they know them. A host that
/// comes or goes moves the stores that come to it, or were its, and no other.
pub fn preferred(store: StoreId, hosts: impl IntoIterator<Item = HostId>) -> Option<HostId> {
    hosts.into_iter().max_by_key(|host| (weight(*host, store), *host))
}

/// How much a host is for a store. Part of what hosts of different versions have to agree about, so it never changes.
fn weight(host: HostId, store: StoreId) -> u64 {
    let words = [host.0.as_u64_pair(), store.0.as_u64_pair()];
    words
        .iter()
        .flat_map(|(high, low)| [*high, *low])
        .fold(0, |hash, word| mixed(hash ^ word))
}

/// Each bit of it depends on each bit of the word (splitmix64's finalizer).
fn mixed(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;

    /// Ids that differ as little as ids can.
    fn hosts(count: u128) -> Vec<HostId> {
        (1..=count).map(|n| HostId(Uuid::from_u128(n))).collect()
    }

    fn stores() -> impl Iterator<Item = StoreId> {
        (0..20_000).map(|n| StoreId(Uuid::from_u128(n << 64)))
    }

    #[test]
    fn stores_are_spread_evenly() {
        let hosts = hosts(8);
        let mut shares: BTreeMap<HostId, usize> = BTreeMap::new();
        for store in stores() {
            *shares
                .entry(preferred(store, hosts.iter().copied()).unwrap())
                .or_default() += 1;
        }
        assert_eq!(shares.len(), 8);
        // 2 500 each; five standard deviations are 234.
        assert!(shares.values().all(|share| share.abs_diff(2500) < 234), "{shares:?}");
    }

    #[test]
    fn a_host_that_goes_moves_its_own_stores_alone_and_the_order_says_nothing() {
        let hosts = hosts(8);
        let without: Vec<HostId> = hosts.iter().copied().filter(|host| *host != hosts[3]).rev().collect();
        for store in stores() {
            let before = preferred(store, hosts.iter().copied()).unwrap();
            let after = preferred(store, without.iter().copied()).unwrap();
            assert!(after == before || before == hosts[3], "{store}");
            assert_ne!(after, hosts[3]);
        }
    }

    #[test]
    fn the_choice_is_the_same_in_every_version() {
        let chosen: Vec<u128> = stores()
            .take(8)
            .map(|store| preferred(store, hosts(5)).unwrap().0.as_u128())
            .collect();
        assert_eq!(chosen, [1, 1, 3, 4, 4, 2, 3, 1]);
        assert_eq!(preferred(StoreId(Uuid::nil()), []), None);
    }
}
