//! Answers of v1: a message for each entry, name and status, in frames of its channel.

use streamkit_engine::limits::NAME_BYTES_MAX;
use streamkit_engine::{Committed, Entry, Lease, Name, Record, SegmentPath, SegmentStatus, Timestamp};
use streamkit_protocol::limits::{FRAME_OVERHEAD_BYTES, MESSAGE_BYTES_MAX};
use streamkit_protocol::{
    EntryRef, FrameHead, LeaseResult, Presence, Status, Trx, Worker, WorkerInventory, WorkerMessage,
};
use uuid::Uuid;

use super::pressure::Pressure;
use crate::budgets::{Ended, Share};
use crate::live::{Interest, Present};
use crate::verbs::{Answers, Batch, DoesNotFit, Failure, Totals};
use crate::websocket::{Frames, Outbound};

/// Bytes of a message that a batch makes room for at once.
const LARGE_BYTES: usize = 64 << 10;

/// Bytes of memory for a message that a batch keeps for the next one.
const KEPT_BYTES: usize = 128 << 10;

/// Where a channel is answered.
pub(super) struct Replies {
    head: FrameHead,
    outbound: Outbound,
    pressure: Pressure,
}

/// Messages of one channel on their way out together.
pub(super) struct Messages {
    head: FrameHead,
    frames: Frames,
    /// The message that is being made.
    message: Vec<u8>,
}

impl Replies {
    pub(super) fn new(head: FrameHead, outbound: Outbound, pressure: Pressure) -> Self {
        Self {
            head,
            outbound,
            pressure,
        }
    }

    /// Ends the channel with a message. Of a connection that is gone, does nothing.
    pub(super) async fn end(&self, terminal: &[u8]) {
        let mut last = self.batch();
        last.message(terminal);
        let _ = self.outbound.send(last.frames).await;
    }

    /// Answers a lease request that cannot be granted. Of a connection that is gone, does nothing.
    pub(super) async fn invalid_lease(&self, message: String) {
        let mut batch = self.batch();
        let result = LeaseResult {
            message,
            ..LeaseResult::default()
        };
        batch.message(&result.encode());
        let _ = self.outbound.send(batch.frames).await;
    }

    /// Ends it with an error frame. Of a connection that is gone, does nothing.
    pub(super) async fn end_with_error(&self, terminal: &[u8]) {
        let _ = self.outbound.send(self.head.error(terminal).into()).await;
    }
}

impl Answers for Replies {
    type Batch = Messages;

    fn batch(&self) -> Messages {
        Messages {
            head: self.head,
            frames: Frames::default(),
            message: Vec::new(),
        }
    }

    fn has_room(&self) -> impl Future<Output = Result<(), Ended>> {
        self.outbound.has_room()
    }

    fn is_roomy(&self) -> bool {
        self.outbound.is_roomy()
    }

    fn send_of(&self, batch: Messages, share: Share) -> impl Future<Output = Result<(), Ended>> {
        self.outbound.send_of(batch.frames, share)
    }

    fn send(&self, batch: Messages) -> impl Future<Output = Result<(), Ended>> {
        self.outbound.send(batch.frames)
    }

    async fn acknowledge(&self, batch: Messages) -> Result<(), Failure> {
        tokio::select! {
            biased;
            sent = self.send(batch) => Ok(sent?),
            () = self.pressure.overloaded().cancelled() => Err(Failure::Ending),
            () = self.pressure.gives_way() => Err(Failure::Overloaded),
        }
    }
}

impl Messages {
    fn message(&mut self, message: &[u8]) {
        push(self.head, message, &mut self.frames);
    }
}

fn push(head: FrameHead, message: &[u8], frames: &mut Frames) {
    if message.len() > LARGE_BYTES {
        // Exactly: it may stay for long.
        frames
            .bytes
            .reserve_exact(message.len().div_ceil(3) * 4 + FRAME_OVERHEAD_BYTES);
    }
    head.data_into(message, &mut frames.bytes);
    frames.ends.push(frames.bytes.len());
}

impl Batch for Messages {
    fn entry(&mut self, entry: &Entry) -> Result<(), DoesNotFit> {
        self.message.clear();
        encode_entry(entry, &mut self.message);
        if self.message.len() > MESSAGE_BYTES_MAX {
            return Err(DoesNotFit);
        }
        push(self.head, &self.message, &mut self.frames);
        Ok(())
    }

    fn no_entry(&mut self, path: &SegmentPath) {
        let empty = streamkit_protocol::Entry {
            space: path.space.to_string(),
            segment: path.segment.to_string(),
            ..Default::default()
        };
        self.message(&empty.encode());
    }

    fn status(&mut self, status: &SegmentStatus) {
        let status = streamkit_protocol::SegmentStatus {
            space: status.path.space.to_string(),
            segment: status.path.segment.to_string(),
            first_sequence: status.first_sequence.0,
            first_timestamp: status.first_timestamp.0,
            last_sequence: status.last_sequence.0,
            last_timestamp: status.last_timestamp.0,
            heartbeat: false,
        };
        self.message(&status.encode());
    }

    fn committed(&mut self, committed: &Committed, _: &[u64]) {
        for status in &committed.segments {
            self.status(status);
        }
    }

    fn name(&mut self, name: &Name) {
        // A text always has a JSON form.
        self.message(&serde_json::to_vec(name.as_str()).unwrap_or_default());
    }

    fn totals(&mut self, totals: &Totals) {
        let (space, segment) = totals.within.names();
        let status = Status {
            space: space.to_owned(),
            segment: segment.to_owned(),
            space_count: totals.space_count,
            segment_count: totals.segment_count,
            entry_count: totals.entry_count,
            first_sequence: totals.first_sequence.0,
            first_timestamp: totals.first_timestamp.0,
            last_sequence: totals.last_sequence.0,
            last_timestamp: totals.last_timestamp.0,
        };
        self.message(&status.encode());
    }

    fn heartbeat(&mut self, of: &Interest) {
        let heartbeat = streamkit_protocol::SegmentStatus {
            space: of.space.to_string(),
            segment: of.segment.as_ref().map_or_else(|| "*".to_owned(), Name::to_string),
            heartbeat: true,
            ..Default::default()
        };
        self.message(&heartbeat.encode());
    }

    fn inventory(&mut self, workers: &[Present], now: Timestamp) {
        let worker = |present: &Present| Worker {
            worker_id: present.id,
            metadata: present.metadata.clone(),
            last_seen_at: present.last_seen.0,
        };
        let inventory = WorkerMessage::Inventory(WorkerInventory {
            workers: workers.iter().map(worker).collect(),
            timestamp: now.0,
        });
        self.message(&inventory.encode());
    }

    fn sign_of_life(&mut self, worker: Uuid, now: Timestamp) {
        let presence = WorkerMessage::Presence(Presence {
            worker_id: worker,
            heartbeat: true,
            timestamp: now.0,
        });
        self.message(&presence.encode());
    }

    fn lease(&mut self, lease: Option<&Lease>) {
        let result = LeaseResult {
            ok: lease.is_some(),
            message: String::new(),
            fencing_token: lease.map_or(0, |lease| lease.token.0),
        };
        self.message(&result.encode());
    }

    fn len(&self) -> usize {
        self.frames.bytes.len()
    }

    fn capacity(&self) -> usize {
        self.frames.bytes.capacity()
    }

    fn take(&mut self) -> Self {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        // Large ones leave a large buffer.
        message.shrink_to(KEPT_BYTES);
        let next = Self {
            head: self.head,
            frames: Frames::default(),
            message,
        };
        std::mem::replace(self, next)
    }
}

/// Appends an entry's message to `out`.
fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    EntryRef {
        sequence: entry.sequence.0,
        timestamp: entry.timestamp.0,
        trx: Trx {
            id: entry.trx.id,
            node: entry.trx.node,
            number: entry.trx.number,
        },
        // Empty payloads are "" and never null: Go clients refuse an entry without payload.
        payload: Some(&entry.payload),
        metadata: entry.metadata.iter(),
        space: entry.path.space.as_str(),
        segment: entry.path.segment.as_str(),
    }
    .encode_into(out);
}

/// Most bytes that an entry's message has beyond its record's: numbers and ids at their longest, names of which each byte
/// is written as an escape.
pub(super) const ENTRY_OVERHEAD_BYTES_MAX: usize = 512 + 2 * 6 * NAME_BYTES_MAX;

/// Bytes that a record may take as an entry, whatever sequence and transaction it gets.
pub(super) fn entry_bytes_max(path: &SegmentPath, record: &Record) -> usize {
    let entry = EntryRef {
        sequence: u64::MAX,
        timestamp: i64::MIN,
        trx: Trx {
            number: u64::MAX,
            ..Trx::default()
        },
        payload: Some(&record.payload),
        metadata: record.metadata.iter(),
        space: path.space.as_str(),
        segment: path.segment.as_str(),
    };
    let mut message = Vec::new();
    entry.encode_into(&mut message);
    message.len()
}
