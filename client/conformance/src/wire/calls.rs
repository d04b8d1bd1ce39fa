//! Calls: what each verb asks, as the document's tables have it.

use uuid::Uuid;

use super::bytes::{Writer, length16, length32};
use super::pieces::Section;

/// The numbers of verbs.
pub mod verb {
    /// A transaction becomes durable.
    pub const APPEND: u8 = 1;
    /// Entries up to the head.
    pub const READ: u8 = 2;
    /// Entries, and those that come.
    pub const FOLLOW: u8 = 3;
    /// How much there is.
    pub const STATUS: u8 = 4;
    /// The names of all spaces.
    pub const SPACES: u8 = 5;
    /// The segments of a space.
    pub const SEGMENTS: u8 = 6;
    /// Statuses as they change.
    pub const SUBSCRIBE: u8 = 7;
    /// Who is there.
    pub const WORKERS: u8 = 8;
    /// A lease.
    pub const LEASE: u8 = 9;
    /// A segment begins later.
    pub const TRIM: u8 = 10;
    /// A segment goes.
    pub const DELETE: u8 = 11;
}

/// A condition of an append.
#[derive(Clone, Debug)]
pub struct Condition {
    /// 0 its head is this sequence, 1 it exists, 2 it does not.
    pub kind: u8,
    /// The head, for kind 0.
    pub sequence: u64,
    /// Its space.
    pub space: String,
    /// Its segment.
    pub segment: String,
}

/// An append.
#[derive(Clone, Debug)]
pub struct Append {
    /// The id of the transaction.
    pub id: Uuid,
    /// Bytes of entries that may come with a conflict.
    pub conflict_bytes: u32,
    /// A key and its fencing token.
    pub fence: Option<(String, u64)>,
    /// What must hold.
    pub conditions: Vec<Condition>,
    /// What is appended.
    pub sections: Vec<Section>,
}

impl Append {
    /// One with a fresh id that demands nothing but what its sections do.
    pub fn new(sections: Vec<Section>) -> Self {
        Self {
            id: Uuid::new_v4(),
            conflict_bytes: 0,
            fence: None,
            conditions: Vec::new(),
            sections,
        }
    }

    /// Its body.
    pub fn body(&self, store: Uuid) -> Writer {
        let mut out = head(verb::APPEND, store).uuid(self.id).u32(self.conflict_bytes);
        out = match &self.fence {
            None => out.u8(0),
            Some((key, token)) => out.u8(1).text(key).u64(*token),
        };
        out = out.u16(length16(&self.conditions));
        for condition in &self.conditions {
            out = out.u8(condition.kind).u64(condition.sequence);
            out = out.text(&condition.space).text(&condition.segment);
        }
        let out = out.u16(length16(&self.sections));
        self.sections.iter().fold(out, |out, section| section.put(out))
    }
}

/// A part of a store.
#[derive(Clone, Debug)]
pub enum Part {
    /// A space and a segment.
    Segment(String, String),
    /// A space.
    Space(String),
    /// A space, and how segments begin.
    Prefix(String, String),
}

fn put_parts(out: Writer, parts: &[Part]) -> Writer {
    parts.iter().fold(out.u32(length32(parts)), |out, part| match part {
        Part::Segment(space, segment) => out.u8(1).text(space).text(segment),
        Part::Space(space) => out.u8(2).text(space),
        Part::Prefix(space, prefix) => out.u8(3).text(space).text(prefix),
    })
}

/// Which entries pass.
#[derive(Clone, Default, Debug)]
pub struct Filter {
    /// How the names of segments begin.
    pub prefix: String,
    /// Metadata that entries have.
    pub metadata: Vec<(String, String)>,
}

impl Filter {
    fn put(&self, out: Writer) -> Writer {
        let pairs = u8::try_from(self.metadata.len()).expect("checks filter by a few pairs");
        let out = out.text(&self.prefix).u8(pairs);
        let pairs = self.metadata.iter();
        pairs.fold(out, |out, (key, value)| out.text(key).text(value))
    }
}

/// What a read is of.
#[derive(Clone, Debug)]
pub enum Source {
    /// A space and a segment, from a sequence to another.
    Segment(String, String, u64, u64),
    /// Parts, behind a cursor.
    Parts(Vec<Part>, Vec<u8>),
}

/// A read.
#[derive(Clone, Debug)]
pub struct ReadCall {
    /// First credit of the channel.
    pub credit: u32,
    /// Newest first.
    pub is_backwards: bool,
    /// Of what.
    pub source: Source,
    /// Commit times: after.
    pub after: i64,
    /// Commit times: up to.
    pub until: i64,
    /// Most entries.
    pub entries: u64,
    /// Most bytes.
    pub bytes: u64,
    /// What it must include.
    pub at_least: u64,
    /// What passes.
    pub filter: Filter,
}

/// As much as a reader takes that never pauses.
pub const PLENTY: u32 = 1 << 30;

impl ReadCall {
    /// All of a source.
    pub fn all(source: Source) -> Self {
        Self {
            credit: PLENTY,
            is_backwards: false,
            source,
            after: i64::MIN,
            until: i64::MAX,
            entries: u64::MAX,
            bytes: u64::MAX,
            at_least: 0,
            filter: Filter::default(),
        }
    }

    /// Its body.
    pub fn body(&self, store: Uuid) -> Writer {
        let out = head(verb::READ, store).u32(self.credit).u8(self.is_backwards.into());
        let out = match &self.source {
            Source::Segment(space, segment, first, last) => out.u8(1).text(space).text(segment).u64(*first).u64(*last),
            Source::Parts(parts, cursor) => put_parts(out.u8(2), parts).bytes16(cursor),
        };
        let out = out.time(self.after).time(self.until);
        let out = out.u64(self.entries).u64(self.bytes).u64(self.at_least);
        self.filter.put(out)
    }
}

/// A follow.
#[derive(Clone, Debug)]
pub struct FollowCall {
    /// First credit of the channel.
    pub credit: u32,
    /// Of what.
    pub parts: Vec<Part>,
    /// Where from.
    pub cursor: Vec<u8>,
    /// From now on.
    pub is_from_now: bool,
    /// Milliseconds between cursors of an idle one; 0: none.
    pub heartbeat: u32,
    /// What passes.
    pub filter: Filter,
}

impl FollowCall {
    /// From the beginning of these parts.
    pub fn all(parts: Vec<Part>) -> Self {
        Self {
            credit: PLENTY,
            parts,
            cursor: Vec::new(),
            is_from_now: false,
            heartbeat: 0,
            filter: Filter::default(),
        }
    }

    /// Its body.
    pub fn body(&self, store: Uuid) -> Writer {
        let out = put_parts(head(verb::FOLLOW, store).u32(self.credit), &self.parts);
        let out = out
            .bytes16(&self.cursor)
            .u8(self.is_from_now.into())
            .u32(self.heartbeat);
        self.filter.put(out)
    }
}

/// Verb and store, before what the verb asks.
pub fn head(verb: u8, store: Uuid) -> Writer {
    Writer::default().u8(verb).uuid(store)
}
