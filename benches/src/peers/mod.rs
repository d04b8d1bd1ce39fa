//! Other stores, each doing what ours does: a transaction is durable before it is acknowledged, and stored in the two
//! orders that reads need. The payload stands once, under segment and sequence; log order holds the key of it, which is
//! cheaper for them than the payload twice. They check no sequence, which is cheaper still.

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(feature = "rocksdb")]
mod rocksdb;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::Outcome;
use crate::payload;

/// A store of keys and values.
pub trait Peer: Send + Sync {
    /// Commits records of a writer from a sequence on, and returns when they are durable.
    ///
    /// # Errors
    /// Of the store.
    fn append(&self, writer: usize, first: u64, records: &[Bytes]) -> Outcome;

    /// Visits all entries by segment and sequence.
    ///
    /// # Errors
    /// Of the store, or the visitor's.
    fn scan(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> Outcome) -> Outcome;

    /// How many entries stand in log order.
    ///
    /// # Errors
    /// Of the store.
    fn log_len(&self) -> Outcome<u64>;
}

/// Opens a peer in a folder.
pub type Open = fn(&Path) -> Outcome<Arc<dyn Peer>>;

/// One of the peers.
pub struct Kind {
    /// Its name, with the version that the workspace asks for.
    pub name: &'static str,
    /// `None` where the cargo feature of its name was not asked for.
    pub open: Option<Open>,
}

/// All of them.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "fjall",
        #[cfg(feature = "fjall")]
        open: Some(fjall::open),
        #[cfg(not(feature = "fjall"))]
        open: None,
    },
    Kind {
        name: "rocksdb",
        #[cfg(feature = "rocksdb")]
        open: Some(rocksdb::open),
        #[cfg(not(feature = "rocksdb"))]
        open: None,
    },
];

/// The key of an entry: the names as ours stores them, then the sequence, so that keys sort as entries do.
pub fn key(writer: usize, sequence: u64) -> Vec<u8> {
    let path = payload::path(writer);
    let mut key = Vec::with_capacity(40);
    for name in [path.space.as_str(), path.segment.as_str()] {
        key.extend_from_slice(name.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}

/// The segment and sequence of a key.
pub fn parse(key: &[u8]) -> Option<(&str, u64)> {
    let (names, sequence) = key.split_last_chunk::<8>()?;
    let segment = names.split(|byte| *byte == 0).nth(1)?;
    Some((std::str::from_utf8(segment).ok()?, u64::from_be_bytes(*sequence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_entries_and_read_back() {
        assert!(key(1, 255) < key(1, 256) && key(1, u64::MAX) < key(2, 1));
        assert_eq!(parse(&key(7, 300)), Some(("order-0000007", 300)));
    }
}
