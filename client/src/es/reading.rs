//! From entries to events, and from events to a state.

use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use streamkit_record::SegmentPath;

use super::aggregate::{Aggregate, Event};
use super::codec::{Fault, decode};
use super::envelope::{Envelope, Stamp};
use super::error::LoadError;
use super::loaded::{Loaded, Recorded};
use crate::model::{ConsumeSegment, Entry};
use crate::store::StoreClient;

fn segment(path: &SegmentPath) -> ConsumeSegment {
    ConsumeSegment::all(path.space.as_str(), path.segment.as_str())
}

/// The events of a segment from a sequence on.
pub(super) fn history<E: Event>(
    store: &StoreClient,
    path: SegmentPath,
    from: u64,
) -> impl Stream<Item = Result<Recorded<E>, LoadError>> + Send + use<E> {
    let entries = store.consume_segment(segment(&path).from(from));
    entries.map(move |entry| {
        let entry = entry?;
        let (event, stamp) = event(&path, &entry)?;
        Ok(Recorded {
            event,
            sequence: entry.sequence,
            timestamp: entry.timestamp,
            id: stamp.id(),
            cause: stamp.cause(),
        })
    })
}

/// The aggregate of all its events.
pub(super) async fn from_the_beginning<A: Aggregate>(
    store: &StoreClient,
    path: SegmentPath,
) -> Result<Loaded<A>, LoadError> {
    let mut loaded = Loaded::<A>::new(path);
    let mut entries = store.consume_segment(segment(&loaded.path));
    while let Some(entry) = entries.try_next().await? {
        if !follows(&loaded, &entry) {
            return Err(LoadError::Trimmed {
                path: loaded.path,
                first: entry.sequence,
            });
        }
        loaded.take(&entry)?;
    }
    Ok(loaded)
}

/// Lets happen what came behind the last event of an aggregate. False, and nothing happened, if its events are not those that are
/// there: the segment was begun anew, or restored to an earlier state, or trimmed further than the aggregate goes.
pub(super) async fn resume<A: Aggregate>(store: &StoreClient, loaded: &mut Loaded<A>) -> Result<bool, LoadError> {
    if loaded.sequence == 0 {
        *loaded = from_the_beginning(store, loaded.path.clone()).await?;
        return Ok(true);
    }
    // With its last event, to recognize it by.
    let mut entries = store.consume_segment(segment(&loaded.path).from(loaded.sequence));
    match entries.try_next().await? {
        Some(entry) if entry.sequence == loaded.sequence && is_last(loaded, &entry) => {}
        // It was trimmed, and nothing that comes behind it.
        Some(entry) if follows(loaded, &entry) => loaded.take(&entry)?,
        _ => return Ok(false),
    }
    while let Some(entry) = entries.try_next().await? {
        loaded.take(&entry)?;
    }
    Ok(true)
}

fn follows<A>(loaded: &Loaded<A>, entry: &Entry) -> bool {
    entry.sequence.checked_sub(1) == Some(loaded.sequence)
}

fn is_last<A>(loaded: &Loaded<A>, entry: &Entry) -> bool {
    Envelope::decode(&entry.payload).is_ok_and(|(_, stamp)| stamp.id() == loaded.last)
}

impl<A: Aggregate> Loaded<A> {
    /// Lets the next event happen. The client has checked that it is the next one.
    fn take(&mut self, entry: &Entry) -> Result<(), LoadError> {
        let (event, stamp) = event(&self.path, entry)?;
        self.state.apply(event);
        self.sequence = entry.sequence;
        self.last = stamp.id();
        Ok(())
    }
}

fn event<E: Event>(path: &SegmentPath, entry: &Entry) -> Result<(E, Stamp), LoadError> {
    let sequence = entry.sequence;
    decode(&entry.payload).map_err(|fault| {
        let path = path.clone();
        match fault {
            Fault::Malformed(why) => LoadError::Malformed { path, sequence, why },
            Fault::UnknownName { name, version } => LoadError::UnknownEvent {
                path,
                sequence,
                name,
                version,
            },
            Fault::UnknownVersion { name, version, current } => LoadError::UnknownVersion {
                path,
                sequence,
                name,
                version,
                current,
            },
        }
    })
}
