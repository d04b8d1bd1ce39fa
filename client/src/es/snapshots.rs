//! Snapshots of aggregates: a segment for each in a space beside the events, each entry a state and the event up to which it goes.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use streamkit_record::{Name, Record, SegmentPath};
use uuid::Uuid;

use super::aggregate::Snapshot;
use super::loaded::Loaded;
use crate::asked::Append;
use crate::error::Error;
use crate::store::StoreClient;

/// Behind the name of the events' space, the name of the space beside it.
const BESIDE: &str = ".snapshots";

/// What an entry is that is a snapshot.
const KIND: &str = "streamkit://es/v1/snapshot";

/// The snapshots of a kind of aggregates.
pub(super) struct Snapshots<A> {
    /// Events from one to the next.
    every: NonZeroU64,
    space: Name,
    encode: fn(&Loaded<A>) -> Result<Vec<u8>, String>,
    decode: fn(SegmentPath, &[u8]) -> Result<Loaded<A>, String>,
}

// A derived one would ask it of the aggregate.
impl<A> Clone for Snapshots<A> {
    fn clone(&self) -> Self {
        Self {
            space: self.space.clone(),
            ..*self
        }
    }
}

#[derive(Serialize)]
struct Written<'a, A> {
    #[serde(rename = "$type")]
    kind: &'a str,
    version: u32,
    sequence: u64,
    event_id: Uuid,
    state: &'a A,
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(rename = "$type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    version: u32,
    sequence: u64,
    event_id: Uuid,
    #[serde(borrow)]
    state: &'a RawValue,
}

fn encode<A: Snapshot>(loaded: &Loaded<A>) -> Result<Vec<u8>, String> {
    let written = Written {
        kind: KIND,
        version: A::VERSION,
        sequence: loaded.sequence,
        event_id: loaded.last.ok_or("its last event has no id")?,
        state: &loaded.state,
    };
    serde_json::to_vec(&written).map_err(|error| error.to_string())
}

fn decode<A: Snapshot>(path: SegmentPath, payload: &[u8]) -> Result<Loaded<A>, String> {
    let read: Read<'_> = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    if read.kind != KIND || read.version != A::VERSION {
        return Err(format!("it is a {} in version {}", read.kind, read.version));
    }
    if read.sequence == 0 || read.event_id.is_nil() {
        return Err("it names no event".to_owned());
    }
    Ok(Loaded {
        path,
        state: serde_json::from_str(read.state.get()).map_err(|error| error.to_string())?,
        sequence: read.sequence,
        last: Some(read.event_id),
    })
}

impl<A: Snapshot> Snapshots<A> {
    /// Those beside a space of events.
    pub(super) fn beside(space: &Name, every: NonZeroU64) -> Result<Self, Error> {
        let space = Name::new(&format!("{space}{BESIDE}")).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Self {
            every,
            space,
            encode: encode::<A>,
            decode: decode::<A>,
        })
    }
}

impl<A> Snapshots<A> {
    fn path(&self, events: &SegmentPath) -> SegmentPath {
        SegmentPath {
            space: self.space.clone(),
            segment: events.segment.clone(),
        }
    }

    /// Whether one is due behind events from a sequence to another.
    pub(super) fn is_due(&self, from: u64, to: u64) -> bool {
        from / self.every < to / self.every
    }

    /// The newest one, if there is one that can be used. What stands in the way is no error: the events are there.
    pub(super) async fn newest(&self, store: &StoreClient, events: &SegmentPath) -> Option<Loaded<A>> {
        let path = self.path(events);
        let why = match store.peek(path.space.as_str(), path.segment.as_str()).await {
            Ok(entry) => match (self.decode)(events.clone(), &entry?.payload) {
                Ok(loaded) => return Some(loaded),
                Err(why) => why,
            },
            Err(error) => error.to_string(),
        };
        tracing::debug!(%path, why, "a snapshot is not used");
        None
    }

    /// Writes one.
    pub(super) async fn write(&self, store: &StoreClient, loaded: &Loaded<A>) -> Result<(), Error> {
        let path = self.path(&loaded.path);
        let written = match (self.encode)(loaded) {
            Ok(bytes) => {
                store
                    .append(Append::behind(path.clone(), vec![Record::new(bytes)]))
                    .await
            }
            Err(why) => Err(Error::Invalid(why)),
        };
        if let Err(error) = &written {
            tracing::warn!(%path, %error, "a snapshot is not written");
        }
        written.map(drop)
    }
}
