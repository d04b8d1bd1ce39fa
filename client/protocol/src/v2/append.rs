//! Append: one transaction of one or several segments, and what must hold when it is committed.

use bytes::Bytes;
use streamkit_record::transaction::{Section, put_section, records};
use streamkit_record::{Condition, Cursor, Expected, Fence, FencingToken, SegmentAppend, Sequence, Timestamp};
use uuid::Uuid;

use super::malformed::Malformed;
use super::parts::{end, name, path, put_bytes16, put_path};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// The producer's id of the transaction. A retry with the same id and the same records gets the answer of the first.
    pub id: Uuid,
    /// Bytes of entries that a conflict may bring along; 0: heads alone.
    pub conflict_bytes: u32,
    /// The lease that the producer must hold.
    pub fence: Option<Fence>,
    /// What must hold of segments, written or not.
    pub conditions: Vec<Condition>,
    /// What is appended, each segment at most once. A first sequence of 0 takes the next one.
    pub sections: Vec<SegmentAppend>,
}

/// What became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The transaction's number in its store: what a later read may ask to include.
    pub position: u64,
    /// When it was committed.
    pub timestamp: Timestamp,
    /// How durable it is.
    pub durability: Durability,
    /// Whether it was stored before, by the same producer.
    pub is_known: bool,
    /// First and last sequence of each section, in their order.
    pub sections: Vec<(Sequence, Sequence)>,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// It survives the loss of power of the server.
    Disk,
    /// More than that, as a later version may say.
    Other(u8),
}

impl Append {
    /// Writes it, behind verb and store.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(&self.conflict_bytes.to_le_bytes());
        match &self.fence {
            None => out.push(0),
            Some(fence) => {
                out.push(1);
                put_bytes16(out, fence.key.as_str().as_bytes());
                out.extend_from_slice(&fence.token.0.to_le_bytes());
            }
        }
        out.extend_from_slice(&count(self.conditions.len()).to_le_bytes());
        for condition in &self.conditions {
            let (kind, sequence) = match condition.expected {
                Expected::Head(head) => (0, head.0),
                Expected::Exists => (1, 0),
                Expected::IsAbsent => (2, 0),
            };
            out.push(kind);
            out.extend_from_slice(&u64::to_le_bytes(sequence));
            put_path(out, &condition.path);
        }
        out.extend_from_slice(&count(self.sections.len()).to_le_bytes());
        for section in &self.sections {
            put_section(out, section);
        }
    }

    /// Reads it; payloads share the bytes of `body`.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &Bytes) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let id = Uuid::from_bytes(from.array()?);
        let conflict_bytes = from.u32()?;
        let fence = match from.u8()? {
            0 => None,
            1 => Some(Fence {
                key: name(&mut from)?,
                token: FencingToken(from.u64()?),
            }),
            _ => return Err(Malformed("a fence that is neither there nor not")),
        };
        let conditions = (0..from.u16()?).map(|_| condition(&mut from));
        let conditions = conditions.collect::<Result<_, _>>()?;
        let mut sections = Vec::new();
        for _ in 0..from.u16()? {
            let rest = body.slice(from.at()..);
            let section = Section::decode(&rest, 0)?;
            sections.push(SegmentAppend {
                path: section.path()?,
                first_sequence: section.first_sequence,
                records: records(&rest, &section)?,
            });
            from.slice(section.length())?;
        }
        end(&from)?;
        Ok(Self {
            id,
            conflict_bytes,
            fence,
            conditions,
            sections,
        })
    }
}

/// No transaction has more parts than records.
fn count(parts: usize) -> u16 {
    u16::try_from(parts).expect("a transaction has at most 10 000 parts")
}

fn condition(from: &mut Cursor<'_>) -> Result<Condition, Malformed> {
    let (kind, sequence) = (from.u8()?, from.u64()?);
    let expected = match kind {
        0 => Expected::Head(Sequence(sequence)),
        1 => Expected::Exists,
        2 => Expected::IsAbsent,
        _ => return Err(Malformed("a condition of an unknown kind")),
    };
    let path = path(from)?;
    Ok(Condition { path, expected })
}

/// Bytes of an [`Appended`] before its sections, and of each of them.
const HEAD_BYTES: usize = 8 + 8 + 2 + 2;
const SECTION_BYTES: usize = 2 * 8;

impl Appended {
    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.reserve(HEAD_BYTES + SECTION_BYTES * self.sections.len());
        out.extend_from_slice(&self.position.to_le_bytes());
        out.extend_from_slice(&self.timestamp.0.to_le_bytes());
        let durability = match self.durability {
            Durability::Disk => 1,
            Durability::Other(level) => level,
        };
        out.extend_from_slice(&[durability, u8::from(self.is_known)]);
        out.extend_from_slice(&count(self.sections.len()).to_le_bytes());
        for (first, last) in &self.sections {
            out.extend_from_slice(&first.0.to_le_bytes());
            out.extend_from_slice(&last.0.to_le_bytes());
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let (position, timestamp) = (from.u64()?, Timestamp(from.i64()?));
        let durability = match from.u8()? {
            1 => Durability::Disk,
            level => Durability::Other(level),
        };
        let is_known = from.u8()? == 1;
        let sections = (0..from.u16()?).map(|_| Ok((Sequence(from.u64()?), Sequence(from.u64()?))));
        let sections = sections.collect::<Result<_, Malformed>>()?;
        end(&from)?;
        Ok(Self {
            position,
            timestamp,
            durability,
            is_known,
            sections,
        })
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::{Metadata, Name, Record, SegmentPath};

    use super::*;

    fn path_of(segment: &str) -> SegmentPath {
        SegmentPath::new("orders", segment).unwrap()
    }

    fn append() -> Append {
        let paid = Record {
            payload: "paid".into(),
            metadata: Metadata::from_pairs([("by", "card")]),
        };
        let section = |segment, first, records| SegmentAppend {
            path: path_of(segment),
            first_sequence: Sequence(first),
            records,
        };
        Append {
            id: Uuid::from_u128(7),
            conflict_bytes: 4096,
            fence: Some(Fence {
                key: Name::new("cashier").unwrap(),
                token: FencingToken(3),
            }),
            conditions: vec![
                Condition {
                    path: path_of("order-3"),
                    expected: Expected::Head(Sequence(9)),
                },
                Condition {
                    path: path_of("order-4"),
                    expected: Expected::IsAbsent,
                },
                Condition {
                    path: path_of("order-5"),
                    expected: Expected::Exists,
                },
            ],
            sections: vec![
                section("order-1", 2, vec![paid, Record::new("")]),
                section("order-2", 0, vec![Record::new("placed")]),
            ],
        }
    }

    #[test]
    fn an_append_comes_out_as_it_was_put_in_and_cut_is_malformed() {
        let mut out = Vec::new();
        append().put(&mut out);
        let out = Bytes::from(out);
        assert_eq!(Append::decode(&out), Ok(append()));
        for end in 0..out.len() {
            assert!(Append::decode(&out.slice(..end)).is_err(), "{end}");
        }
        let more = Bytes::from([&out[..], b"x"].concat());
        assert!(Append::decode(&more).is_err());
    }

    #[test]
    fn an_append_of_any_bytes_is_read_or_refused() {
        let mut out = Vec::new();
        append().put(&mut out);
        for at in 0..out.len() {
            for byte in [0, 1, 127, 255] {
                let mut changed = out.clone();
                changed[at] = byte;
                let _ = Append::decode(&changed.into());
            }
        }
    }

    #[test]
    fn an_answer_comes_out_as_it_was_put_in() {
        let appended = Appended {
            position: 5,
            timestamp: Timestamp(-1),
            durability: Durability::Disk,
            is_known: true,
            sections: vec![(Sequence(1), Sequence(2))],
        };
        let mut out = Vec::new();
        appended.put(&mut out);
        assert_eq!(Appended::decode(&out), Ok(appended));
        assert!(Appended::decode(&out[..out.len() - 1]).is_err());
    }
}
