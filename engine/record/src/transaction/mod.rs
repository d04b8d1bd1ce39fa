//! A transaction in the log: a header, then one section per segment with the segment's names and its records. The
//! header has its own checksum, so that a point read verifies exactly what it returns. Names stand in full, so that
//! any transaction can be read without an earlier one.

mod encode;

use std::time::Duration;

use bytes::Bytes;
pub use encode::Encoded;
pub use encode::{put_section, section_head, with_sections};
use uuid::Uuid;

use crate::limits::is_ttl;
use crate::{
    Cursor, Entry, FencingToken, FormatError, Lease, Metadata, Name, Record, SegmentPath, Sequence, Timestamp, Trx,
};

/// Bytes of a transaction's header.
pub const TRANSACTION_HEADER_BYTES: usize = 48;

/// Where its producer's id stands in a transaction.
pub const TRANSACTION_ID_AT: usize = 32;
/// Bytes of a section's header, before the names.
pub const SECTION_HEADER_BYTES: usize = 20;
/// Bytes of a record's header, before the metadata.
pub const RECORD_HEADER_BYTES: usize = 8;

/// What a transaction in the log does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Appends records.
    Data,
    /// A writer opened the store: no sections; the group's epoch is one higher than before.
    Open,
    /// Raises the first readable sequence of the sections' segments; a section's body is the commit time of the entry
    /// that becomes the first.
    Trim,
    /// Deletes the sections' segments.
    Delete,
    /// Grants or renews leases: a section's space is the key and its segment the holder, its first sequence is the fencing token,
    /// its body the time to live in milliseconds.
    Lease,
    /// Releases leases: as above, without a body.
    Release,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Data => 0,
            Kind::Open => 1,
            Kind::Trim => 2,
            Kind::Delete => 3,
            Kind::Lease => 4,
            Kind::Release => 5,
        }
    }

    fn from_code(code: u8) -> Result<Self, FormatError> {
        match code {
            0 => Ok(Kind::Data),
            1 => Ok(Kind::Open),
            2 => Ok(Kind::Trim),
            3 => Ok(Kind::Delete),
            4 => Ok(Kind::Lease),
            5 => Ok(Kind::Release),
            _ => Err(FormatError::Invalid("a transaction of an unknown kind")),
        }
    }
}

/// Set when records are compressed; no version-1 writer sets it yet, and a reader that does not know it refuses.
pub const FLAG_COMPRESSED: u8 = 1;
/// Set when the transaction ends in a hash of all before it; as above.
pub const FLAG_HASH_CHAINED: u8 = 2;

/// A transaction's header, read from the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionHeader {
    /// All its bytes.
    pub length: u32,
    /// Checksum of everything behind the checksum.
    pub crc: u32,
    /// What it does.
    pub kind: Kind,
    /// Segments it touches.
    pub section_count: u16,
    /// Records in all sections.
    pub record_count: u32,
    /// Its number in the store.
    pub number: u64,
    /// Its commit time.
    pub timestamp: Timestamp,
    /// The producer's id.
    pub id: Uuid,
}

impl TransactionHeader {
    /// Reads a header; the checksum is [`open_transaction`]'s to check.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(bytes);
        let length = cursor.u32()?;
        let crc = cursor.u32()?;
        let kind = Kind::from_code(cursor.u8()?)?;
        if cursor.u8()? != 0 {
            return Err(FormatError::Invalid(
                "a transaction with a flag this version does not know",
            ));
        }
        let header = Self {
            length,
            crc,
            kind,
            section_count: cursor.u16()?,
            record_count: cursor.u32()?,
            number: cursor.u64()?,
            timestamp: Timestamp(cursor.i64()?),
            id: Uuid::from_bytes(cursor.array()?),
        };
        if (length as usize) < TRANSACTION_HEADER_BYTES {
            return Err(FormatError::Invalid("a transaction shorter than its header"));
        }
        Ok(header)
    }

    /// What the transaction's entries carry.
    pub fn trx(&self) -> Trx {
        Trx {
            id: self.id,
            node: Uuid::nil(),
            number: self.number,
        }
    }
}

/// Checks the transaction at the front of `bytes` and returns its header and exactly its bytes.
///
/// # Errors
/// [`FormatError::Short`] when `bytes` end before it does; otherwise what is wrong with it.
pub fn open_transaction(bytes: &[u8]) -> Result<(TransactionHeader, &[u8]), FormatError> {
    let (header, all) = take_transaction(bytes)?;
    if crc32fast::hash(&all[8..]) != header.crc {
        return Err(FormatError::Checksum);
    }
    Ok((header, all))
}

/// Returns the header and the bytes of the transaction at the front of `bytes`, whose checksum was just made or checked.
///
/// # Errors
/// As [`open_transaction`], but for the checksum.
pub fn take_transaction(bytes: &[u8]) -> Result<(TransactionHeader, &[u8]), FormatError> {
    let header = TransactionHeader::decode(bytes)?;
    let all = bytes.get(..header.length as usize).ok_or(FormatError::Short)?;
    Ok((header, all))
}

/// One segment's part of a transaction.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Byte in the transaction where the section starts.
    pub offset: u32,
    /// The space's name, unchecked.
    pub space: &'a [u8],
    /// The segment's name, unchecked.
    pub segment: &'a [u8],
    /// Records in it.
    pub record_count: u32,
    /// The first record's sequence; of a trim the first readable one.
    pub first_sequence: Sequence,
    /// Byte in the transaction where its records start.
    pub records_offset: usize,
    /// Its records, or a trim's commit time.
    pub body: &'a [u8],
}

impl<'a> Section<'a> {
    /// Reads the section that starts at `offset` of a checked transaction.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(transaction: &'a [u8], offset: usize) -> Result<Self, FormatError> {
        let bytes = transaction.get(offset..).ok_or(FormatError::Short)?;
        let mut cursor = Cursor::new(bytes);
        let total = cursor.u32()? as usize;
        let space_bytes = cursor.u16()? as usize;
        let segment_bytes = cursor.u16()? as usize;
        let record_count = cursor.u32()?;
        let first_sequence = Sequence(cursor.u64()?);
        let space = cursor.slice(space_bytes)?;
        let segment = cursor.slice(segment_bytes)?;
        let body = bytes
            .get(cursor.at()..total)
            .ok_or(FormatError::Invalid("a section longer than its transaction"))?;
        let offset_number = u32::try_from(offset).map_err(|_| FormatError::Invalid("a section too far out"))?;
        if first_sequence.0.checked_add(u64::from(record_count)).is_none() {
            return Err(FormatError::Invalid("a sequence out of range"));
        }
        Ok(Self {
            offset: offset_number,
            space,
            segment,
            record_count,
            first_sequence,
            records_offset: offset + cursor.at(),
            body,
        })
    }

    /// Bytes from its start to the next section's.
    pub fn length(&self) -> usize {
        self.records_offset - self.offset as usize + self.body.len()
    }

    /// Bytes of payload and metadata of all its records.
    pub fn record_bytes(&self) -> u64 {
        let headers = u64::from(self.record_count) * RECORD_HEADER_BYTES as u64;
        (self.body.len() as u64).saturating_sub(headers)
    }

    /// The last record's sequence.
    pub fn last_sequence(&self) -> Sequence {
        Sequence((self.first_sequence.0 + u64::from(self.record_count)).saturating_sub(1))
    }

    /// The names, checked.
    ///
    /// # Errors
    /// [`FormatError::Invalid`].
    pub fn path(&self) -> Result<SegmentPath, FormatError> {
        let name = |bytes| Name::from_bytes(bytes).map_err(|_| FormatError::Invalid("a name against the rules"));
        Ok(SegmentPath {
            space: name(self.space)?,
            segment: name(self.segment)?,
        })
    }

    /// The names, checked but not kept: most sections are of a segment whose names are known already.
    ///
    /// # Errors
    /// [`FormatError::Invalid`].
    pub fn names(&self) -> Result<(&'a str, &'a str), FormatError> {
        let name = |bytes| Name::check(bytes).map_err(|_| FormatError::Invalid("a name against the rules"));
        Ok((name(self.space)?, name(self.segment)?))
    }

    /// The lease that a section of [`Kind::Lease`] grants.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn lease(&self) -> Result<Lease, FormatError> {
        let mut body = Cursor::new(self.body);
        let ttl = Duration::from_millis(body.u64()?);
        if body.remaining() != 0 || self.first_sequence.0 == 0 || !is_ttl(ttl) {
            return Err(FormatError::Invalid("a lease against the rules"));
        }
        let SegmentPath { space, segment } = self.path()?;
        Ok(Lease {
            key: space,
            holder: segment,
            token: FencingToken(self.first_sequence.0),
            ttl,
        })
    }

    /// A trim's commit time of the first readable entry.
    ///
    /// # Errors
    /// [`FormatError::Short`].
    pub fn trim_timestamp(&self) -> Result<Timestamp, FormatError> {
        Ok(Timestamp(Cursor::new(self.body).i64()?))
    }
}

/// The sections of a checked transaction, in order; an error is the last item.
pub fn sections<'a>(
    header: &TransactionHeader,
    transaction: &'a [u8],
) -> impl Iterator<Item = Result<Section<'a>, FormatError>> {
    let mut left = header.section_count;
    let mut at = TRANSACTION_HEADER_BYTES;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        left -= 1;
        let section = Section::decode(transaction, at);
        match &section {
            Ok(section) => at += section.length(),
            Err(_) => left = 0,
        }
        Some(section)
    })
}

const BAD_METADATA: FormatError = FormatError::Invalid("metadata that is not a list of texts");
const UNORDERED: FormatError = FormatError::Invalid("metadata that is not a list of texts in the order of its keys");

/// Decodes the records of one section into entries that share `buffer`, in which the transaction starts at `start`.
/// Only sequences in `wanted` are returned.
///
/// # Errors
/// [`FormatError`].
pub fn entries(
    buffer: &Bytes,
    start: usize,
    header: &TransactionHeader,
    section: &Section<'_>,
    path: &SegmentPath,
    wanted: std::ops::RangeInclusive<Sequence>,
    out: &mut Vec<Entry>,
) -> Result<(), FormatError> {
    let mut cursor = Cursor::new(section.body);
    let base = start + section.records_offset;
    // What a count promises is believed as far as there are bytes for it.
    let wanted_count = wanted.end().0.saturating_sub(wanted.start().0).saturating_add(1);
    let count = wanted_count.min((section.body.len() / RECORD_HEADER_BYTES) as u64);
    out.reserve(count.min(u64::from(section.record_count)) as usize);
    for index in 0..u64::from(section.record_count) {
        let metadata_bytes = cursor.u32()? as usize;
        let payload_bytes = cursor.u32()? as usize;
        let metadata_at = base + cursor.at();
        cursor.slice(metadata_bytes)?;
        cursor.slice(payload_bytes)?;
        let sequence = Sequence(section.first_sequence.0 + index);
        if sequence < *wanted.start() {
            continue;
        }
        if sequence > *wanted.end() {
            break;
        }
        let payload_at = metadata_at + metadata_bytes;
        let metadata = if metadata_bytes == 0 {
            Metadata::default()
        } else {
            Metadata::from_encoded(buffer.slice(metadata_at..payload_at)).ok_or(BAD_METADATA)?
        };
        out.push(Entry {
            path: path.clone(),
            sequence,
            timestamp: header.timestamp,
            trx: header.trx(),
            payload: buffer.slice(payload_at..payload_at + payload_bytes),
            metadata,
        });
    }
    Ok(())
}

/// The records of a section that a producer put at the front of `buffer`; they share its bytes.
///
/// # Errors
/// [`FormatError`]: they do not fill it exactly, or have metadata that are none ([`Metadata::from_producer`]).
pub fn records(buffer: &Bytes, section: &Section<'_>) -> Result<Vec<Record>, FormatError> {
    let mut cursor = Cursor::new(section.body);
    // What a count promises is believed as far as there are bytes for it.
    let most = section.body.len() / RECORD_HEADER_BYTES;
    let mut records = Vec::with_capacity(most.min(section.record_count as usize));
    for _ in 0..section.record_count {
        let (metadata_bytes, payload_bytes) = (cursor.u32()? as usize, cursor.u32()? as usize);
        let metadata_at = section.records_offset + cursor.at();
        cursor.slice(metadata_bytes)?;
        let payload_at = section.records_offset + cursor.at();
        cursor.slice(payload_bytes)?;
        let metadata = match metadata_bytes {
            0 => Metadata::default(),
            _ => Metadata::from_producer(buffer.slice(metadata_at..payload_at)).ok_or(UNORDERED)?,
        };
        records.push(Record {
            payload: buffer.slice(payload_at..payload_at + payload_bytes),
            metadata,
        });
    }
    match cursor.remaining() {
        0 => Ok(records),
        _ => Err(FormatError::Invalid("a section whose records do not fill it")),
    }
}

/// Checks everything a transaction's checksum does not: that sections and records fill it exactly.
///
/// # Errors
/// [`FormatError`].
pub fn check_structure(header: &TransactionHeader, transaction: &[u8]) -> Result<(), FormatError> {
    let mut records = 0u64;
    let mut end = TRANSACTION_HEADER_BYTES;
    for section in sections(header, transaction) {
        let section = section?;
        section.names()?;
        end += section.length();
        records += u64::from(section.record_count);
        match header.kind {
            Kind::Trim => {
                section.trim_timestamp()?;
            }
            Kind::Data => {
                let mut cursor = Cursor::new(section.body);
                for _ in 0..section.record_count {
                    let metadata_bytes = cursor.u32()? as usize;
                    let payload_bytes = cursor.u32()? as usize;
                    cursor.slice(metadata_bytes)?;
                    cursor.slice(payload_bytes)?;
                }
                if cursor.remaining() != 0 || section.record_count == 0 {
                    return Err(FormatError::Invalid("a section whose records do not fill it"));
                }
            }
            Kind::Lease => {
                section.lease()?;
            }
            Kind::Open | Kind::Delete | Kind::Release => {}
        }
    }
    if end != transaction.len() || records != u64::from(header.record_count) {
        return Err(FormatError::Invalid("a transaction whose sections do not fill it"));
    }
    Ok(())
}

/// Checks what no reader needs but for the entries it decodes: the metadata of each record.
///
/// # Errors
/// [`FormatError`].
pub fn check_metadata(header: &TransactionHeader, transaction: &[u8]) -> Result<(), FormatError> {
    for section in sections(header, transaction).filter(|_| header.kind == Kind::Data) {
        let section = section?;
        let mut cursor = Cursor::new(section.body);
        for _ in 0..section.record_count {
            let metadata_bytes = cursor.u32()? as usize;
            let payload_bytes = cursor.u32()? as usize;
            if !Metadata::is_encoded(cursor.slice(metadata_bytes)?) {
                return Err(BAD_METADATA);
            }
            cursor.slice(payload_bytes)?;
        }
    }
    Ok(())
}
