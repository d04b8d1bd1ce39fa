//! Outcomes of one call on their way out together, as `data` frames in one WebSocket message.

use bytes::Bytes;
use streamkit_engine::{Committed, Entry, Lease, Name, Piece, PieceBatch, SegmentPath, SegmentStatus, Timestamp};
use streamkit_protocol::v2::{
    self, Appended, Durability, HEAD_BYTES, Kind, Leased, ReadBatch, ReadDone, Told, Worker, WorkersTold, frame,
    pack_frame, put_excerpt, put_name, put_status, put_whole,
};
use streamkit_record::transaction::{self, TransactionHeader, put_section};
use streamkit_record::{Record, SegmentAppend, Sequence};
use uuid::Uuid;

use crate::live::{Interest, Present};
use crate::verbs::{Batch, DoesNotFit, Portion, Totals, Within};
use crate::websocket::Frames;

/// What a call answers with.
pub(super) struct Outcomes {
    channel: u32,
    is_packing: bool,
    bytes: Vec<u8>,
    /// Where each frame ends, and what it takes off the credit.
    frames: Vec<(usize, usize)>,
    /// Entries of one transaction and one segment that go out as one excerpt.
    open: Option<(Entry, SegmentAppend)>,
    /// Names or statuses of a list that go out as one message.
    rows: Vec<u8>,
    /// What the call ends with, once that is known.
    pub(super) result: Vec<u8>,
    entries: u64,
}

/// Frames that wait for credit.
pub(super) struct Credited {
    bytes: Vec<u8>,
    frames: Vec<(usize, usize)>,
}

impl Credited {
    /// What each takes off the credit.
    pub(super) fn counted(&self) -> Vec<usize> {
        self.frames.iter().map(|&(_, counted)| counted).collect()
    }

    /// All, as one message.
    pub(super) fn together(self) -> Frames {
        match self.bytes.is_empty() {
            true => Frames::default(),
            false => self.bytes.into(),
        }
    }

    /// Each as a message of its own, and what it takes off the credit.
    pub(super) fn one_by_one(self) -> impl Iterator<Item = (Frames, usize)> {
        let Self { bytes, frames } = self;
        let starts = std::iter::once(0).chain(frames.clone().into_iter().map(|(end, _)| end));
        let parts = starts.zip(frames);
        parts.map(move |(start, (end, counted))| (bytes[start..end].to_vec().into(), counted))
    }
}

impl Outcomes {
    pub(super) fn new(channel: u32, is_packing: bool) -> Self {
        Self {
            channel,
            is_packing,
            bytes: Vec::new(),
            frames: Vec::new(),
            open: None,
            rows: Vec::new(),
            result: Vec::new(),
            entries: 0,
        }
    }

    /// Its frames, and the result.
    pub(super) fn into_frames(mut self) -> (Credited, Vec<u8>) {
        self.close();
        let (bytes, frames) = (self.bytes, self.frames);
        (Credited { bytes, frames }, self.result)
    }

    fn data(&mut self, body: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        frame(&mut self.bytes, (self.channel, Kind::Data), |_| {}, body);
        let counted = self.bytes.len() - start;
        if self.is_packing {
            pack_frame(&mut self.bytes, start);
        }
        self.frames.push((self.bytes.len(), counted));
    }

    /// Writes what is being gathered.
    fn close(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        if !rows.is_empty() {
            self.data(|out| out.extend_from_slice(&rows));
        }
        let Some((first, section)) = self.open.take() else {
            return;
        };
        let header = TransactionHeader {
            length: 0,
            crc: 0,
            kind: transaction::Kind::Data,
            section_count: 1,
            record_count: 0,
            number: first.trx.number,
            timestamp: first.timestamp,
            id: first.trx.id,
        };
        self.data(|out| {
            put_excerpt(out, &header, |out| {
                put_section(out, &section);
                1
            });
        });
    }
}

/// What a batch takes beside its transactions: its frame's head, its cursor, and a byte for each piece of a usual one.
const BATCH_OVERHEAD_BYTES: usize = 4 << 10;

fn put_pieces(out: &mut Vec<u8>, batch: &PieceBatch) {
    for piece in &batch.pieces {
        match piece {
            Piece::Whole(transaction) => put_whole(out, transaction),
            Piece::Excerpt(excerpt) => put_excerpt(out, &excerpt.header, |out| {
                excerpt
                    .sections
                    .iter()
                    .for_each(|section| out.extend_from_slice(section));
                excerpt.section_count
            }),
        }
    }
}

impl Batch for Outcomes {
    fn entry(&mut self, entry: &Entry) -> Result<(), DoesNotFit> {
        let record = Record {
            payload: entry.payload.clone(),
            metadata: entry.metadata.clone(),
        };
        self.entries += 1;
        if let Some((first, section)) = &mut self.open {
            let next = Sequence(section.first_sequence.0 + section.records.len() as u64);
            if first.trx == entry.trx && section.path == entry.path && next == entry.sequence {
                section.records.push(record);
                return Ok(());
            }
        }
        self.close();
        let section = SegmentAppend {
            path: entry.path.clone(),
            first_sequence: entry.sequence,
            records: vec![record],
        };
        self.open = Some((entry.clone(), section));
        Ok(())
    }

    fn no_entry(&mut self, _: &SegmentPath) {}

    fn common(batch: &PieceBatch) -> Bytes {
        let mut out = Vec::with_capacity(batch.bytes() + BATCH_OVERHEAD_BYTES);
        Told::put_batch(&mut out, &batch.cursor);
        put_pieces(&mut out, batch);
        out.into()
    }

    fn portion(&mut self, portion: Portion<'_>) {
        match portion {
            Portion::Read(batch) => {
                self.bytes.reserve(batch.bytes() + BATCH_OVERHEAD_BYTES);
                self.data(|out| {
                    ReadBatch::put_head(out, &batch.cursor);
                    put_pieces(out, batch);
                });
            }
            Portion::Since(batch) => {
                self.bytes.reserve(batch.bytes() + BATCH_OVERHEAD_BYTES);
                self.data(|out| put_pieces(out, batch));
            }
            Portion::Followed(batch) => {
                self.bytes.reserve(batch.bytes() + BATCH_OVERHEAD_BYTES);
                self.data(|out| {
                    Told::put_batch(out, &batch.cursor);
                    put_pieces(out, batch);
                });
            }
            Portion::FollowedInCommon(bytes) => {
                self.bytes.reserve_exact(HEAD_BYTES + bytes.len());
                self.data(|out| out.extend_from_slice(bytes));
            }
            Portion::CaughtUp(at) => self.data(|out| Told::CaughtUp(at.clone()).put(out)),
            Portion::At(at) => self.data(|out| Told::At(at.clone()).put(out)),
            Portion::Done(entries, cursor) => {
                let cursor = cursor.clone();
                ReadDone { entries, cursor }.put(&mut self.result);
            }
        }
    }

    fn status(&mut self, status: &SegmentStatus) {
        self.data(|out| put_status(out, status));
    }

    fn row(&mut self, status: &SegmentStatus) {
        put_status(&mut self.rows, status);
    }

    fn trimmed(&mut self, status: &SegmentStatus) {
        put_status(&mut self.result, status);
    }

    fn committed(&mut self, committed: &Committed, records: &[u64]) {
        let appended = Appended {
            position: committed.trx.number,
            timestamp: committed.timestamp,
            durability: Durability::Disk,
            is_known: committed.was_there,
            sections: committed
                .segments
                .iter()
                .zip(records)
                .map(|(status, count)| (Sequence(status.last_sequence.0 + 1 - count), status.last_sequence))
                .collect(),
        };
        appended.put(&mut self.result);
    }

    fn name(&mut self, name: &Name) {
        put_name(&mut self.rows, name);
    }

    fn totals(&mut self, totals: &Totals) {
        let range = |path: &SegmentPath| SegmentStatus {
            path: path.clone(),
            first_sequence: totals.first_sequence,
            first_timestamp: totals.first_timestamp,
            last_sequence: totals.last_sequence,
            last_timestamp: totals.last_timestamp,
        };
        let segment = match &totals.within {
            Within::Segment(path) if totals.segment_count > 0 => Some(range(path)),
            _ => None,
        };
        let told = v2::Totals {
            spaces: totals.space_count,
            segments: totals.segment_count,
            entries: totals.entry_count,
            last_timestamp: totals.last_timestamp,
            segment,
        };
        told.put(&mut self.result);
    }

    fn heartbeat(&mut self, _: &Interest) {
        self.data(|_| {});
    }

    fn inventory(&mut self, workers: &[Present], now: Timestamp) {
        let workers = workers.iter().map(|present| Worker {
            id: present.id,
            last_seen: present.last_seen,
            metadata: present.metadata.clone(),
        });
        let told = WorkersTold::Inventory(now, workers.collect());
        self.data(|out| told.put(out));
    }

    fn sign_of_life(&mut self, _: Uuid, now: Timestamp) {
        self.data(|out| WorkersTold::Alive(now).put(out));
    }

    fn lease(&mut self, lease: Option<&Lease>) {
        let leased = Leased {
            token: lease.map(|lease| lease.token),
            ttl: lease.map_or_else(Default::default, |lease| lease.ttl),
        };
        leased.put(&mut self.result);
    }

    fn len(&self) -> usize {
        let open = self
            .open
            .as_ref()
            .map_or(0, |(_, section)| section.records.iter().map(Record::len).sum());
        self.bytes.len() + self.rows.len() + open
    }

    fn capacity(&self) -> usize {
        self.bytes.capacity() + self.len() - self.bytes.len()
    }

    fn take(&mut self) -> Self {
        self.close();
        std::mem::replace(self, Self::new(self.channel, self.is_packing))
    }
}
