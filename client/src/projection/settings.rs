//! How a projection behaves, and of what it is.

use std::time::Duration;

use streamkit_protocol::v2::{Call as Asked, Follow as Follows};
use streamkit_record::{LogCursor, StoreId, Wanted};

use crate::asked::Follow;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// How a projection behaves.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) save_entries: u64,
    pub(super) save_time: Duration,
    pub(super) retries: RetryPolicy,
    pub(super) handler_timeout: Duration,
    pub(super) parked_most: usize,
    pub(super) grace: Duration,
    /// Entries of a handler's transaction.
    pub(super) unit: usize,
}

/// A checksum of the store, of the parts in any order, and of the filter.
pub(super) fn checksum(store: &StoreClient, follow: &Follow) -> u32 {
    let encoded = |part: &Wanted| {
        let mut out = Vec::new();
        let of = Asked::Follow(Follows {
            credit: 0,
            parts: vec![part.clone()],
            cursor: LogCursor::default(),
            is_from_now: false,
            heartbeat: 0,
            filter: follow.filter.clone(),
        });
        of.put(StoreId(store.id()), &mut out);
        out
    };
    let mut parts: Vec<Vec<u8>> = follow.parts.iter().map(encoded).collect();
    parts.sort();
    parts.dedup();
    crc32fast::hash(&parts.concat())
}
