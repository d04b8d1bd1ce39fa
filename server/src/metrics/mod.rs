//! What a server counts, for `GET /metrics`: [OpenMetrics text](https://prometheus.io/docs/specs/om/open_metrics_spec/), which
//! Prometheus reads. Nothing in it names a store, space or segment, so it needs no token and has no label without an end; `/readyz`
//! and the log name the store that a failure is of.
//!
//! ```text
//! operations.rs  how long calls take, how they end         moment.rs   what is so when it is asked for
//! stores.rs      what became of transactions and reads     storage.rs  what storage tells of itself
//! arrivals.rs    records out of their order                log.rs      what of the log was dropped
//! peers.rs       connections that gave way, were refused   families.rs, distributions.rs
//! followers.rs   who follows what                                      how labels and histograms are written
//! traffic.rs     bytes                                     tls.rs      handshakes, certificates
//! keys.rs        what tokens are checked with             shared.rs   what is told of stores that several hosts share
//! cache.rs       the archive's part on the disk            bus.rs      the bus between hosts
//! told.rs        how what is told is written
//! ```

mod arrivals;
mod bus;
mod cache;
mod distributions;
#[cfg(test)]
mod documented_tests;
mod families;
mod followers;
mod keys;
mod log;
mod moment;
mod operations;
mod peers;
mod shared;
mod storage;
mod stores;
mod tls;
mod told;
mod traffic;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use streamkit_engine::boundary::figures::{CacheFigures, SharedFigures};

pub use bus::BusFigures;
pub use log::{LOG_LINES_DROPPED, SPANS_DROPPED};
pub(crate) use moment::Moment;
pub(crate) use operations::{Operation, Outcome};
pub(crate) use peers::{GaveWay, Limit, PeerGaveWay};
pub(crate) use traffic::Traffic;

use told::LastTold;

/// The media type of what [`Metrics::text`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    moment: moment::MomentGauges,
    keys: keys::KeyGauges,
    pub(crate) stores: stores::StoreCounters,
    pub(crate) arrivals: arrivals::ArrivalCounters,
    pub(crate) peers: peers::PeerCounters,
    pub(crate) followers: followers::FollowerCounters,
    pub(crate) tls: tls::TlsCounters,
    pub(crate) operations: operations::OperationCounters,
    pub(crate) traffic: Traffic,
    storage: storage::StorageFigures,
    shared: LastTold<SharedFigures>,
    cache: LastTold<CacheFigures>,
    bus: LastTold<BusFigures>,
    log: log::LogCounters,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("streamkit");
        Self {
            moment: moment::MomentGauges::new(&mut registry),
            keys: keys::KeyGauges::new(&mut registry),
            stores: stores::StoreCounters::new(&mut registry),
            arrivals: arrivals::ArrivalCounters::new(&mut registry),
            peers: peers::PeerCounters::new(&mut registry),
            followers: followers::FollowerCounters::new(&mut registry),
            tls: tls::TlsCounters::new(&mut registry),
            operations: operations::OperationCounters::new(&mut registry),
            traffic: Traffic::new(&mut registry),
            storage: storage::StorageFigures::new(&mut registry),
            shared: LastTold::new(&mut registry),
            cache: LastTold::new(&mut registry),
            bus: LastTold::new(&mut registry),
            log: log::LogCounters::new(&mut registry),
            registry,
        }
    }

    /// Everything as text, with what is true now.
    pub(crate) fn text(&self, mut now: Moment) -> String {
        if let Some(mut figures) = now.figures.take() {
            self.shared.set(figures.shared.take());
            self.cache.set(figures.cache.take());
            self.storage.set(figures);
        }
        self.bus.set(now.bus);
        self.keys.set(now.keys);
        self.moment.set(now);
        self.log.take();
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

#[cfg(test)]
impl Metrics {
    /// Counts what is not there before it happens.
    fn everything_happens(&self) {
        self.tls.certificate_expires(1);
    }
}
