//! The simulated storage keeps the promises that the real one keeps: otherwise what is found out on it says nothing.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_engine::Timestamp;

use super::storage::{Step, Storage, Work};
use crate::log::{Call, Said};
use crate::medium::conformance::PROMISES;
use crate::medium::{
    BlobName, Created, ExtentId, Inserted, Medium, Put, Root, RootVersion, Rows, SlotBefore, SlotNumber, Swapped,
    Unanswered,
};

/// Calls on a simulated storage, each a step at a time, between which the others take theirs.
struct Stepped {
    storage: Mutex<Storage>,
    /// Rows of a page.
    page: u64,
}

impl Stepped {
    async fn call(&self, call: Call) -> Said {
        let mut work = Work::new(call);
        loop {
            let step = {
                let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
                storage.step(work, self.page, Timestamp(1_000))
            };
            match step {
                Step::Done(said) => return said,
                Step::More(more) => work = more,
            }
            tokio::task::yield_now().await;
        }
    }
}

/// What was said, which can be nothing else.
macro_rules! said {
    ($medium:ident, $call:expr, $said:pat => $value:expr) => {
        match $medium.call($call).await {
            $said => Ok($value),
            other => panic!("another answer: {other:?}"),
        }
    };
}

#[async_trait]
impl Medium for Stepped {
    fn slot_bytes_max(&self) -> usize {
        1_000_000
    }

    async fn create_extent(&self, extent: ExtentId, first: Bytes) -> Result<Created, Unanswered> {
        said!(self, Call::CreateExtent(extent, first), Said::Created(created) => created)
    }

    async fn insert_at(
        &self,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: Bytes,
        before: SlotBefore,
    ) -> Result<Inserted, Unanswered> {
        said!(self, Call::InsertAt(extent, slot, bytes, before), Said::Inserted(inserted) => inserted)
    }

    async fn read_from(&self, extent: ExtentId, from: SlotNumber, most: usize) -> Result<Rows, Unanswered> {
        said!(self, Call::ReadFrom(extent, from, most), Said::Rows(rows) => rows)
    }

    async fn retire_extent(&self, extent: ExtentId) -> Result<(), Unanswered> {
        said!(self, Call::RetireExtent(extent), Said::Retired => ())
    }

    async fn read_root(&self) -> Result<Option<Root>, Unanswered> {
        said!(self, Call::ReadRoot, Said::Root(root) => root)
    }

    async fn swap_root(&self, expected: Option<RootVersion>, bytes: Bytes) -> Result<Swapped, Unanswered> {
        said!(self, Call::SwapRoot(expected, bytes), Said::Swapped(swapped) => swapped)
    }

    async fn put_blob(&self, name: BlobName, bytes: Bytes) -> Result<Put, Unanswered> {
        said!(self, Call::PutBlob(name, bytes), Said::Put(put) => put)
    }

    async fn get_blob(&self, name: BlobName) -> Result<Option<Bytes>, Unanswered> {
        said!(self, Call::GetBlob(name), Said::Blob(blob) => blob)
    }

    async fn delete_blob(&self, name: BlobName) -> Result<(), Unanswered> {
        said!(self, Call::DeleteBlob(name), Said::Deleted => ())
    }

    async fn service_time(&self) -> Result<Timestamp, Unanswered> {
        said!(self, Call::ServiceTime, Said::Time(time) => time)
    }
}

#[tokio::test]
async fn the_simulated_storage_keeps_every_promise() {
    for page in [1, 3, 1000] {
        for (name, promise) in PROMISES {
            let medium = Stepped {
                storage: Mutex::default(),
                page,
            };
            promise(&medium)
                .await
                .unwrap_or_else(|error| panic!("{name}, pages of {page}: {error}"));
        }
    }
}
