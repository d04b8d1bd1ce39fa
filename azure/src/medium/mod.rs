//! The boundary between a shared log and what keeps its bytes: extents of numbered slots, one root, and blobs.
//!
//! An **extent** is a row of **slots**, numbered from 0, and a header behind them. Whoever inserts a slot first decides its bytes for
//! ever. The header says that the extent takes slots; to retire an extent is to remove the header, then the slots from 1 on. Slot 0 stays
//! as a tombstone, so that a name is used once: a create that arrives late, or twice, finds it and changes nothing.
//!
//! The **root** is one small document that changes only by compare-and-swap. **Blobs** have unique names and never change.
//!
//! What an answer proves is said at each. Three rules hold for all calls:
//!
//! - [`Unanswered::Unknown`] and [`Unanswered::Throttled`] prove nothing: the call may have been carried out, or may be carried out later, also
//!   after other calls that were made after it. Only the same call again, with the same bytes, is safe.
//! - No call is repeated by an implementation. Each ends by itself within seconds: an answer that does not come is [`Unanswered::Unknown`].
//! - Dropping the future of a call leaves its outcome unknown, as if the answer was lost.

#[cfg(feature = "account")]
pub mod azure;
pub mod conformance;
mod metered;
mod names;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_engine::{StoreId, Timestamp};

pub use metered::{MediumCall, MediumFigures, MediumMeter, MeteredMedium};
pub use names::{BlobKind, BlobName, ExtentId, SlotNumber};

/// What keeps the bytes of one store for all hosts. Every call is linearizable with those of all hosts.
#[async_trait]
pub trait Medium: Send + Sync + 'static {
    /// The most bytes that one slot takes. A larger group has its body in a blob.
    fn slot_bytes_max(&self) -> usize;

    /// Makes an extent: its header and slot 0, in one transaction.
    ///
    /// # Errors
    /// [`Unanswered`]; likewise below.
    async fn create_extent(&self, extent: ExtentId, first: Bytes) -> Result<Created, Unanswered>;

    /// Inserts a slot if it is not there and the extent is not retired, in one transaction with a look at the header.
    ///
    /// If the slot before is known to be there, the same transaction may look at it, too: that it is gone is [`Unanswered::Damaged`], and the slot is not
    /// inserted by this call. Does not look at the slots before it otherwise. A repeated call may know more than the first.
    async fn insert_at(
        &self,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: Bytes,
        before: SlotBefore,
    ) -> Result<Inserted, Unanswered>;

    /// Reads an extent's slots from one on, in ascending order, then its header. What it reads is not of one moment: an insert meanwhile may be
    /// among the rows although one before it is not.
    ///
    /// It may leave out the rows behind the first missing slot, and it may end early once it holds `most` bytes and the row of `from`, or if it finds
    /// behind that row that a slot is gone. A read from the first slot that is gone may tell [`Unanswered::Damaged`]; an implementation that remembers which
    /// slots were inserted does.
    async fn read_from(&self, extent: ExtentId, from: SlotNumber, most: usize) -> Result<Rows, Unanswered>;

    /// Removes the header, and only once it is gone the slots from 1 on. `Ok`: all of that is gone, whoever removed it. Any other answer: perhaps
    /// some of it.
    async fn retire_extent(&self, extent: ExtentId) -> Result<(), Unanswered>;

    /// The root as it is now; `None` while there is none.
    async fn read_root(&self) -> Result<Option<Root>, Unanswered>;

    /// Replaces the root that was read as `expected`, or makes the first one.
    async fn swap_root(&self, expected: Option<RootVersion>, bytes: Bytes) -> Result<Swapped, Unanswered>;

    /// Writes a blob under a name that nobody used for other bytes.
    async fn put_blob(&self, name: BlobName, bytes: Bytes) -> Result<Put, Unanswered>;

    /// Reads a whole blob. `None` proves that it is not there now.
    async fn get_blob(&self, name: BlobName) -> Result<Option<Bytes>, Unanswered>;

    /// Removes a blob. `Ok`: it is gone, whoever removed it. A put that arrives late may bring it back.
    async fn delete_blob(&self, name: BlobName) -> Result<(), Unanswered>;

    /// The service's own time, to the second, at some moment of the call.
    async fn service_time(&self) -> Result<Timestamp, Unanswered>;
}

/// What keeps the bytes of each store.
pub type Media = Arc<dyn Fn(StoreId) -> Arc<dyn Medium> + Send + Sync>;

/// What became of a create.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Created {
    /// This call made the extent.
    Done,
    /// Its slot 0 is there: some call made the extent before, and it may be retired since.
    Taken,
}

/// What whoever inserts a slot knows of the slot before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotBefore {
    /// It was there, as a read or an insert of it has said, or is slot 0.
    Known,
    /// It may be on its way.
    Perhaps,
}

/// What became of an insert.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// This call inserted the slot: it holds these bytes for ever. The implementation looked at the outcome of each part of the transaction, and not
    /// only at that of the whole.
    Done,
    /// The slot was there before this call. Its bytes may be those of an earlier call with the same bytes: only a read tells.
    Taken,
    /// The header was not there: the extent is retired, and this call inserted nothing. An earlier call with the same bytes may have.
    Retired,
}

/// What a read of an extent found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rows {
    /// Slots and their bytes, ascending, none before the one asked for. Each holds these bytes for ever. Numbers may be missing.
    pub rows: Vec<(SlotNumber, Bytes)>,
    /// What was behind them.
    pub end: RowsEnd,
}

/// What was behind the rows of a read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowsEnd {
    /// The header, read after all rows. Then every slot that was there when the read began is among the rows, up to the first that is missing: what is
    /// missing was not there when the read began.
    Header,
    /// The read ended early, with the row of the slot asked for. Nothing is said about what is behind the rows.
    Early,
    /// No header: the extent is retired, or was never made. What is missing may have been there.
    Nothing,
}

/// The root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Root {
    /// What stands in it.
    pub bytes: Bytes,
    /// Which version of it this is.
    pub version: RootVersion,
}

/// A version of the root, as the medium names it. No two versions of a store's root have one name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RootVersion(pub String);

/// What became of a compare-and-swap of the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Swapped {
    /// This call replaced the root; it is of this version.
    Done(RootVersion),
    /// The root was of another version. An earlier call with the same bytes may have made that one, or one before it.
    Lost,
}

/// What became of writing a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// This call wrote it.
    Done,
    /// A blob of this name was there.
    Taken,
}

/// Why a call has no answer that says what was done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unanswered {
    /// No answer, a broken one, or one that says that the service failed (408, 5xx). Proves nothing.
    #[error("the storage's answer is unknown: {0}")]
    Unknown(String),
    /// The service has too much to do (429, 503). Proves nothing: a front end may say so of a call that was carried out.
    #[error("the storage asks to wait")]
    Throttled {
        /// How long it asks to wait, if it says so.
        after: Option<Duration>,
    },
    /// The service does not accept the credential (401, 403), or the implementation has none now. This call was not carried out; the implementation gets a new credential
    /// before the next call.
    #[error("the storage refuses the credential: {0}")]
    Denied(String),
    /// The service will never accept this call (400, 413 and the like): a fault of ours. This call was not carried out.
    #[error("the storage refuses the call: {0}")]
    Refused(String),
    /// What it keeps is not what was written, or part of it is gone.
    #[error("damage in the storage: {0}")]
    Damaged(String),
}
