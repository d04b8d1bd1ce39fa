//! Batches: rows of whole transactions and excerpts, each with its checksum; sections and records in them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::bytes::{Read, Reader, Writer, length16, length32};

/// Bytes of a transaction's header.
const HEADER_BYTES: usize = 48;

/// A record, as a check makes it up.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Record {
    /// Pairs in the order of their keys.
    pub metadata: BTreeMap<String, String>,
    /// Any bytes.
    pub payload: Vec<u8>,
}

impl From<&str> for Record {
    fn from(payload: &str) -> Self {
        Self {
            metadata: BTreeMap::new(),
            payload: payload.into(),
        }
    }
}

/// The records of one segment in a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
    /// The sequence of the first; 0 demands nothing.
    pub first: u64,
    /// They.
    pub records: Vec<Record>,
}

impl Section {
    /// Writes it as in the log.
    pub fn put(&self, out: Writer) -> Writer {
        let mut body = Writer::default();
        for record in &self.records {
            let mut metadata = Writer::default();
            for (key, value) in &record.metadata {
                for text in [key, value] {
                    metadata = metadata.u32(length32(text.as_bytes())).bytes(text.as_bytes());
                }
            }
            body = body.u32(length32(&metadata.0)).u32(length32(&record.payload));
            body = body.bytes(&metadata.0).bytes(&record.payload);
        }
        let (space, segment) = (self.space.as_bytes(), self.segment.as_bytes());
        let bytes = 20 + length32(space) + length32(segment) + length32(&body.0);
        let out = out.u32(bytes).u16(length16(space)).u16(length16(segment));
        let out = out.u32(length32(&self.records)).u64(self.first);
        out.bytes(space).bytes(segment).bytes(&body.0)
    }
}

/// An entry that came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
    /// Its sequence.
    pub sequence: u64,
    /// The number of its transaction.
    pub position: u64,
    /// When it was committed.
    pub time: i64,
    /// The id of its transaction.
    pub id: Uuid,
    /// What was stored.
    pub record: Record,
}

/// What all entries of a transaction have in common.
struct Of {
    position: u64,
    time: i64,
    id: Uuid,
}

/// Reads a batch.
pub fn entries(batch: &[u8]) -> Read<Vec<Entry>> {
    let mut from = Reader::new(batch);
    let mut out = Vec::new();
    while !from.is_empty() {
        let before = out.len();
        match from.u8()? {
            1 => whole(&mut from, &mut out)?,
            2 => excerpt(&mut from, &mut out)?,
            other => return Err(format!("a piece of kind {other} in a batch")),
        }
        if out.len() == before {
            return Err("a piece of a batch without an entry".to_owned());
        }
    }
    Ok(out)
}

fn whole(from: &mut Reader<'_>, out: &mut Vec<Entry>) -> Read<()> {
    let bytes = from.u32()? as usize;
    let checksum = from.u32()?;
    let behind = bytes.checked_sub(8).filter(|_| bytes >= HEADER_BYTES);
    let behind = behind.ok_or_else(|| format!("a whole transaction of {bytes} bytes"))?;
    let behind = check(from.bytes(behind)?, checksum, "a whole transaction")?;
    let mut from = Reader::new(behind);
    let (kind, flags, sections, records) = (from.u8()?, from.u8()?, from.u16()?, from.u32()?);
    if (kind, flags) != (0, 0) {
        return Err(format!(
            "a transaction of kind {kind} with the flags {flags} among entries"
        ));
    }
    let of = common(&mut from)?;
    let before = out.len();
    for _ in 0..sections {
        section(&mut from, &of, out)?;
    }
    from.end()?;
    match out.len() - before == records as usize {
        true => Ok(()),
        false => Err(format!(
            "a transaction of {records} records holds {}",
            out.len() - before
        )),
    }
}

fn excerpt(from: &mut Reader<'_>, out: &mut Vec<Entry>) -> Read<()> {
    let (bytes, checksum) = (from.u32()? as usize, from.u32()?);
    let mut from = Reader::new(check(from.bytes(bytes)?, checksum, "an excerpt")?);
    let of = common(&mut from)?;
    for _ in 0..from.u16()? {
        section(&mut from, &of, out)?;
    }
    from.end()
}

fn check<'a>(bytes: &'a [u8], checksum: u32, what: &str) -> Read<&'a [u8]> {
    match crc32fast::hash(bytes) {
        found if found == checksum => Ok(bytes),
        found => Err(format!(
            "the checksum of {what} is {checksum:08x}, and its bytes have {found:08x}"
        )),
    }
}

fn common(from: &mut Reader<'_>) -> Read<Of> {
    Ok(Of {
        position: from.u64()?,
        time: from.time()?,
        id: from.uuid()?,
    })
}

fn section(from: &mut Reader<'_>, of: &Of, out: &mut Vec<Entry>) -> Read<()> {
    let bytes = from.u32()? as usize;
    let rest = bytes.checked_sub(4).ok_or("a section that is shorter than its head")?;
    let mut from = Reader::new(from.bytes(rest)?);
    let (space_bytes, segment_bytes) = (from.u16()?, from.u16()?);
    let (records, first) = (from.u32()?, from.u64()?);
    let mut name = |bytes: u16| {
        let bytes = from.bytes(bytes.into())?;
        Reader::new(&Writer::default().bytes16(bytes).0).name()
    };
    let (space, segment) = (name(space_bytes)?, name(segment_bytes)?);
    for index in 0..u64::from(records) {
        let (metadata_bytes, payload_bytes) = (from.u32()? as usize, from.u32()? as usize);
        out.push(Entry {
            space: space.clone(),
            segment: segment.clone(),
            sequence: first + index,
            position: of.position,
            time: of.time,
            id: of.id,
            record: Record {
                metadata: metadata(from.bytes(metadata_bytes)?)?,
                payload: from.bytes(payload_bytes)?.to_vec(),
            },
        });
    }
    from.end()
}

fn metadata(bytes: &[u8]) -> Read<BTreeMap<String, String>> {
    let mut from = Reader::new(bytes);
    let mut pairs = BTreeMap::new();
    let text = |from: &mut Reader<'_>| {
        let length = from.u32()? as usize;
        let bytes = from.bytes(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| "metadata that is no UTF-8".to_owned())
    };
    while !from.is_empty() {
        let (key, value) = (text(&mut from)?, text(&mut from)?);
        if pairs.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(format!("the key {key:?} of metadata is not in order"));
        }
        pairs.insert(key, value);
    }
    Ok(pairs)
}
