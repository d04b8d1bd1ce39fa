//! Results and messages, as the document's tables have them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::bytes::{Read, Reader};
use super::pieces::{Entry, entries};

/// A hello.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Hello {
    /// Most bytes of a frame that its sender takes.
    pub frame_bytes: u32,
    /// Channels that may be open.
    pub channels: u32,
    /// First credit of the connection.
    pub credit: u32,
    /// Features.
    pub features: Vec<String>,
}

impl Hello {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let (frame_bytes, channels, credit) = (from.u32()?, from.u32()?, from.u32()?);
        let features = (0..from.u16()?).map(|_| from.name()).collect::<Read<_>>()?;
        from.end()?;
        Ok(Self {
            frame_bytes,
            channels,
            credit,
            features,
        })
    }
}

/// The result of an append.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The number of the transaction.
    pub position: u64,
    /// When it was committed.
    pub time: i64,
    /// 1: on disk.
    pub durability: u8,
    /// It was there before.
    pub was_there: bool,
    /// First and last sequence of each section.
    pub sections: Vec<(u64, u64)>,
}

impl Appended {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let (position, time) = (from.u64()?, from.time()?);
        let (durability, was_there) = (from.u8()?, from.flag()?);
        let sections = (0..from.u16()?).map(|_| Ok((from.u64()?, from.u64()?)));
        let sections = sections.collect::<Read<_>>()?;
        from.end()?;
        Ok(Self {
            position,
            time,
            durability,
            was_there,
            sections,
        })
    }
}

/// A message of a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// The place behind it.
    pub cursor: Vec<u8>,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// A cursor: at most 64 bytes.
pub fn cursor(from: &mut Reader<'_>) -> Read<Vec<u8>> {
    let cursor = from.bytes16()?.to_vec();
    match cursor.len() <= 64 {
        true => Ok(cursor),
        false => Err(format!("a cursor of {} bytes", cursor.len())),
    }
}

impl Batch {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let cursor = cursor(&mut from)?;
        let entries = entries(from.rest())?;
        Ok(Self { cursor, entries })
    }
}

/// The result of a read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadDone {
    /// How many came.
    pub entries: u64,
    /// Where a read that asks for more goes on.
    pub cursor: Vec<u8>,
}

impl ReadDone {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let entries = from.u64()?;
        let cursor = cursor(&mut from)?;
        from.end()?;
        Ok(Self { entries, cursor })
    }
}

/// A message of a follow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Told {
    /// Entries, and the cursor behind them.
    Batch(Batch),
    /// All that was there has come.
    CaughtUp(Vec<u8>),
    /// Nothing new up to here.
    At(Vec<u8>),
}

impl Told {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let (&kind, rest) = body.split_first().ok_or("an empty message of a follow")?;
        let place = || {
            let mut from = Reader::new(rest);
            let place = cursor(&mut from)?;
            from.end()?;
            Ok::<_, String>(place)
        };
        match kind {
            1 => Ok(Self::Batch(Batch::decode(rest)?)),
            2 => Ok(Self::CaughtUp(place()?)),
            3 => Ok(Self::At(place()?)),
            other => Err(format!("a message of a follow of kind {other}")),
        }
    }
}

/// A status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
    /// First sequence and its time.
    pub first: (u64, i64),
    /// Last sequence and its time.
    pub last: (u64, i64),
}

impl Status {
    /// As many as there are.
    pub fn decode_all(body: &[u8]) -> Read<Vec<Self>> {
        let mut from = Reader::new(body);
        let mut all = Vec::new();
        while !from.is_empty() {
            all.push(Self {
                space: from.name()?,
                segment: from.name()?,
                first: (from.u64()?, from.time()?),
                last: (from.u64()?, from.time()?),
            });
        }
        Ok(all)
    }

    /// One, or none.
    pub fn decode(body: &[u8]) -> Read<Option<Self>> {
        let mut all = Self::decode_all(body)?;
        match all.len() {
            0 | 1 => Ok(all.pop()),
            more => Err(format!("{more} statuses where one is to be")),
        }
    }
}

/// The result of a status.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Totals {
    /// Spaces.
    pub spaces: u64,
    /// Segments.
    pub segments: u64,
    /// Entries.
    pub entries: u64,
    /// Time of the newest transaction.
    pub time: i64,
    /// Of a segment, its status.
    pub segment: Option<Status>,
}

impl Totals {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        Ok(Self {
            spaces: from.u64()?,
            segments: from.u64()?,
            entries: from.u64()?,
            time: from.time()?,
            segment: Status::decode(from.rest())?,
        })
    }
}

/// The result of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leased {
    /// Held.
    pub is_held: bool,
    /// The fencing token.
    pub token: u64,
    /// Milliseconds.
    pub ms: u32,
}

impl Leased {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let (is_held, token, ms) = (from.flag()?, from.u64()?, from.u32()?);
        from.end()?;
        Ok(Self { is_held, token, ms })
    }
}

/// A worker that is there: time of its last sign, metadata.
pub type Worker = (i64, BTreeMap<String, String>);

/// A message about workers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkersTold {
    /// The time of the server, and all that are there.
    There(i64, BTreeMap<Uuid, Worker>),
    /// The time of the server.
    Alive(i64),
}

impl WorkersTold {
    /// Reads one.
    pub fn decode(body: &[u8]) -> Read<Self> {
        let mut from = Reader::new(body);
        let (kind, time) = (from.u8()?, from.time()?);
        let mut there = BTreeMap::new();
        let workers = if kind == 1 { from.u32()? } else { 0 };
        for _ in 0..workers {
            let (id, seen) = (from.uuid()?, from.time()?);
            let pairs = (0..from.u16()?).map(|_| Ok((from.text()?, from.text()?)));
            let metadata = pairs.collect::<Read<_>>()?;
            if there.insert(id, (seen, metadata)).is_some() {
                return Err(format!("the worker {id} is there twice"));
            }
        }
        from.end()?;
        match kind {
            1 => Ok(Self::There(time, there)),
            2 => Ok(Self::Alive(time)),
            other => Err(format!("a message about workers of kind {other}")),
        }
    }
}

/// Names, one after another to the end of the message.
pub fn names(body: &[u8]) -> Read<Vec<String>> {
    let mut from = Reader::new(body);
    let mut names = Vec::new();
    while !from.is_empty() {
        names.push(from.name()?);
    }
    Ok(names)
}
