//! A medium whose calls are counted: how long they take, what comes of them, and how many bytes they move.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use streamkit_engine::Timestamp;
use streamkit_engine::boundary::figures::{CallFigures, Histogram};

use super::{
    BlobName, Created, ExtentId, Inserted, Medium, Put, Root, RootVersion, Rows, SlotBefore, SlotNumber, Swapped,
    Unanswered,
};

/// Which call of a [`Medium`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum MediumCall {
    /// [`Medium::create_extent`].
    CreateExtent,
    /// [`Medium::insert_at`].
    InsertAt,
    /// [`Medium::read_from`].
    ReadFrom,
    /// [`Medium::retire_extent`].
    RetireExtent,
    /// [`Medium::read_root`].
    ReadRoot,
    /// [`Medium::swap_root`].
    SwapRoot,
    /// [`Medium::put_blob`].
    PutBlob,
    /// [`Medium::get_blob`].
    GetBlob,
    /// [`Medium::delete_blob`].
    DeleteBlob,
    /// [`Medium::service_time`].
    ServiceTime,
}

impl MediumCall {
    /// All of them, in the order of [`MediumFigures::calls`].
    pub const ALL: [Self; 10] = [
        Self::CreateExtent,
        Self::InsertAt,
        Self::ReadFrom,
        Self::RetireExtent,
        Self::ReadRoot,
        Self::SwapRoot,
        Self::PutBlob,
        Self::GetBlob,
        Self::DeleteBlob,
        Self::ServiceTime,
    ];

    /// Its word where figures are told.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CreateExtent => "create_extent",
            Self::InsertAt => "insert",
            Self::ReadFrom => "read",
            Self::RetireExtent => "retire_extent",
            Self::ReadRoot => "read_root",
            Self::SwapRoot => "swap_root",
            Self::PutBlob => "put_blob",
            Self::GetBlob => "get_blob",
            Self::DeleteBlob => "delete_blob",
            Self::ServiceTime => "service_time",
        }
    }
}

/// Figures of a medium.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediumFigures {
    /// One for each of [`MediumCall::ALL`].
    pub calls: [CallFigures; 10],
}

impl MediumFigures {
    /// Those of one kind of call.
    pub fn of(&self, call: MediumCall) -> &CallFigures {
        &self.calls[call as usize]
    }
}

/// Counts the calls of any number of media.
#[derive(Debug)]
pub struct MediumMeter([CallMeter; 10]);

impl Default for MediumMeter {
    fn default() -> Self {
        Self(std::array::from_fn(|_| CallMeter {
            nanos: Histogram::new(Histogram::TIMES),
            ends: Default::default(),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
        }))
    }
}

impl MediumMeter {
    /// What was counted so far. Of calls that end meanwhile, one number may be there and another not yet.
    pub fn now(&self) -> MediumFigures {
        let of = |call: MediumCall| {
            let meter = &self.0[call as usize];
            let end = |end: CallEnd| meter.ends[end as usize].load(Ordering::Relaxed);
            CallFigures {
                call: call.word(),
                nanos: meter.nanos.now(),
                done: end(CallEnd::Done),
                conflicts: end(CallEnd::Conflict),
                unknown: end(CallEnd::Unknown),
                throttled: end(CallEnd::Throttled),
                denied: end(CallEnd::Denied),
                refused: end(CallEnd::Refused),
                sent_bytes: meter.sent_bytes.load(Ordering::Relaxed),
                received_bytes: meter.received_bytes.load(Ordering::Relaxed),
            }
        };
        MediumFigures {
            calls: MediumCall::ALL.map(of),
        }
    }

    fn begin(&self, call: MediumCall, sent_bytes: usize) -> UnderWay<'_> {
        let meter = &self.0[call as usize];
        meter.sent_bytes.fetch_add(sent_bytes as u64, Ordering::Relaxed);
        UnderWay {
            meter,
            begun: Instant::now(),
            end: CallEnd::Unknown,
        }
    }
}

#[derive(Debug)]
struct CallMeter {
    nanos: Histogram,
    ends: [AtomicU64; 6],
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
}

/// How a call ended.
#[derive(Clone, Copy)]
#[repr(usize)]
enum CallEnd {
    Done,
    Conflict,
    Unknown,
    Throttled,
    Denied,
    Refused,
}

/// A call that has no answer yet. Given up, it counts as one whose outcome is unknown.
struct UnderWay<'a> {
    meter: &'a CallMeter,
    begun: Instant,
    end: CallEnd,
}

impl UnderWay<'_> {
    fn ended<T>(
        mut self,
        answer: Result<T, Unanswered>,
        is_done: impl FnOnce(&T) -> bool,
        received_bytes: impl FnOnce(&T) -> usize,
    ) -> Result<T, Unanswered> {
        self.end = match &answer {
            Ok(answer) => {
                let bytes = received_bytes(answer) as u64;
                self.meter.received_bytes.fetch_add(bytes, Ordering::Relaxed);
                if is_done(answer) {
                    CallEnd::Done
                } else {
                    CallEnd::Conflict
                }
            }
            Err(Unanswered::Unknown(_)) => CallEnd::Unknown,
            Err(Unanswered::Throttled { .. }) => CallEnd::Throttled,
            Err(Unanswered::Denied(_)) => CallEnd::Denied,
            Err(Unanswered::Refused(_) | Unanswered::Damaged(_)) => CallEnd::Refused,
        };
        answer
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.meter.nanos.count_time(self.begun.elapsed());
        self.meter.ends[self.end as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// A medium whose calls a meter counts. Each does what it does without.
#[derive(Clone, Debug)]
pub struct MeteredMedium<M> {
    medium: M,
    meter: Arc<MediumMeter>,
}

impl<M: Medium> MeteredMedium<M> {
    /// Counts the calls of a medium.
    pub fn new(medium: M, meter: Arc<MediumMeter>) -> Self {
        Self { medium, meter }
    }
}

fn nothing<T>(_: &T) -> usize {
    0
}

fn always<T>(_: &T) -> bool {
    true
}

#[async_trait]
impl<M: Medium> Medium for MeteredMedium<M> {
    fn slot_bytes_max(&self) -> usize {
        self.medium.slot_bytes_max()
    }

    async fn create_extent(&self, extent: ExtentId, first: Bytes) -> Result<Created, Unanswered> {
        let call = self.meter.begin(MediumCall::CreateExtent, first.len());
        let answer = self.medium.create_extent(extent, first).await;
        call.ended(answer, |created| *created == Created::Done, nothing)
    }

    async fn insert_at(
        &self,
        extent: ExtentId,
        slot: SlotNumber,
        bytes: Bytes,
        before: SlotBefore,
    ) -> Result<Inserted, Unanswered> {
        let call = self.meter.begin(MediumCall::InsertAt, bytes.len());
        let answer = self.medium.insert_at(extent, slot, bytes, before).await;
        call.ended(answer, |inserted| *inserted == Inserted::Done, nothing)
    }

    async fn read_from(&self, extent: ExtentId, from: SlotNumber, most: usize) -> Result<Rows, Unanswered> {
        let call = self.meter.begin(MediumCall::ReadFrom, 0);
        let answer = self.medium.read_from(extent, from, most).await;
        call.ended(answer, always, |rows| {
            rows.rows.iter().map(|(_, bytes)| bytes.len()).sum()
        })
    }

    async fn retire_extent(&self, extent: ExtentId) -> Result<(), Unanswered> {
        let call = self.meter.begin(MediumCall::RetireExtent, 0);
        call.ended(self.medium.retire_extent(extent).await, always, nothing)
    }

    async fn read_root(&self) -> Result<Option<Root>, Unanswered> {
        let call = self.meter.begin(MediumCall::ReadRoot, 0);
        let answer = self.medium.read_root().await;
        call.ended(answer, always, |root| root.as_ref().map_or(0, |root| root.bytes.len()))
    }

    async fn swap_root(&self, expected: Option<RootVersion>, bytes: Bytes) -> Result<Swapped, Unanswered> {
        let call = self.meter.begin(MediumCall::SwapRoot, bytes.len());
        let answer = self.medium.swap_root(expected, bytes).await;
        call.ended(answer, |swapped| matches!(swapped, Swapped::Done(_)), nothing)
    }

    async fn put_blob(&self, name: BlobName, bytes: Bytes) -> Result<Put, Unanswered> {
        let call = self.meter.begin(MediumCall::PutBlob, bytes.len());
        let answer = self.medium.put_blob(name, bytes).await;
        call.ended(answer, |put| *put == Put::Done, nothing)
    }

    async fn get_blob(&self, name: BlobName) -> Result<Option<Bytes>, Unanswered> {
        let call = self.meter.begin(MediumCall::GetBlob, 0);
        let answer = self.medium.get_blob(name).await;
        call.ended(answer, always, |blob| blob.as_ref().map_or(0, Bytes::len))
    }

    async fn delete_blob(&self, name: BlobName) -> Result<(), Unanswered> {
        let call = self.meter.begin(MediumCall::DeleteBlob, 0);
        call.ended(self.medium.delete_blob(name).await, always, nothing)
    }

    async fn service_time(&self) -> Result<Timestamp, Unanswered> {
        let call = self.meter.begin(MediumCall::ServiceTime, 0);
        call.ended(self.medium.service_time().await, always, nothing)
    }
}
