//! Peers that had to give way, met a limit, or were not let in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::families::{ByReason, beginning_with, count, labels};
use crate::auth::AccessError;

labels! {
    /// Why a connection in its handshake had to give way.
    GaveWay {
        /// There were too many.
        Total = "all",
        /// There were too many of its address.
        Address = "address",
    }
}

labels! {
    /// Why a peer had to give way to others.
    PeerGaveWay {
        /// It took too little of what waited for it.
        Receiving = "receiving",
        /// It sent too little of a large frame.
        Sending = "sending",
    }
}

labels! {
    /// A limit that a peer met.
    Limit {
        Connections = "connections",
        HandshakeRate = "handshake_rate",
        /// The requests of all who could give way were being decided.
        Handshakes = "handshakes",
        Handshake = "handshake",
        /// Of one connection.
        Channels = "channels",
        AllChannels = "all_channels",
        Subscriptions = "subscriptions",
        Requests = "requests",
        /// What was sent found no room in time.
        Inbound = "inbound",
        FrameBytes = "frame_bytes",
        ConsumeEntries = "consume_entries",
        Silence = "silence",
        WriteDeadline = "write_deadline",
        OpenStores = "open_stores",
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct OfLimit {
    limit: &'static str,
}

pub(crate) struct PeerCounters {
    handshakes_gave_way: ByReason,
    gave_way: ByReason,
    limits_hit: Family<OfLimit, Counter>,
    tokens_refused: ByReason,
    broke_protocol: Counter,
}

impl PeerCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            handshakes_gave_way: beginning_with(GaveWay::ALL.iter().map(|why| why.name())),
            gave_way: beginning_with(PeerGaveWay::ALL.iter().map(|why| why.name())),
            limits_hit: Family::default(),
            tokens_refused: beginning_with(AccessError::reasons()),
            broke_protocol: Counter::default(),
        };
        for limit in Limit::ALL {
            let of = OfLimit { limit: limit.name() };
            counters.limits_hit.get_or_create(&of).inc_by(0);
        }
        let help = "Connections closed in their handshake because a newer one came, by what there were too many of";
        registry.register("handshakes_gave_way", help, counters.handshakes_gave_way.clone());
        let help = "Connections closed because others waited for what they held, by what they did too slowly";
        registry.register("peers_gave_way", help, counters.gave_way.clone());
        let help = "What was refused because a limit was reached, by limit";
        registry.register("limits_hit", help, counters.limits_hit.clone());
        let help = "Requests without a token that lets them in, by reason";
        registry.register("tokens_refused", help, counters.tokens_refused.clone());
        let help = "Connections of protocol v2 closed because their peer broke its rules";
        registry.register("peers_broke_protocol", help, counters.broke_protocol.clone());
        counters
    }

    /// Somebody broke the rules of protocol v2, and was told.
    pub(crate) fn broke_protocol(&self) {
        self.broke_protocol.inc();
    }

    pub(crate) fn handshake_gave_way(&self, why: GaveWay) {
        count(&self.handshakes_gave_way, why.name());
    }

    pub(crate) fn peer_gave_way(&self, why: PeerGaveWay) {
        count(&self.gave_way, why.name());
    }

    /// Somebody met a limit and was told.
    pub(crate) fn limit_hit(&self, limit: Limit) {
        let of = OfLimit { limit: limit.name() };
        self.limits_hit.get_or_create(&of).inc();
    }

    /// Somebody was not let in: with a word that says why, never with anything of the token.
    pub(crate) fn token_refused(&self, reason: &'static str) {
        count(&self.tokens_refused, reason);
    }
}
