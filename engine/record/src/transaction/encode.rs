//! A transaction in memory, encoded as the log will hold it.

use uuid::Uuid;

use super::{Kind, SECTION_HEADER_BYTES, Section, TRANSACTION_HEADER_BYTES, TransactionHeader};
use crate::{FencingToken, Lease, Name, SegmentAppend, SegmentPath, Sequence, Timestamp, Transaction};

/// Byte in a section where its first sequence stands.
const FIRST_SEQUENCE_AT: usize = 12;

/// A transaction ready for the log but for what only the commit knows: number, time, the
/// sequences it did not ask for, and checksum.
#[derive(Clone, Debug)]
pub struct Encoded {
    bytes: Vec<u8>,
}

impl Encoded {
    /// Bytes that [`Encoded::data`] makes of a transaction.
    pub fn data_len(transaction: &Transaction) -> usize {
        let sections = transaction.segments.iter().map(|part| {
            let names = part.path.space.as_str().len() + part.path.segment.as_str().len();
            let records = part.records.iter().map(|record| record.len() + 8);
            SECTION_HEADER_BYTES + names + records.sum::<usize>()
        });
        TRANSACTION_HEADER_BYTES + sections.sum::<usize>()
    }

    /// Encodes records. The caller has checked [`Transaction::validate`].
    pub fn data(transaction: &Transaction) -> Self {
        let mut bytes = Vec::with_capacity(Self::data_len(transaction));
        let record_count = transaction.segments.iter().map(|s| s.records.len()).sum();
        start(
            &mut bytes,
            Kind::Data,
            transaction.segments.len(),
            record_count,
            transaction.id,
        );
        for part in &transaction.segments {
            put_section(&mut bytes, part);
        }
        debug_assert_eq!(
            bytes.len(),
            Self::data_len(transaction),
            "the length is known beforehand"
        );
        Self { bytes }
    }

    /// The record a writer leaves when it opens the store.
    pub fn open() -> Self {
        let mut bytes = Vec::with_capacity(TRANSACTION_HEADER_BYTES);
        start(&mut bytes, Kind::Open, 0, 0, Uuid::nil());
        Self { bytes }
    }

    /// A trim: `first` becomes the first readable sequence, committed at `first_timestamp`.
    pub fn trim(path: &SegmentPath, first: Sequence, first_timestamp: Timestamp) -> Self {
        let mut bytes = Vec::new();
        start(&mut bytes, Kind::Trim, 1, 0, Uuid::nil());
        let section = start_section(&mut bytes, path, 0, first);
        bytes.extend_from_slice(&first_timestamp.0.to_le_bytes());
        end_section(&mut bytes, section);
        Self { bytes }
    }

    /// A delete.
    pub fn delete(path: &SegmentPath) -> Self {
        let mut bytes = Vec::new();
        start(&mut bytes, Kind::Delete, 1, 0, Uuid::nil());
        let section = start_section(&mut bytes, path, 0, Sequence(0));
        end_section(&mut bytes, section);
        Self { bytes }
    }

    /// A grant or renewal of a lease.
    pub fn lease(lease: &Lease) -> Self {
        let (mut bytes, section) = Self::of_lease(Kind::Lease, &lease.key, &lease.holder, lease.token);
        let ttl = u64::try_from(lease.ttl.as_millis()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&ttl.to_le_bytes());
        end_section(&mut bytes, section);
        Self { bytes }
    }

    /// A release of one.
    pub fn release(key: &Name, holder: &Name, token: FencingToken) -> Self {
        let (mut bytes, section) = Self::of_lease(Kind::Release, key, holder, token);
        end_section(&mut bytes, section);
        Self { bytes }
    }

    fn of_lease(kind: Kind, key: &Name, holder: &Name, token: FencingToken) -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        start(&mut bytes, kind, 1, 0, Uuid::nil());
        let names = SegmentPath {
            space: key.clone(),
            segment: holder.clone(),
        };
        let section = start_section(&mut bytes, &names, 0, Sequence(token.0));
        (bytes, section)
    }

    /// Fills in the first sequence of each section, in their order: the commit may be what decides them.
    pub fn place(&mut self, firsts: impl Iterator<Item = Sequence>) {
        let mut at = TRANSACTION_HEADER_BYTES;
        for first in firsts {
            let section = &mut self.bytes[at..];
            section[FIRST_SEQUENCE_AT..FIRST_SEQUENCE_AT + 8].copy_from_slice(&first.0.to_le_bytes());
            at += u32::from_le_bytes([section[0], section[1], section[2], section[3]]) as usize;
        }
    }

    /// Whether a transaction in the log is this one: the same records in the same sections, at the same sequences.
    pub fn has_sections_of(&self, transaction: &[u8]) -> bool {
        transaction.get(TRANSACTION_HEADER_BYTES..) == Some(&self.bytes[TRANSACTION_HEADER_BYTES..])
    }

    /// Bytes it takes in a group.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Never: there is always a header.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Fills in what the commit decides; returns the transaction as it stands in a group's body.
    pub fn commit(&mut self, number: u64, timestamp: Timestamp) -> &[u8] {
        let bytes = &mut self.bytes;
        let total = length(bytes.len());
        bytes[..4].copy_from_slice(&total.to_le_bytes());
        bytes[16..24].copy_from_slice(&number.to_le_bytes());
        bytes[24..32].copy_from_slice(&timestamp.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// Writes the section of one segment behind others. The caller has checked [`Transaction::validate`].
pub fn put_section(bytes: &mut Vec<u8>, part: &SegmentAppend) {
    let section = start_section(bytes, &part.path, part.records.len(), part.first_sequence);
    for record in &part.records {
        let metadata = record.metadata.encoded();
        bytes.extend_from_slice(&length(metadata.len()).to_le_bytes());
        bytes.extend_from_slice(&length(record.payload.len()).to_le_bytes());
        bytes.extend_from_slice(metadata);
        bytes.extend_from_slice(&record.payload);
    }
    end_section(bytes, section);
}

/// The header and names of a section with some of another's records, which are to stand behind it as they stand there.
pub fn section_head(of: &Section<'_>, first: Sequence, records: u32, body_bytes: usize) -> Vec<u8> {
    let names = of.space.len() + of.segment.len();
    let mut bytes = Vec::with_capacity(SECTION_HEADER_BYTES + names);
    bytes.extend_from_slice(&length(SECTION_HEADER_BYTES + names + body_bytes).to_le_bytes());
    for name in [of.space, of.segment] {
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes()); // it was read from as many bytes
    }
    bytes.extend_from_slice(&records.to_le_bytes());
    bytes.extend_from_slice(&first.0.to_le_bytes());
    bytes.extend_from_slice(of.space);
    bytes.extend_from_slice(of.segment);
    bytes
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("limits keep a transaction below 4 GiB")
}

fn start(bytes: &mut Vec<u8>, kind: Kind, sections: usize, records: usize, id: Uuid) {
    bytes.extend_from_slice(&[0; 8]); // length and checksum, set at commit
    bytes.extend_from_slice(&[kind.code(), 0]);
    let sections = u16::try_from(sections).expect("limits keep sections below 65 536");
    bytes.extend_from_slice(&sections.to_le_bytes());
    bytes.extend_from_slice(&length(records).to_le_bytes());
    bytes.extend_from_slice(&[0; 16]); // number and time, set at commit
    bytes.extend_from_slice(id.as_bytes());
}

fn start_section(bytes: &mut Vec<u8>, path: &SegmentPath, records: usize, first: Sequence) -> usize {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; 4]); // length, set at the end
    for name in [&path.space, &path.segment] {
        let length = u16::try_from(name.as_str().len()).expect("names have at most 512 bytes");
        bytes.extend_from_slice(&length.to_le_bytes());
    }
    bytes.extend_from_slice(&length(records).to_le_bytes());
    bytes.extend_from_slice(&first.0.to_le_bytes());
    bytes.extend_from_slice(path.space.as_str().as_bytes());
    bytes.extend_from_slice(path.segment.as_str().as_bytes());
    start
}

fn end_section(bytes: &mut [u8], start: usize) {
    let total = length(bytes.len() - start);
    bytes[start..start + 4].copy_from_slice(&total.to_le_bytes());
}

/// A transaction of some of its sections, not sealed yet.
pub fn with_sections(header: &TransactionHeader, transaction: &[u8], kept: &[Section<'_>]) -> Vec<u8> {
    let mut bytes = transaction[..TRANSACTION_HEADER_BYTES].to_vec();
    let mut records = 0;
    for section in kept {
        let start = section.offset as usize;
        bytes.extend_from_slice(&transaction[start..start + section.length()]);
        records += section.record_count;
        debug_assert!(section.length() >= SECTION_HEADER_BYTES);
    }
    debug_assert!(header.record_count >= records);
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[10..12].copy_from_slice(&(kept.len() as u16).to_le_bytes());
    bytes[12..16].copy_from_slice(&records.to_le_bytes());
    bytes
}
