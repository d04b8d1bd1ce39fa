//! Calls: a verb, the store that it is asked of, and what it asks.

use std::time::Duration;

use bytes::Bytes;
use streamkit_record::{Cursor, FencingToken, Name, SegmentPath, SegmentStatus, Sequence, StoreId, Timestamp};
use uuid::Uuid;

use super::append::Append;
use super::malformed::Malformed;
use super::parts::{bytes16, end, milliseconds, name, path, put_bytes16, put_path};
use super::read::{Follow, Read};
use super::workers::Workers;

/// What is asked of a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// A transaction becomes durable.
    Append(Append),
    /// Entries, up to the head.
    Read(Read),
    /// Entries, and those that come.
    Follow(Follow),
    /// How much there is.
    Status(Within),
    /// The names of all spaces.
    Spaces,
    /// The segments of a space.
    Segments(Segments),
    /// Statuses, now and as they change.
    Subscribe(Subscribe),
    /// Who is there, now and as it changes.
    Workers(Workers),
    /// A lease is granted, renewed or given back.
    Lease(Lease),
    /// The sequence becomes the first that can be read.
    Trim(SegmentPath, Sequence),
    /// The segment goes, with all its entries.
    Delete(SegmentPath),
}

/// What is looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Within {
    /// The whole store.
    Store,
    /// A space.
    Space(Name),
    /// A segment.
    Segment(SegmentPath),
}

/// Which segments of a space, and what of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segments {
    /// The space.
    pub space: Name,
    /// Only those behind this one, in byte order.
    pub after: Option<Name>,
    /// At most so many.
    pub limit: u32,
    /// Their statuses, not their names alone.
    pub with_status: bool,
}

/// Whose statuses are told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscribe {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// The space.
    pub space: Name,
    /// One segment of it; `None`: all.
    pub segment: Option<Name>,
    /// A sign of life so often; none: never.
    pub heartbeat: Option<Duration>,
}

/// What is asked of a lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// What becomes of it.
    pub change: LeaseChange,
    /// Its key.
    pub key: Name,
    /// Who asks.
    pub holder: Name,
    /// How long it is to last; of no meaning for a release.
    pub ttl: Duration,
}

/// What becomes of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseChange {
    /// It is granted, if nobody holds it.
    Acquire,
    /// It lasts for longer.
    Renew,
    /// It ends.
    Release,
}

/// What became of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leased {
    /// The token of the holder; `None`: another holds it.
    pub token: Option<FencingToken>,
    /// How long it lasts from now.
    pub ttl: Duration,
}

impl Call {
    /// Writes verb, store and what is asked: the body of a call.
    pub fn put(&self, store: StoreId, out: &mut Vec<u8>) {
        out.push(self.verb());
        out.extend_from_slice(store.0.as_bytes());
        match self {
            Self::Append(append) => append.put(out),
            Self::Read(read) => read.put(out),
            Self::Follow(follow) => follow.put(out),
            Self::Status(within) => within.put(out),
            Self::Spaces => {}
            Self::Segments(segments) => segments.put(out),
            Self::Subscribe(subscribe) => subscribe.put(out),
            Self::Workers(workers) => workers.put(out),
            Self::Lease(lease) => lease.put(out),
            Self::Trim(path, first) => {
                put_path(out, path);
                out.extend_from_slice(&first.0.to_le_bytes());
            }
            Self::Delete(path) => put_path(out, path),
        }
    }

    fn verb(&self) -> u8 {
        match self {
            Self::Append(_) => 1,
            Self::Read(_) => 2,
            Self::Follow(_) => 3,
            Self::Status(_) => 4,
            Self::Spaces => 5,
            Self::Segments(_) => 6,
            Self::Subscribe(_) => 7,
            Self::Workers(_) => 8,
            Self::Lease(_) => 9,
            Self::Trim(..) => 10,
            Self::Delete(_) => 11,
        }
    }

    /// The verb and the store in the body of a call, before the rest is looked at: who may ask comes first.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn head(body: &[u8]) -> Result<(u8, StoreId), Malformed> {
        let mut from = Cursor::new(body);
        Ok((from.u8()?, StoreId(Uuid::from_bytes(from.array()?))))
    }

    /// Reads the body of a call; `None`: the verb is not known.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &Bytes) -> Result<Option<Self>, Malformed> {
        let (verb, _) = Self::head(body)?;
        let rest = body.slice(17..);
        let mut from = Cursor::new(&rest);
        let call = match verb {
            1 => return Append::decode(&rest).map(Self::Append).map(Some),
            2 => return Read::decode(&rest).map(Self::Read).map(Some),
            3 => return Follow::decode(&rest).map(Self::Follow).map(Some),
            4 => Self::Status(Within::decode(&mut from)?),
            5 => Self::Spaces,
            6 => Self::Segments(Segments::decode(&mut from)?),
            7 => Self::Subscribe(Subscribe::decode(&mut from)?),
            8 => Self::Workers(Workers::decode(&mut from)?),
            9 => Self::Lease(Lease::decode(&mut from)?),
            10 => Self::Trim(path(&mut from)?, Sequence(from.u64()?)),
            11 => Self::Delete(path(&mut from)?),
            _ => return Ok(None),
        };
        end(&from)?;
        Ok(Some(call))
    }
}

impl Within {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Store => out.push(0),
            Self::Space(space) => {
                out.push(1);
                put_bytes16(out, space.as_str().as_bytes());
            }
            Self::Segment(path) => {
                out.push(2);
                put_path(out, path);
            }
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        match from.u8()? {
            0 => Ok(Self::Store),
            1 => Ok(Self::Space(name(from)?)),
            2 => Ok(Self::Segment(path(from)?)),
            _ => Err(Malformed("a status of an unknown kind")),
        }
    }
}

impl Segments {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes16(out, self.space.as_str().as_bytes());
        put_optional(out, self.after.as_ref());
        out.extend_from_slice(&self.limit.to_le_bytes());
        out.push(u8::from(self.with_status));
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            space: name(from)?,
            after: optional(from)?,
            limit: from.u32()?,
            with_status: from.u8()? != 0,
        })
    }
}

impl Subscribe {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.credit.to_le_bytes());
        put_bytes16(out, self.space.as_str().as_bytes());
        put_optional(out, self.segment.as_ref());
        out.extend_from_slice(&milliseconds(self.heartbeat.unwrap_or_default()).to_le_bytes());
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let (credit, space, segment) = (from.u32()?, name(from)?, optional(from)?);
        let heartbeat = Duration::from_millis(from.u32()?.into());
        Ok(Self {
            credit,
            space,
            segment,
            heartbeat: (!heartbeat.is_zero()).then_some(heartbeat),
        })
    }
}

impl Lease {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(match self.change {
            LeaseChange::Acquire => 1,
            LeaseChange::Renew => 2,
            LeaseChange::Release => 3,
        });
        put_bytes16(out, self.key.as_str().as_bytes());
        put_bytes16(out, self.holder.as_str().as_bytes());
        out.extend_from_slice(&milliseconds(self.ttl).to_le_bytes());
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let change = match from.u8()? {
            1 => LeaseChange::Acquire,
            2 => LeaseChange::Renew,
            3 => LeaseChange::Release,
            _ => return Err(Malformed("a change of a lease of an unknown kind")),
        };
        Ok(Self {
            change,
            key: name(from)?,
            holder: name(from)?,
            ttl: Duration::from_millis(from.u32()?.into()),
        })
    }
}

impl Leased {
    /// Writes it.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.token.is_some()));
        out.extend_from_slice(&self.token.unwrap_or_default().0.to_le_bytes());
        out.extend_from_slice(&milliseconds(self.ttl).to_le_bytes());
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let (is_held, token) = (from.u8()? == 1, FencingToken(from.u64()?));
        let ttl = Duration::from_millis(from.u32()?.into());
        end(&from)?;
        Ok(Self {
            token: is_held.then_some(token),
            ttl,
        })
    }
}

/// Writes the readable range of a segment.
pub fn put_status(out: &mut Vec<u8>, status: &SegmentStatus) {
    put_path(out, &status.path);
    out.extend_from_slice(&status.first_sequence.0.to_le_bytes());
    out.extend_from_slice(&status.first_timestamp.0.to_le_bytes());
    out.extend_from_slice(&status.last_sequence.0.to_le_bytes());
    out.extend_from_slice(&status.last_timestamp.0.to_le_bytes());
}

/// Reads as many as there are.
///
/// # Errors
/// [`Malformed`].
pub fn statuses(body: &[u8]) -> Result<Vec<SegmentStatus>, Malformed> {
    let mut from = Cursor::new(body);
    let mut statuses = Vec::new();
    while from.remaining() > 0 {
        statuses.push(SegmentStatus {
            path: path(&mut from)?,
            first_sequence: Sequence(from.u64()?),
            first_timestamp: Timestamp(from.i64()?),
            last_sequence: Sequence(from.u64()?),
            last_timestamp: Timestamp(from.i64()?),
        });
    }
    Ok(statuses)
}

/// Writes a name of a list.
pub fn put_name(out: &mut Vec<u8>, name: &Name) {
    put_bytes16(out, name.as_str().as_bytes());
}

/// Reads as many names as there are.
///
/// # Errors
/// [`Malformed`].
pub fn names(body: &[u8]) -> Result<Vec<Name>, Malformed> {
    let mut from = Cursor::new(body);
    let mut names = Vec::new();
    while from.remaining() > 0 {
        names.push(name(&mut from)?);
    }
    Ok(names)
}

/// Writes a name, or that there is none.
fn put_optional(out: &mut Vec<u8>, name: Option<&Name>) {
    put_bytes16(out, name.map_or("", Name::as_str).as_bytes());
}

fn optional(from: &mut Cursor<'_>) -> Result<Option<Name>, Malformed> {
    match bytes16(from)? {
        [] => Ok(None),
        bytes => {
            let name = Name::from_bytes(bytes);
            name.map(Some).map_err(|_| Malformed("a name against the rules"))
        }
    }
}

#[cfg(test)]
mod tests {
    use streamkit_record::{LogCursor, ReadSource, Wanted};

    use super::super::OwnWorker;
    use super::*;

    fn calls() -> Vec<Call> {
        let space = Name::new("orders").unwrap();
        let path = SegmentPath::new("orders", "order-1").unwrap();
        let lease = |change| Lease {
            change,
            key: space.clone(),
            holder: path.segment.clone(),
            ttl: Duration::from_secs(30),
        };
        vec![
            Call::Read(Read::all(
                ReadSource::Log(vec![Wanted::Space(space.clone())], LogCursor::default()),
                5,
            )),
            Call::Status(Within::Store),
            Call::Status(Within::Space(space.clone())),
            Call::Status(Within::Segment(path.clone())),
            Call::Spaces,
            Call::Segments(Segments {
                space: space.clone(),
                after: Some(path.segment.clone()),
                limit: 9,
                with_status: true,
            }),
            Call::Subscribe(Subscribe {
                credit: 7,
                space: space.clone(),
                segment: None,
                heartbeat: Some(Duration::from_millis(1500)),
            }),
            Call::Workers(Workers { credit: 7, own: None }),
            Call::Workers(Workers {
                credit: 7,
                own: Some(OwnWorker {
                    id: Uuid::from_u128(1),
                    heartbeat: Duration::from_secs(30),
                    is_answered: true,
                    metadata: [("role".to_owned(), "billing".to_owned())].into(),
                }),
            }),
            Call::Lease(lease(LeaseChange::Acquire)),
            Call::Lease(lease(LeaseChange::Renew)),
            Call::Lease(lease(LeaseChange::Release)),
            Call::Trim(path.clone(), Sequence(4)),
            Call::Delete(path),
        ]
    }

    #[test]
    fn calls_come_out_as_they_were_put_in_and_cut_are_malformed() {
        let store = StoreId(Uuid::from_u128(7));
        for call in calls() {
            let mut out = Vec::new();
            call.put(store, &mut out);
            let out = Bytes::from(out);
            assert_eq!(Call::head(&out), Ok((call.verb(), store)));
            assert_eq!(Call::decode(&out), Ok(Some(call)));
            for end in 0..out.len() {
                assert!(Call::decode(&out.slice(..end)).is_err(), "{end}");
            }
        }
        let unknown = Bytes::from(vec![99; 17]);
        assert_eq!(Call::decode(&unknown), Ok(None));
    }

    #[test]
    fn a_message_holds_as_many_names_as_there_are() {
        let all = ["a", "orders"].map(|name| Name::new(name).unwrap());
        let mut out = Vec::new();
        all.iter().for_each(|name| put_name(&mut out, name));
        assert_eq!(names(&out), Ok(all.to_vec()));
        assert_eq!(names(&[]), Ok(Vec::new()));
        assert!(names(&out[..out.len() - 1]).is_err());
    }

    #[test]
    fn statuses_and_leases_come_out_as_they_were_put_in() {
        let status = SegmentStatus {
            path: SegmentPath::new("orders", "order-1").unwrap(),
            first_sequence: Sequence(1),
            first_timestamp: Timestamp(2),
            last_sequence: Sequence(3),
            last_timestamp: Timestamp(4),
        };
        let mut out = Vec::new();
        put_status(&mut out, &status);
        put_status(&mut out, &status);
        assert_eq!(statuses(&out), Ok(vec![status.clone(), status]));
        for token in [None, Some(FencingToken(8))] {
            let ttl = Duration::from_secs(1);
            let leased = Leased { token, ttl };
            let mut out = Vec::new();
            leased.put(&mut out);
            assert_eq!(Leased::decode(&out), Ok(leased));
        }
    }
}
