//! A small ledger: segments with heads, and the ids of all transactions. It knows how many there were, and a digest over all of them, so that two
//! states can be compared.

use std::collections::BTreeMap;

use bytes::Bytes;
use streamkit_engine::Timestamp;
use uuid::Uuid;

use crate::log::{FieldReader, FieldWriter, Found, GroupId, Ledger, Malformed, NotApplied, Ruling};

const BODY: [u8; 4] = *b"simb";
const STATE: [u8; 4] = *b"sims";

/// A transaction of one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Of the transaction.
    pub id: Uuid,
    /// Where it goes.
    pub segment: u64,
    /// The sequence that it must get; `None`: any.
    pub sequence: Option<u64>,
    /// Bytes beside that.
    pub padding: usize,
}

/// Where a transaction stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Its segment.
    pub segment: u64,
    /// Its place in that, from 1.
    pub sequence: u64,
    /// Which transaction of the store it is, from 1.
    pub number: u64,
}

/// What did not fit, and behind how many transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The head of its segment.
    pub head: u64,
    /// How many transactions there were.
    pub behind: u64,
}

/// The state of a store.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Heads {
    heads: BTreeMap<u64, u64>,
    ids: BTreeMap<Uuid, Stored>,
    /// Transactions.
    pub count: u64,
    /// Over all of them, in order.
    pub digest: u64,
}

/// What is planned.
#[derive(Default)]
pub struct AheadHeads {
    heads: BTreeMap<u64, u64>,
    ids: Vec<Uuid>,
}

impl Heads {
    /// The last sequence of a segment, 0 before there is one.
    pub fn head(&self, segment: u64) -> u64 {
        self.heads.get(&segment).copied().unwrap_or_default()
    }

    /// One transaction more.
    pub fn add(&mut self, entry: &Entry) -> Result<Stored, String> {
        let sequence = self.head(entry.segment) + 1;
        if entry.sequence.is_some_and(|wanted| wanted != sequence) {
            return Err(format!("{entry:?} behind a head of {}", sequence - 1));
        }
        self.count += 1;
        let stored = Stored {
            segment: entry.segment,
            sequence,
            number: self.count,
        };
        if self.ids.insert(entry.id, stored).is_some() {
            return Err(format!("{entry:?} twice"));
        }
        self.heads.insert(entry.segment, sequence);
        let halves = entry.id.as_u64_pair();
        for word in [halves.0, halves.1, entry.segment, sequence] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
        Ok(stored)
    }
}

impl Entry {
    fn put(&self, fields: &mut FieldWriter) {
        fields.uuid(self.id).u64(self.segment);
        fields.option(self.sequence, |fields, sequence| _ = fields.u64(sequence));
        fields.bytes(&vec![7; self.padding]);
    }

    fn get(fields: &mut FieldReader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            id: fields.uuid()?,
            segment: fields.u64()?,
            sequence: fields.option(FieldReader::u64)?,
            padding: fields.bytes()?.len(),
        })
    }

    /// Those of a body.
    pub fn all(body: &Bytes) -> Result<Vec<Self>, Malformed> {
        let mut fields = FieldReader::new(body, BODY, "simulated body")?;
        let entries = fields.list(Self::get)?;
        fields.end()?;
        Ok(entries)
    }
}

impl Ledger for Heads {
    type Home = ();
    type Request = Entry;
    type Answer = Stored;
    type Refusal = Misfit;
    type Ahead = AheadHeads;

    fn begin((): &()) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn found((): &()) -> Result<Option<Found<Self>>, String> {
        Ok(None)
    }

    fn is_kept((): &()) -> bool {
        false
    }

    fn restore((): &(), bytes: &Bytes) -> Result<Option<Self>, String> {
        let read = || -> Result<Self, Malformed> {
            let mut fields = FieldReader::new(bytes, STATE, "simulated state")?;
            let count = fields.u64()?;
            let digest = fields.u64()?;
            let heads = fields.list(|fields| Ok((fields.u64()?, fields.u64()?)))?;
            let ids = fields.list(|fields| {
                let id = fields.uuid()?;
                let (segment, sequence, number) = (fields.u64()?, fields.u64()?, fields.u64()?);
                let stored = Stored {
                    segment,
                    sequence,
                    number,
                };
                Ok((id, stored))
            })?;
            fields.end()?;
            Ok(Self {
                heads: heads.into_iter().collect(),
                ids: ids.into_iter().collect(),
                count,
                digest,
            })
        };
        read().map(Some).map_err(|why| why.to_string())
    }

    fn checkpoint(&self) -> Option<Bytes> {
        let mut fields = FieldWriter::new(STATE);
        fields.u64(self.count).u64(self.digest);
        let heads: Vec<_> = self.heads.iter().collect();
        fields.list(&heads, |fields, (segment, head)| _ = fields.u64(**segment).u64(**head));
        let ids: Vec<_> = self.ids.iter().collect();
        fields.list(&ids, |fields, (id, stored)| {
            fields
                .uuid(**id)
                .u64(stored.segment)
                .u64(stored.sequence)
                .u64(stored.number);
        });
        Some(fields.done())
    }

    fn id(entry: &Entry) -> Uuid {
        entry.id
    }

    fn size(entry: &Entry) -> usize {
        entry.padding + 48
    }

    fn rule(&self, ahead: &mut AheadHeads, entry: &mut Entry) -> Ruling<Self> {
        let ruling = self.ruling(ahead, entry);
        if let Ruling::Fits = ruling {
            self.claim(ahead, entry);
        }
        ruling
    }

    fn claim(&self, ahead: &mut AheadHeads, entry: &Entry) {
        let head = self.head(entry.segment);
        *ahead.heads.entry(entry.segment).or_insert(head) += 1;
        ahead.ids.push(entry.id);
    }

    fn earliest(&self, _: &[&Entry]) -> Timestamp {
        Timestamp(i64::MIN)
    }

    fn body(&self, _: usize, entries: &mut [&mut Entry], _: Timestamp) -> Bytes {
        let mut fields = FieldWriter::new(BODY);
        fields.list(entries, |fields, entry| entry.put(fields));
        fields.done()
    }

    fn apply(&mut self, _: GroupId, _: Timestamp, body: &Bytes) -> Result<(), NotApplied> {
        for entry in Entry::all(body).map_err(|why| why.to_string())? {
            self.add(&entry)?;
        }
        Ok(())
    }

    fn answers(&self, entries: &[&Entry]) -> Vec<Stored> {
        let found = entries.iter().map(|entry| self.find(entry.id));
        found
            .map(|found| found.expect("a durable group has its transactions"))
            .collect()
    }
}

impl Heads {
    /// Where a transaction stands.
    pub fn find(&self, id: Uuid) -> Option<Stored> {
        self.ids.get(&id).copied()
    }

    fn ruling(&self, ahead: &AheadHeads, entry: &Entry) -> Ruling<Self> {
        if let Some(stored) = self.find(entry.id) {
            return Ruling::Known(stored);
        }
        let head = self.head(entry.segment);
        let Some(wanted) = entry.sequence else {
            return match ahead.ids.contains(&entry.id) {
                true => Ruling::Waits,
                false => Ruling::Fits,
            };
        };
        let pending = ahead.heads.get(&entry.segment).copied();
        match (wanted, pending) {
            _ if ahead.ids.contains(&entry.id) => Ruling::Waits,
            (wanted, _) if wanted <= head => self.misfit(head),
            (wanted, Some(pending)) if wanted == pending + 1 => Ruling::Fits,
            (_, Some(_)) => Ruling::Waits,
            (wanted, None) if wanted == head + 1 => Ruling::Fits,
            (_, None) => self.misfit(head),
        }
    }

    fn misfit(&self, head: u64) -> Ruling<Self> {
        let behind = self.count;
        Ruling::Refused(Misfit { head, behind })
    }
}
