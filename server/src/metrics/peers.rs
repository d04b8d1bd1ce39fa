//! Peers that had to give way, met a limit, or were not let in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::families::{ByReason, beginning_with, count};

/// Why a connection in its handshake had to give way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GaveWay {
    /// There were too many.
    Total,
    /// There were too many of its address.
    Address,
}

/// Why a peer had to give way to others.
#[derive(Clone, Copy)]
pub(crate) enum PeerGaveWay {
    /// It took too little of what waited for it.
    Receiving,
    /// It sent too little of a large frame.
    Sending,
}

/// A limit that a peer met.
#[derive(Clone, Copy)]
pub(crate) enum Limit {
    Connections,
    HandshakeRate,
    /// All who could give way were being answered.
    Handshakes,
    Handshake,
    /// Of one connection.
    Channels,
    AllChannels,
    Subscriptions,
    Requests,
    /// What was sent found no room in time.
    Inbound,
    FrameBytes,
    ConsumeEntries,
    Silence,
    WriteDeadline,
    OpenStores,
}

impl Limit {
    /// All of them: each is there from the start.
    const ALL: &[Self] = &[
        Self::Connections,
        Self::HandshakeRate,
        Self::Handshakes,
        Self::Handshake,
        Self::Channels,
        Self::AllChannels,
        Self::Subscriptions,
        Self::Requests,
        Self::Inbound,
        Self::FrameBytes,
        Self::ConsumeEntries,
        Self::Silence,
        Self::WriteDeadline,
        Self::OpenStores,
    ];

    /// As it is named in the metric.
    fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::HandshakeRate => "handshake_rate",
            Self::Handshakes => "handshakes",
            Self::Handshake => "handshake",
            Self::Channels => "channels",
            Self::AllChannels => "all_channels",
            Self::Subscriptions => "subscriptions",
            Self::Requests => "requests",
            Self::Inbound => "inbound",
            Self::FrameBytes => "frame_bytes",
            Self::ConsumeEntries => "consume_entries",
            Self::Silence => "silence",
            Self::WriteDeadline => "write_deadline",
            Self::OpenStores => "open_stores",
        }
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
}

impl PeerCounters {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counters = Self {
            handshakes_gave_way: beginning_with(&["all", "address"]),
            gave_way: beginning_with(&["receiving", "sending"]),
            limits_hit: Family::default(),
            tokens_refused: Family::default(),
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
        counters
    }

    pub(crate) fn handshake_gave_way(&self, why: GaveWay) {
        let reason = match why {
            GaveWay::Total => "all",
            GaveWay::Address => "address",
        };
        count(&self.handshakes_gave_way, reason);
    }

    pub(crate) fn peer_gave_way(&self, why: PeerGaveWay) {
        let reason = match why {
            PeerGaveWay::Receiving => "receiving",
            PeerGaveWay::Sending => "sending",
        };
        count(&self.gave_way, reason);
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
