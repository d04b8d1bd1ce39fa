//! The receiver of what a pass through a store's log meets.

use crate::LogPosition;
use crate::SequenceRange;
use crate::StorageError;
use crate::format::extent_header::LogState;
use crate::format::group::GroupHeader;
use crate::format::transaction::TransactionHeader;
use crate::offline::findings::Findings;
/// Who wants to know what stands in a log.
pub(crate) trait Sink {
    /// A whole group; its transactions follow.
    fn group(&mut self, _at: LogPosition, _header: &GroupHeader) -> Result<(), StorageError> {
        Ok(())
    }
    /// A whole transaction, also one of a group that is not whole. Behind a hole, its number may be more than one higher than
    /// the last one's.
    fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
        findings: &mut Findings,
    ) -> Result<(), StorageError>;
    /// Entries are missing here, as an index file says; only where a [`Ledger`](super::ledger::Ledger) is kept.
    fn lost(&mut self, _range: &SequenceRange) -> Result<(), StorageError> {
        Ok(())
    }
    /// The checkpoint stands here, where this is the log's state; nothing before is missing.
    fn checkpoint(&mut self, _crc: u32, _state: &LogState) {}
    /// The end of an extent.
    fn extent(&mut self, _ended: PassedExtent, _findings: &mut Findings) -> Result<(), StorageError> {
        Ok(())
    }
    /// The end of the log.
    fn end(&mut self, _findings: &mut Findings) -> Result<(), StorageError> {
        Ok(())
    }
    /// So many more bytes of extents are done.
    fn progress(&mut self, _bytes: u64) {}
}

/// An extent that was gone through.
pub(crate) struct PassedExtent {
    pub(crate) extent: u64,
    /// Where its last group ends.
    pub(crate) end: u32,
    /// That group's link.
    pub(crate) chain: u32,
    /// Whether the log goes on in another.
    pub(crate) sealed: bool,
    /// Whether all its groups are whole, as far as can be told.
    pub(crate) whole: bool,
}
