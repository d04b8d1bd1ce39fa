//! What storage tells of itself when it is asked.

use std::sync::atomic::Ordering;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use streamkit_engine::boundary::figures::Figures;

use super::distributions::{LastSeen, NANOS};
use super::families::{Awaited, Unlabelled};

pub(super) struct StorageFigures {
    groups: LastSeen,
    syncs: LastSeen,
    commits: LastSeen,
    sync_errors: Counter,
    written: Counter,
    queued: Gauge,
    open_stores: Gauge,
    halted_stores: Gauge,
    evicted_stores: Counter,
    log: Gauge,
    /// Not there while nobody can tell.
    free: Awaited<Gauge>,
}

impl StorageFigures {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let figures = Self {
            groups: LastSeen::new(1.0),
            syncs: LastSeen::new(NANOS),
            commits: LastSeen::new(NANOS),
            sync_errors: Counter::default(),
            written: Counter::default(),
            queued: Gauge::default(),
            open_stores: Gauge::default(),
            halted_stores: Gauge::default(),
            evicted_stores: Counter::default(),
            log: Gauge::default(),
            free: Awaited::default(),
        };
        let help = "Transactions of each group that became durable by one write";
        registry.register("group_transactions", help, figures.groups.clone());
        let help = "Time from when a group was made until the disk had it, or had refused it";
        registry.register_with_unit("sync", help, Unit::Seconds, figures.syncs.clone());
        let help = "Time from when a transaction was queued until it was durable";
        registry.register_with_unit("commit", help, Unit::Seconds, figures.commits.clone());
        let help = "Durable writes that failed: each time a store stops taking writes";
        registry.register("sync_errors", help, figures.sync_errors.clone());
        let help = "Bytes of groups that became durable";
        registry.register_with_unit("written", help, Unit::Bytes, figures.written.clone());
        let help = "Transactions that wait for the disk or are under way to it, of all stores";
        registry.register("queued_transactions", help, figures.queued.clone());
        registry.register("open_stores", "Stores that are open", figures.open_stores.clone());
        let help = "Open stores that take no writes until the server is restarted";
        registry.register("halted_stores", help, figures.halted_stores.clone());
        let help = "Stores at rest that were closed so that others could be opened";
        registry.register("evicted_stores", help, figures.evicted_stores.clone());
        let help = "Bytes that the logs of open stores take on the disk";
        registry.register_with_unit("log", help, Unit::Bytes, figures.log.clone());
        let help = "Bytes free on the disk of the data directory";
        registry.register_with_unit("disk_free", help, Unit::Bytes, figures.free.clone());
        figures
    }

    pub(super) fn set(&self, now: Figures) {
        let gauge = |value: usize| value.try_into().unwrap_or(i64::MAX);
        let counted = |counter: &Counter, value: u64| counter.inner().fetch_max(value, Ordering::Relaxed);
        self.groups.set(now.group_transactions);
        self.syncs.set(now.sync_nanos);
        self.commits.set(now.commit_nanos);
        counted(&self.sync_errors, now.sync_errors);
        counted(&self.written, now.written_bytes);
        counted(&self.evicted_stores, now.evicted_stores);
        self.queued.set(gauge(now.queued_transactions));
        self.open_stores.set(gauge(now.open_stores));
        self.halted_stores.set(gauge(now.halted_stores));
        self.log.set(now.log_bytes.try_into().unwrap_or(i64::MAX));
        match now.free_bytes {
            Some(free) => {
                let free = free.try_into().unwrap_or(i64::MAX);
                self.free.get_or_create(&Unlabelled {}).set(free);
            }
            None => self.free.clear(),
        }
    }
}
