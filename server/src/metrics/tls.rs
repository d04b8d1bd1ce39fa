//! Connections that speak TLS, or should.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::families::{Awaited, ByReason, Unlabelled, beginning_with, count};
use crate::tls::REASONS;

pub(crate) struct TlsCounters {
    handshakes_failed: ByReason,
    /// Not there without TLS.
    certificate_expires: Awaited<Gauge>,
}

impl TlsCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            handshakes_failed: beginning_with(REASONS.iter().copied()),
            certificate_expires: Awaited::default(),
        };
        let help = "Connections that ended in their TLS handshake, by reason";
        registry.register("tls_handshakes_failed", help, counters.handshakes_failed.clone());
        let help = "When the first of the server's certificates expires, as Unix time; not there without TLS";
        let name = "tls_certificate_expires_timestamp_seconds";
        registry.register(name, help, counters.certificate_expires.clone());
        counters
    }

    pub(crate) fn handshake_failed(&self, reason: &'static str) {
        count(&self.handshakes_failed, reason);
    }

    /// In seconds since 1970.
    pub(crate) fn certificate_expires(&self, at: i64) {
        self.certificate_expires.get_or_create(&Unlabelled {}).set(at);
    }
}
