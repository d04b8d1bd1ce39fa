//! Workers: who is there in a store, and to be there oneself.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_record::{Cursor, Timestamp};
use uuid::Uuid;

use super::malformed::Malformed;
use super::parts::{end, milliseconds, put_text16, text16};

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Workers {
    /// Bytes that the server may send at first.
    pub credit: u32,
    /// The worker that the caller is; `None`: it only looks.
    pub own: Option<OwnWorker>,
}

/// A worker that comes, and is there for as long as it is heard of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnWorker {
    /// Its identity.
    pub id: Uuid,
    /// How often it says that it is there.
    pub heartbeat: Duration,
    /// Whether it wants to hear as often of the server.
    pub is_answered: bool,
    /// What it says of itself; at most 65 535 pairs.
    pub metadata: BTreeMap<String, String>,
}

/// A worker that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Worker {
    /// Its identity.
    pub id: Uuid,
    /// When it was heard of last, by its own clock.
    pub last_seen: Timestamp,
    /// What it says of itself.
    pub metadata: BTreeMap<String, String>,
}

/// A message of the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WorkersTold {
    /// All that are there, by the clock of the server.
    Inventory(Timestamp, Vec<Worker>),
    /// The server is there, by its clock.
    Alive(Timestamp),
}

/// What a worker says of itself from time to time: that it is there, by its clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignOfLife(pub Timestamp);

impl Workers {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.credit.to_le_bytes());
        let Some(own) = &self.own else {
            return out.push(0);
        };
        out.push(1);
        out.extend_from_slice(own.id.as_bytes());
        out.extend_from_slice(&milliseconds(own.heartbeat).to_le_bytes());
        out.push(u8::from(own.is_answered));
        put_metadata(out, &own.metadata);
    }

    pub(super) fn decode(from: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let credit = from.u32()?;
        let own = match from.u8()? {
            0 => None,
            1 => Some(OwnWorker {
                id: Uuid::from_bytes(from.array()?),
                heartbeat: Duration::from_millis(from.u32()?.into()),
                is_answered: from.u8()? != 0,
                metadata: metadata(from)?,
            }),
            _ => return Err(Malformed("a worker that is neither there nor not")),
        };
        Ok(Self { credit, own })
    }
}

impl WorkersTold {
    const INVENTORY: u8 = 1;
    const ALIVE: u8 = 2;

    /// Writes it. It tells at most 4 294 967 295 workers.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Inventory(now, workers) => {
                out.push(Self::INVENTORY);
                out.extend_from_slice(&now.0.to_le_bytes());
                let count = u32::try_from(workers.len()).expect("a frame has at most 32 MiB");
                out.extend_from_slice(&count.to_le_bytes());
                for worker in workers {
                    out.extend_from_slice(worker.id.as_bytes());
                    out.extend_from_slice(&worker.last_seen.0.to_le_bytes());
                    put_metadata(out, &worker.metadata);
                }
            }
            Self::Alive(now) => {
                out.push(Self::ALIVE);
                out.extend_from_slice(&now.0.to_le_bytes());
            }
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(message: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(message);
        let (kind, now) = (from.u8()?, Timestamp(from.i64()?));
        let told = match kind {
            Self::INVENTORY => {
                let workers = (0..from.u32()?).map(|_| {
                    Ok(Worker {
                        id: Uuid::from_bytes(from.array()?),
                        last_seen: Timestamp(from.i64()?),
                        metadata: metadata(&mut from)?,
                    })
                });
                Self::Inventory(now, workers.collect::<Result<_, Malformed>>()?)
            }
            Self::ALIVE => Self::Alive(now),
            _ => return Err(Malformed("a message about workers of an unknown kind")),
        };
        end(&from)?;
        Ok(told)
    }
}

impl SignOfLife {
    /// Writes it: the body of *more*.
    pub fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.0.to_le_bytes());
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut from = Cursor::new(body);
        let at = Timestamp(from.i64()?);
        end(&from)?;
        Ok(Self(at))
    }
}

fn put_metadata(out: &mut Vec<u8>, metadata: &BTreeMap<String, String>) {
    let count = metadata.len().min(usize::from(u16::MAX));
    out.extend_from_slice(&(count as u16).to_le_bytes());
    for (key, value) in metadata.iter().take(count) {
        put_text16(out, key);
        put_text16(out, value);
    }
}

fn metadata(from: &mut Cursor<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let pairs = (0..from.u16()?).map(|_| Ok((text16(from)?.to_owned(), text16(from)?.to_owned())));
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_workers_comes_out_as_it_was_put_in_and_cut_is_malformed() {
        let metadata = BTreeMap::from([("role".to_owned(), "billing".to_owned())]);
        let worker = Worker {
            id: Uuid::from_u128(7),
            last_seen: Timestamp(5),
            metadata: metadata.clone(),
        };
        for told in [
            WorkersTold::Inventory(Timestamp(9), vec![worker.clone(), worker]),
            WorkersTold::Inventory(Timestamp(9), Vec::new()),
            WorkersTold::Alive(Timestamp(-1)),
        ] {
            let mut out = Vec::new();
            told.put(&mut out);
            assert_eq!(WorkersTold::decode(&out), Ok(told));
            for end in 0..out.len() {
                assert!(WorkersTold::decode(&out[..end]).is_err(), "{end}");
            }
        }
        let mut out = Vec::new();
        SignOfLife(Timestamp(3)).put(&mut out);
        assert_eq!(SignOfLife::decode(&out), Ok(SignOfLife(Timestamp(3))));
        assert!(SignOfLife::decode(&out[1..]).is_err());
    }
}
