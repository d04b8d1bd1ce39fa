//! What a server counts, for `GET /metrics`: [OpenMetrics text](https://prometheus.io/docs/specs/om/open_metrics_spec/), which
//! Prometheus reads. Nothing in it names a store, space or segment, so it needs no token and has no label without an end; `/readyz`
//! and the log name the store that a failure is of.
//!
//! ```text
//! stores.rs     what became of transactions and reads     moment.rs   what is so when it is asked for
//! arrivals.rs   records out of their order                log.rs      what of the log was dropped
//! peers.rs      connections that gave way, were refused   families.rs labels
//! followers.rs  who follows what                          tls.rs      handshakes, certificates
//! ```

mod arrivals;
#[cfg(test)]
mod documented_tests;
mod families;
mod followers;
mod log;
mod moment;
mod peers;
mod stores;
mod tls;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

pub use log::LOG_LINES_DROPPED;
pub(crate) use moment::Moment;
pub(crate) use peers::{GaveWay, Limit, PeerGaveWay};

/// The media type of what [`Metrics::text`] returns.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is counted.
pub(crate) struct Metrics {
    registry: Registry,
    moment: moment::MomentGauges,
    pub(crate) stores: stores::StoreCounters,
    pub(crate) arrivals: arrivals::ArrivalCounters,
    pub(crate) peers: peers::PeerCounters,
    pub(crate) followers: followers::FollowerCounters,
    pub(crate) tls: tls::TlsCounters,
    log: log::LogCounters,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("streamkit");
        Self {
            moment: moment::MomentGauges::new(&mut registry),
            stores: stores::StoreCounters::new(&mut registry),
            arrivals: arrivals::ArrivalCounters::new(&mut registry),
            peers: peers::PeerCounters::new(&mut registry),
            followers: followers::FollowerCounters::new(&mut registry),
            tls: tls::TlsCounters::new(&mut registry),
            log: log::LogCounters::new(&mut registry),
            registry,
        }
    }

    /// Everything as text, with what is true now.
    pub(crate) fn text(&self, now: Moment) -> String {
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
    /// Counts one of each kind.
    fn everything_happens(&self) {
        use streamkit_engine::{ReadError, Rejection, StorageError};
        self.stores.append_failed(&Rejection::DiskFull.into());
        self.stores.read_failed(&ReadError::Storage(StorageError::Closed));
        self.peers.token_refused("expired");
        self.tls.certificate_expires(1);
    }
}
