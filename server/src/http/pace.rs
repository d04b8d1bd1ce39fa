//! How many connections of one address are accepted in a second: each address has a bucket of tokens, of which each connection takes
//! one. What a handshake costs, checking signatures above all, is bounded so before it is known who asks.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::places::Neighbourhood;

/// A bucket holds what comes in so many seconds: clients that share an address come back together.
const BURST_SECONDS: u32 = 10;

/// Addresses that are remembered. Beyond, those that have come back to a full bucket are forgotten; one that finds no place among the
/// others is let in.
const ADDRESSES_MAX: usize = 1 << 16;

/// The buckets of all addresses.
pub(super) struct HandshakePace {
    a_second: f64,
    buckets: Mutex<HashMap<Neighbourhood, Bucket>>,
}

/// Tokens there were at a time.
#[derive(Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl HandshakePace {
    pub(super) fn new(a_second: u32) -> Self {
        Self {
            a_second: f64::from(a_second),
            buckets: Mutex::default(),
        }
    }

    /// Whether one more connection from there may come now.
    pub(super) fn admits(&self, from: IpAddr, now: Instant) -> bool {
        let from = Neighbourhood::of(from);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let full = Bucket {
            tokens: self.burst(),
            at: now,
        };
        let before = buckets.get(&from).copied();
        let tokens = self.tokens(before.unwrap_or(full), now);
        if tokens < 1.0 {
            return false;
        }
        if before.is_none() && buckets.len() >= ADDRESSES_MAX {
            buckets.retain(|_, bucket| self.tokens(*bucket, now) < self.burst());
            if buckets.len() >= ADDRESSES_MAX {
                return true;
            }
        }
        let left = Bucket {
            tokens: tokens - 1.0,
            at: now,
        };
        buckets.insert(from, left);
        true
    }

    fn burst(&self) -> f64 {
        self.a_second * f64::from(BURST_SECONDS)
    }

    fn tokens(&self, bucket: Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.tokens + since * self.a_second).min(self.burst())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    /// How many of so many are let in.
    fn let_in(pace: &HandshakePace, from: &str, count: usize, now: Instant) -> usize {
        let from = from.parse().unwrap();
        (0..count).filter(|_| pace.admits(from, now)).count()
    }

    #[test]
    fn an_address_that_comes_too_often_waits_and_no_other_does() {
        let (pace, now) = (HandshakePace::new(2), Instant::now());
        assert_eq!(let_in(&pace, "2001:db8::1", 50, now), 20);
        assert_eq!(let_in(&pace, "2001:db8::2", 50, now), 0, "a /64 is one address");
        assert_eq!(let_in(&pace, "10.0.0.1", 50, now), 20);
        let later = now + Duration::from_secs(3);
        assert_eq!(let_in(&pace, "2001:db8::1", 50, later), 6);
        let much_later = now + Duration::from_secs(3600);
        assert_eq!(let_in(&pace, "2001:db8::1", 50, much_later), 20);
    }

    #[test]
    fn addresses_are_forgotten_once_their_buckets_are_full() {
        let (pace, now) = (HandshakePace::new(1), Instant::now());
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            assert!(pace.admits(Ipv4Addr::from_bits(number).into(), now));
        }
        assert_eq!(let_in(&pace, "2001:db8::1", 50, now), 50, "no place, so it is let in");
        let later = now + Duration::from_secs(1);
        assert_eq!(let_in(&pace, "2001:db8::1", 50, later), 10);
        assert_eq!(pace.buckets.lock().unwrap().len(), 1);
    }
}
