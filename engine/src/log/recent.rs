//! Keeps the latest commits in memory while somebody follows the durable tail. A thousand readers woken by a group
//! share its bytes, and none reads the file. Their checksums were just made, so nobody checks them again.
//!
//! The memory is bounded for each store and for all together. The more all stores have, the less each may take, so
//! there is always room for another store. A store without followers keeps nothing; its memory goes at its next
//! commit, or at its close.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use crate::format::transaction::TransactionHeader;
use crate::runtime::sync::{RwLock, RwLockWriteGuard};
use streamkit_record::LogPosition;

/// Bytes of one store.
const STORE_BYTES_MAX: usize = 1 << 20;
/// Bytes of all stores together.
const ALL_BYTES_MAX: usize = 32 << 20;
/// Bytes in one allocation: what an entry keeps that a reader keeps.
pub(crate) const PIECE_BYTES_MAX: usize = 256 << 10;

/// Bytes that all stores have together.
#[derive(Debug, Default)]
pub(crate) struct RecentBytes(AtomicUsize);

impl RecentBytes {
    /// How much a store may have that has `own` now.
    fn share(&self, own: usize) -> usize {
        let others = self.0.load(Ordering::Relaxed).saturating_sub(own);
        (ALL_BYTES_MAX.saturating_sub(others) / 8).min(STORE_BYTES_MAX)
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |all| {
            Some(all + bytes).filter(|&all| all <= ALL_BYTES_MAX)
        });
        taken.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Whole transactions, one behind the other.
struct RecentPiece {
    at: LogPosition,
    bytes: Bytes,
}

#[derive(Default)]
struct Kept {
    /// In log order.
    pieces: VecDeque<RecentPiece>,
    bytes: usize,
}

/// The bytes committed last to one store.
pub(crate) struct Recent {
    kept: RwLock<Kept>,
    /// As in `kept`, for whoever looks without the lock.
    bytes: AtomicUsize,
    all: Arc<RecentBytes>,
}

impl Recent {
    pub(crate) fn new(all: Arc<RecentBytes>) -> Self {
        Self {
            kept: RwLock::default(),
            bytes: AtomicUsize::new(0),
            all,
        }
    }

    /// Keeps transactions that are durable and begin at `at`. Whoever calls this publishes them after it.
    pub(crate) fn keep(&self, at: LogPosition, transactions: &[u8]) {
        let mut kept = self.write();
        let (mut from, mut end) = (0, 0);
        loop {
            let next = transactions.get(end..).map(TransactionHeader::decode);
            let length = match next {
                Some(Ok(header)) => header.length as usize,
                _ => 0,
            };
            // A piece ends before it gets too large, yet holds at least one transaction.
            if from < end && (length == 0 || end + length - from > PIECE_BYTES_MAX) {
                let at = LogPosition {
                    byte: at.byte + from as u32,
                    ..at
                };
                self.push(&mut kept, at, &transactions[from..end]);
                from = end;
            }
            if length == 0 || end + length > transactions.len() {
                return;
            }
            end += length;
        }
    }

    fn push(&self, kept: &mut Kept, at: LogPosition, bytes: &[u8]) {
        // A transaction larger than a piece is worth a read of its own.
        if bytes.len() > PIECE_BYTES_MAX {
            return;
        }
        let share = self.all.share(kept.bytes);
        while !kept.pieces.is_empty() && kept.bytes + bytes.len() > share {
            self.drop_oldest(kept);
        }
        if bytes.len() <= share && self.all.take(bytes.len()) {
            kept.pieces.push_back(RecentPiece {
                at,
                bytes: Bytes::copy_from_slice(bytes),
            });
            kept.bytes += bytes.len();
        }
        self.bytes.store(kept.bytes, Ordering::Release);
    }

    fn drop_oldest(&self, kept: &mut Kept) {
        if let Some(piece) = kept.pieces.pop_front() {
            kept.bytes -= piece.bytes.len();
            self.all.give_back(piece.bytes.len());
        }
    }

    /// The bytes that hold `position`, and where they begin in its extent.
    pub(crate) fn find(&self, position: LogPosition) -> Option<(u32, Bytes)> {
        if self.bytes.load(Ordering::Acquire) == 0 {
            return None;
        }
        let kept = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let behind = kept.pieces.partition_point(|piece| piece.at <= position);
        let piece = kept.pieces.get(behind.checked_sub(1)?)?;
        let within =
            piece.at.extent == position.extent && ((position.byte - piece.at.byte) as usize) < piece.bytes.len();
        within.then(|| (piece.at.byte, piece.bytes.clone()))
    }

    /// Keeps nothing any more.
    pub(crate) fn clear(&self) {
        if self.bytes.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut kept = self.write();
        while !kept.pieces.is_empty() {
            self.drop_oldest(&mut kept);
        }
        self.bytes.store(0, Ordering::Release);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::transaction::Encoded;
    use streamkit_record::{Record, SegmentPath, Sequence, Timestamp, Transaction};

    fn transaction(bytes: usize) -> Vec<u8> {
        let path = SegmentPath::new("s", "a").unwrap();
        let transaction = Transaction::single(path, Sequence(1), vec![Record::new(vec![7; bytes])]);
        Encoded::data(&transaction).commit(1, Timestamp(1)).to_vec()
    }

    fn at(byte: usize) -> LogPosition {
        LogPosition {
            extent: 3,
            byte: byte as u32,
        }
    }

    #[test]
    fn what_was_kept_last_is_found_and_no_more_than_may_be_is_kept() {
        let all = Arc::new(RecentBytes::default());
        let recent = Recent::new(Arc::clone(&all));
        let one = transaction(1000);
        let group: Vec<u8> = one.iter().copied().cycle().take(one.len() * 500).collect();
        let mut begins = 4096;
        for _ in 0..10 {
            recent.keep(at(begins), &group);
            for n in [0, 1, 250, 499] {
                let byte = begins + n * one.len();
                let (start, bytes) = recent.find(at(byte)).expect("kept just now");
                assert!(bytes.len() <= PIECE_BYTES_MAX);
                assert_eq!(bytes[byte - start as usize..][..one.len()], one);
            }
            assert!(recent.find(at(begins + group.len())).is_none());
            assert!(all.0.load(Ordering::Relaxed) <= STORE_BYTES_MAX);
            begins += group.len() + 48;
        }
        assert!(recent.find(at(4096)).is_none());
        assert!(recent.find(LogPosition { extent: 2, byte: 5000 }).is_none());
        drop(recent);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_stores_share_what_all_may_have_and_one_that_begins_finds_room() {
        let all = Arc::new(RecentBytes::default());
        let group = transaction(20_000);
        let stores: Vec<_> = (0..1000).map(|_| Recent::new(Arc::clone(&all))).collect();
        for round in 0..60 {
            for store in &stores[..200] {
                store.keep(at(4096 + round * 30_000), &group);
            }
        }
        assert!(all.0.load(Ordering::Relaxed) <= ALL_BYTES_MAX);
        stores[999].keep(at(4096), &group);
        assert!(stores[999].find(at(4096)).is_some());
        stores.iter().for_each(Recent::clear);
        assert_eq!(all.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_transaction_larger_than_a_piece_is_passed_over() {
        let recent = Recent::new(Arc::default());
        recent.keep(at(4096), &transaction(100));
        recent.keep(at(8192), &transaction(2 * PIECE_BYTES_MAX));
        assert!(recent.find(at(4096)).is_some() && recent.find(at(8192)).is_none());
        recent.keep(at(1 << 20), &transaction(100));
        assert!(recent.find(at(1 << 20)).is_some());
    }
}
