//! Bytes of connections, behind the handshake: those of WebSockets, TLS aside.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Registry, Unit};

/// Clones count in the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    received: Counter,
    sent: Counter,
}

impl Traffic {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let traffic = Self::default();
        let help = "Bytes received on WebSockets";
        registry.register_with_unit("received", help, Unit::Bytes, traffic.received.clone());
        let help = "Bytes sent on WebSockets";
        registry.register_with_unit("sent", help, Unit::Bytes, traffic.sent.clone());
        traffic
    }

    pub(crate) fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    pub(crate) fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }
}
