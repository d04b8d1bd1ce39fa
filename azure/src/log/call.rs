//! Calls of the medium as values, so that who decides on them does no I/O.

use std::time::Duration;

use bytes::Bytes;
use streamkit_engine::Timestamp;

use crate::medium::{
    BlobName, Created, ExtentId, Inserted, Medium, Put, Root, RootVersion, Rows, SlotBefore, SlotNumber, Swapped,
    Unanswered,
};

/// Whoever makes a call for a log waits no longer for its answer. Then it is unknown.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// Names a call of one log or collector.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CallId(pub u64);

/// A call of [`Medium`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`Medium::create_extent`].
    CreateExtent(ExtentId, Bytes),
    /// [`Medium::insert_at`].
    InsertAt(ExtentId, SlotNumber, Bytes, SlotBefore),
    /// [`Medium::read_from`].
    ReadFrom(ExtentId, SlotNumber, usize),
    /// [`Medium::retire_extent`].
    RetireExtent(ExtentId),
    /// [`Medium::read_root`].
    ReadRoot,
    /// [`Medium::swap_root`].
    SwapRoot(Option<RootVersion>, Bytes),
    /// [`Medium::put_blob`].
    PutBlob(BlobName, Bytes),
    /// [`Medium::get_blob`].
    GetBlob(BlobName),
    /// [`Medium::delete_blob`].
    DeleteBlob(BlobName),
    /// [`Medium::service_time`].
    ServiceTime,
}

/// The answer to a call of the same name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// To [`Call::CreateExtent`].
    Created(Created),
    /// To [`Call::InsertAt`].
    Inserted(Inserted),
    /// To [`Call::ReadFrom`].
    Rows(Rows),
    /// To [`Call::RetireExtent`].
    Retired,
    /// To [`Call::ReadRoot`].
    Root(Option<Root>),
    /// To [`Call::SwapRoot`].
    Swapped(Swapped),
    /// To [`Call::PutBlob`].
    Put(Put),
    /// To [`Call::GetBlob`].
    Blob(Option<Bytes>),
    /// To [`Call::DeleteBlob`].
    Deleted,
    /// To [`Call::ServiceTime`].
    Time(Timestamp),
}

/// Bytes a second that a call may move at least, beside its [`CALL_TIMEOUT`].
const BYTES_A_SECOND: usize = 4 << 20;

/// The most that a blob may have whose size nobody knows before it is read.
const BLOB_BYTES: usize = 64 << 20;

impl Call {
    /// How long its answer is waited for. An attempt that can never end in time would be made for ever.
    pub fn patience(&self) -> Duration {
        let bytes = match self {
            Self::CreateExtent(_, bytes)
            | Self::InsertAt(_, _, bytes, _)
            | Self::SwapRoot(_, bytes)
            | Self::PutBlob(_, bytes) => bytes.len(),
            Self::ReadFrom(_, _, most) => *most,
            Self::GetBlob(_) => BLOB_BYTES,
            Self::RetireExtent(_) | Self::ReadRoot | Self::DeleteBlob(_) | Self::ServiceTime => 0,
        };
        CALL_TIMEOUT + Duration::from_millis((bytes as u64).saturating_mul(1000) / BYTES_A_SECOND as u64)
    }

    /// Makes the call. It ends when the medium's does.
    ///
    /// # Errors
    /// Those of the medium.
    pub async fn of(self, medium: &dyn Medium) -> Result<Said, Unanswered> {
        Ok(match self {
            Self::CreateExtent(extent, first) => Said::Created(medium.create_extent(extent, first).await?),
            Self::InsertAt(extent, slot, bytes, before) => {
                Said::Inserted(medium.insert_at(extent, slot, bytes, before).await?)
            }
            Self::ReadFrom(extent, from, most) => Said::Rows(medium.read_from(extent, from, most).await?),
            Self::RetireExtent(extent) => medium.retire_extent(extent).await.map(|()| Said::Retired)?,
            Self::ReadRoot => Said::Root(medium.read_root().await?),
            Self::SwapRoot(expected, bytes) => Said::Swapped(medium.swap_root(expected, bytes).await?),
            Self::PutBlob(name, bytes) => Said::Put(medium.put_blob(name, bytes).await?),
            Self::GetBlob(name) => Said::Blob(medium.get_blob(name).await?),
            Self::DeleteBlob(name) => medium.delete_blob(name).await.map(|()| Said::Deleted)?,
            Self::ServiceTime => Said::Time(medium.service_time().await?),
        })
    }
}
