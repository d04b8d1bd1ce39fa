//! Requests, which open a channel, each in an envelope. Fields that are zero or empty are left out where Go leaves
//! them out.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::envelope::{self, EnvelopeError, encode_envelope};
use crate::lexkey::LexKey;
use crate::object::object;
use crate::record::Metadata;

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

macro_rules! request {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty = $wire:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }
        object!($name { $($wire => $field),* });
    };
}

request!(
    /// The last entry of a segment.
    Peek {
        /// The space.
        space: String = "space",
        /// The segment.
        segment: String = "segment",
    }
);

request!(
    /// Records follow.
    Produce {
        /// The space.
        space: String = "space",
        /// The segment.
        segment: String = "segment",
    }
);

request!(
    /// A segment in sequence order.
    ConsumeSegment {
        /// The space.
        space: String = "space",
        /// The segment.
        segment: String = "segment",
        /// First sequence, inclusive; 0: from the start.
        #[serde(skip_serializing_if = "is_zero")]
        min_sequence: u64 = "min_sequence",
        /// Unix milliseconds, exclusive; 0: all.
        #[serde(skip_serializing_if = "is_zero")]
        min_timestamp: i64 = "min_timestamp",
        /// Last sequence, inclusive; 0: no bound.
        #[serde(skip_serializing_if = "is_zero")]
        max_sequence: u64 = "max_sequence",
        /// Unix milliseconds, inclusive; 0: now.
        #[serde(skip_serializing_if = "is_zero")]
        max_timestamp: i64 = "max_timestamp",
        /// Most entries; 0 or `u64::MAX`: all.
        #[serde(skip_serializing_if = "is_zero")]
        limit: u64 = "limit",
    }
);

request!(
    /// All segments of a space in log order.
    ConsumeSpace {
        /// The space.
        space: String = "space",
        /// Unix milliseconds, exclusive; 0: all.
        #[serde(skip_serializing_if = "is_zero")]
        min_timestamp: i64 = "min_timestamp",
        /// Unix milliseconds, inclusive; 0: now.
        #[serde(skip_serializing_if = "is_zero")]
        max_timestamp: i64 = "max_timestamp",
        /// Space offset of the last entry seen; empty: from the start.
        #[serde(skip_serializing_if = "is_zero")]
        offset: LexKey = "offset",
        /// Most entries; 0 or `u64::MAX`: all.
        #[serde(skip_serializing_if = "is_zero")]
        limit: u64 = "limit",
    }
);

request!(
    /// Several spaces, merged by time.
    Consume {
        /// Unix milliseconds, exclusive; 0: all.
        #[serde(skip_serializing_if = "is_zero")]
        min_timestamp: i64 = "min_timestamp",
        /// Unix milliseconds, inclusive; 0: now.
        #[serde(skip_serializing_if = "is_zero")]
        max_timestamp: i64 = "max_timestamp",
        /// The spaces, each with the space offset of the last entry seen (empty: from the start).
        #[serde(skip_serializing_if = "is_zero")]
        offsets: BTreeMap<String, LexKey> = "offsets",
        /// Most entries over all; 0 or `u64::MAX`: all.
        #[serde(skip_serializing_if = "is_zero")]
        limit: u64 = "limit",
    }
);

request!(
    /// The segments of a space.
    GetSegments {
        /// The space.
        space: String = "space",
        /// An addition: answer with `SegmentStatus` objects instead of names.
        #[serde(skip_serializing_if = "is_zero")]
        with_status: bool = "with_status",
        /// An addition: only names after this one.
        #[serde(skip_serializing_if = "is_zero")]
        after: String = "after",
        /// An addition: at most this many; 0: all.
        #[serde(skip_serializing_if = "is_zero")]
        limit: u64 = "limit",
    }
);

request!(
    /// Counts of a store, a space or a segment. Go servers do not answer it.
    GetStatus {
        /// Empty: the whole store.
        #[serde(skip_serializing_if = "is_zero")]
        space: String = "space",
        /// Empty: the whole space.
        #[serde(skip_serializing_if = "is_zero")]
        segment: String = "segment",
    }
);

request!(
    /// Follow a segment's status, or (`*`) those of a space.
    SubscribeToSegmentStatus {
        /// The space.
        space: String = "space",
        /// The segment, or `*`.
        segment: String = "segment",
        /// Seconds; 0: none.
        heartbeat_interval_seconds: i64 = "heartbeat_interval_seconds",
    }
);

request!(
    /// Follow the present workers; with a worker id, be present.
    SubscribeWorkers {
        /// Nil: only look.
        worker_id: Uuid = "worker_id",
        /// The worker's description of itself.
        #[serde(skip_serializing_if = "is_zero")]
        metadata: Metadata = "metadata",
        /// Seconds.
        heartbeat_interval_seconds: i64 = "heartbeat_interval_seconds",
    }
);

request!(
    /// Acquire or renew a lease.
    LeaseAcquire {
        /// The key of the lease.
        key: String = "key",
        /// The holder.
        holder: String = "holder",
        /// Seconds, 1 to 86 400.
        ttl_seconds: i64 = "ttl_seconds",
    }
);

request!(
    /// Release a lease.
    LeaseRelease {
        /// The key of the lease.
        key: String = "key",
        /// The holder.
        holder: String = "holder",
    }
);

request!(
    /// An addition: remove the entries of a segment before a sequence.
    Trim {
        /// The space.
        space: String = "space",
        /// The segment.
        segment: String = "segment",
        /// The first sequence that stays.
        first_sequence: u64 = "first_sequence",
    }
);

request!(
    /// An addition: remove a segment with all its entries.
    Delete {
        /// The space.
        space: String = "space",
        /// The segment.
        segment: String = "segment",
    }
);

request!(
    /// The names of all spaces.
    GetSpaces {}
);

/// Any request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // each variant is its struct
pub enum Request {
    Peek(Peek),
    Produce(Produce),
    ConsumeSegment(ConsumeSegment),
    ConsumeSpace(ConsumeSpace),
    Consume(Consume),
    GetSpaces,
    GetSegments(GetSegments),
    GetStatus(GetStatus),
    SubscribeToSegmentStatus(SubscribeToSegmentStatus),
    SubscribeWorkers(SubscribeWorkers),
    LeaseAcquire(LeaseAcquire),
    LeaseRenew(LeaseAcquire),
    LeaseRelease(LeaseRelease),
    Trim(Trim),
    Delete(Delete),
}

impl Request {
    /// Reads one from a channel's first message.
    ///
    /// # Errors
    /// [`EnvelopeError`], with the text the peer expects.
    pub fn decode(message: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope = envelope::decode(message)?;
        Ok(match &*envelope.kind {
            "peek" => Self::Peek(envelope.content()?),
            "produce" => Self::Produce(envelope.content()?),
            "consume_segment" => Self::ConsumeSegment(envelope.content()?),
            "consume_space" => Self::ConsumeSpace(envelope.content()?),
            "consume" => Self::Consume(envelope.content()?),
            "get_spaces" => {
                envelope.content::<GetSpaces>()?;
                Self::GetSpaces
            }
            "get_segments" => Self::GetSegments(envelope.content()?),
            "get_status" => Self::GetStatus(envelope.content()?),
            "subscribe_to_segment_status" => Self::SubscribeToSegmentStatus(envelope.content()?),
            "subscribe_workers" => Self::SubscribeWorkers(envelope.content()?),
            "lease_acquire" => Self::LeaseAcquire(envelope.content()?),
            "lease_renew" => Self::LeaseRenew(envelope.content()?),
            "lease_release" => Self::LeaseRelease(envelope.content()?),
            "trim" => Self::Trim(envelope.content()?),
            "delete" => Self::Delete(envelope.content()?),
            _ => return Err(envelope.not_expected()),
        })
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        let kind = self.kind();
        match self {
            Self::Peek(content) => encode_envelope(kind, content),
            Self::Produce(content) => encode_envelope(kind, content),
            Self::ConsumeSegment(content) => encode_envelope(kind, content),
            Self::ConsumeSpace(content) => encode_envelope(kind, content),
            Self::Consume(content) => encode_envelope(kind, content),
            Self::GetSpaces => encode_envelope(kind, &GetSpaces {}),
            Self::GetSegments(content) => encode_envelope(kind, content),
            Self::GetStatus(content) => encode_envelope(kind, content),
            Self::SubscribeToSegmentStatus(content) => encode_envelope(kind, content),
            Self::SubscribeWorkers(content) => encode_envelope(kind, content),
            Self::LeaseAcquire(content) | Self::LeaseRenew(content) => encode_envelope(kind, content),
            Self::LeaseRelease(content) => encode_envelope(kind, content),
            Self::Trim(content) => encode_envelope(kind, content),
            Self::Delete(content) => encode_envelope(kind, content),
        }
    }

    /// The discriminator's last part, which also names the operation in logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Peek(_) => "peek",
            Self::Produce(_) => "produce",
            Self::ConsumeSegment(_) => "consume_segment",
            Self::ConsumeSpace(_) => "consume_space",
            Self::Consume(_) => "consume",
            Self::GetSpaces => "get_spaces",
            Self::GetSegments(_) => "get_segments",
            Self::GetStatus(_) => "get_status",
            Self::SubscribeToSegmentStatus(_) => "subscribe_to_segment_status",
            Self::SubscribeWorkers(_) => "subscribe_workers",
            Self::LeaseAcquire(_) => "lease_acquire",
            Self::LeaseRenew(_) => "lease_renew",
            Self::LeaseRelease(_) => "lease_release",
            Self::Trim(_) => "trim",
            Self::Delete(_) => "delete",
        }
    }
}
