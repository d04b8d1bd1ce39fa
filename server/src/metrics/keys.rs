//! The keys that tokens are checked with.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::families::{Awaited, Unlabelled};
use crate::auth::KeysStanding;

pub(super) struct KeyGauges {
    keys: Awaited<Gauge>,
    files_broken: Gauge,
    set_age: Awaited<Gauge<f64, AtomicU64>>,
    fetches_failed: Counter,
}

impl KeyGauges {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let gauges = Self {
            keys: Awaited::default(),
            files_broken: Gauge::default(),
            set_age: Awaited::default(),
            fetches_failed: Counter::default(),
        };
        let help = "Keys that tokens are checked with; not there where a service authenticates by itself";
        registry.register("keys", help, gauges.keys.clone());
        let help = "Key files whose newest content has no keys: what they had before counts";
        registry.register("key_files_broken", help, gauges.files_broken.clone());
        let help = "Time since the issuer's key set was fetched; not there before it was";
        registry.register_with_unit("key_set_age", help, Unit::Seconds, gauges.set_age.clone());
        let help = "Fetches of the issuer's key set that failed";
        registry.register("key_set_fetches_failed", help, gauges.fetches_failed.clone());
        gauges
    }

    pub(super) fn set(&self, now: Option<KeysStanding>) {
        let Some(now) = now else { return };
        let gauge = |value: usize| value.try_into().unwrap_or(i64::MAX);
        self.keys.get_or_create(&Unlabelled {}).set(gauge(now.keys));
        self.files_broken.set(gauge(now.files_broken));
        if let Some(age) = now.set_age {
            self.set_age.get_or_create(&Unlabelled {}).set(age.as_secs_f64());
        }
        // Two who ask at a time must not make it go back.
        let counted = self.fetches_failed.inner();
        counted.fetch_max(now.fetches_failed, std::sync::atomic::Ordering::Relaxed);
    }
}
