//! A follow without a server's help: each part is read to its end, and read on when a subscription tells of more.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{SelectAll, StreamExt as _};
use futures_util::{FutureExt as _, TryStreamExt as _};
use streamkit_protocol::{SegmentStatus, SpaceOffset};
use streamkit_record::{self as record, Filter, Name, SegmentPath, Sequence, Timestamp};
use tokio::time::{Instant, sleep_until};

use super::owed::Owed;
use super::places::{InSpace, OfSegment, Place, Places};
use crate::asked::{Follow, Followed};
use crate::consume::Entries;
use crate::error::Error;
use crate::live::{Resuming, Subscribe, Subscription};
use crate::model::{ConsumeSegment, ConsumeSpace, Entry};
use crate::store::StoreClient;

/// An idle follow tells where it stands so often, within these bounds.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

/// A batch has no more entries, nor more bytes of payload but for its last one.
const BATCH_ENTRIES: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;

/// Segments of spaces whose sequences are checked: the first so many that occur.
const SEGMENTS_CHECKED: usize = 65_536;

/// A composed follow under way.
pub(super) struct Composed {
    store: StoreClient,
    filter: Filter,
    heartbeat: Duration,
    from_now: bool,
    places: Places,
    owed: Vec<Owed>,
    /// The place that is read now.
    reading: Option<(usize, Entries)>,
    /// The last sequence of segments within spaces, as far as they have come here.
    heads: HashMap<SegmentPath, u64>,
    /// Of a follow from now on: up to which sequence entries of the last moment were there before.
    before: HashMap<SegmentPath, u64>,
    batch: Vec<record::Entry>,
    batch_bytes: usize,
    /// Why it is over, told behind the batch.
    failed: Option<Error>,
    /// Who tells of more; begun once all was read.
    watching: Option<SelectAll<Subscription>>,
    is_caught_up: bool,
    told_at: Instant,
    resuming: Resuming,
}

impl Composed {
    /// Of what was asked for; nothing is sent yet.
    pub(super) fn new(store: StoreClient, follow: Follow) -> Result<Self, Error> {
        let mut places = Places::new(&follow.parts, &follow.filter)?;
        let is_beginning = follow.behind.bytes().is_empty();
        if !is_beginning {
            places.go_behind(&follow.behind)?;
        }
        let heartbeat = match follow.heartbeat {
            Duration::ZERO => store.call().timeout() / 3,
            heartbeat => heartbeat,
        };
        Ok(Self {
            resuming: Resuming::new(store.call().timeout()),
            owed: places.all.iter().map(|_| Owed::default()).collect(),
            store,
            filter: follow.filter,
            heartbeat: heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX),
            from_now: follow.from_now && is_beginning,
            places,
            reading: None,
            heads: HashMap::new(),
            before: HashMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            failed: None,
            watching: None,
            is_caught_up: false,
            told_at: Instant::now(),
        })
    }

    /// What is told next. It has no end but an error.
    pub(super) async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            if self.batch.len() >= BATCH_ENTRIES || self.batch_bytes >= BATCH_BYTES {
                return Ok(self.told_batch());
            }
            if let Some(error) = self.failed.take() {
                return match self.batch.is_empty() {
                    true => Err(error),
                    false => {
                        self.failed = Some(error);
                        Ok(self.told_batch())
                    }
                };
            }
            let stepped = match self.from_now {
                true => self.begin_now().await.map(|()| None),
                false => self.step().await,
            };
            match stepped {
                Ok(None) => {}
                Ok(Some(told)) => return Ok(told),
                Err(error) => {
                    self.reading = None;
                    self.failed = self.resuming.go_on(error).await.err();
                }
            }
        }
    }

    fn told_batch(&mut self) -> Followed {
        self.batch_bytes = 0;
        self.told_at = Instant::now();
        Followed::Batch(std::mem::take(&mut self.batch), self.places.cursor())
    }

    /// One entry further, or to the next thing that is told.
    async fn step(&mut self) -> Result<Option<Followed>, Error> {
        if let Some((at, entries)) = &mut self.reading {
            let at = *at;
            match entries.try_next().await? {
                Some(entry) => self.take(at, entry)?,
                None => self.is_read(at),
            }
            self.resuming.went_on();
            return Ok(None);
        }
        let now = Instant::now();
        self.owed.iter_mut().for_each(|owed| owed.look_again(now));
        if let Some(at) = self.owed.iter().position(|owed| owed.is_due) {
            self.reading = Some((at, self.read(at)));
            return Ok(None);
        }
        if !self.batch.is_empty() {
            return Ok(Some(self.told_batch()));
        }
        self.told_at = match std::mem::replace(&mut self.is_caught_up, true) {
            false => {
                self.told_at = Instant::now();
                return Ok(Some(Followed::CaughtUp(self.places.cursor())));
            }
            true => self.told_at,
        };
        self.wait().await
    }

    /// The rest of a place.
    fn read(&self, at: usize) -> Entries {
        match &self.places.all[at] {
            Place::Segment(OfSegment { path, next, .. }) => {
                let read = ConsumeSegment::all(path.space.as_str(), path.segment.as_str());
                self.store.consume_segment(read.from(*next))
            }
            Place::Space(InSpace { space, last, .. }) => {
                let mut read = ConsumeSpace::all(space.as_str());
                if let Some(last) = last {
                    read.after = last.encode();
                }
                self.store.consume_space(read)
            }
        }
    }

    /// A place was read to its end.
    fn is_read(&mut self, at: usize) {
        self.reading = None;
        let owed = &mut self.owed[at];
        match &self.places.all[at] {
            Place::Segment(place) => owed.is_read(None, |_| place.next.saturating_sub(1)),
            Place::Space(place) => {
                let up_to = place.last.as_ref().map(|last| last.timestamp);
                owed.is_read(up_to, |segment| {
                    self.heads.get(&of(place, segment)).copied().unwrap_or(0)
                });
            }
        }
    }

    /// Takes the next entry of a place.
    fn take(&mut self, at: usize, entry: Entry) -> Result<(), Error> {
        let (sequence, timestamp) = (entry.sequence, entry.timestamp);
        let entry = from_wire(entry)?;
        let is_told = match &mut self.places.all[at] {
            Place::Segment(place) => {
                if place.next > 0 && sequence != place.next {
                    return Err(removed(&entry.path, place.next, sequence));
                }
                (place.next, place.last_time) = (sequence.saturating_add(1), timestamp);
                true
            }
            Place::Space(place) => {
                let has_room = self.heads.len() < SEGMENTS_CHECKED;
                match self.heads.get_mut(&entry.path) {
                    Some(head) if sequence != head.saturating_add(1) => {
                        return Err(removed(&entry.path, head.saturating_add(1), sequence));
                    }
                    Some(head) => *head = sequence,
                    None if has_room => _ = self.heads.insert(entry.path.clone(), sequence),
                    None => {}
                }
                place.last = Some(SpaceOffset {
                    space: entry.path.space.to_string(),
                    timestamp,
                    segment: entry.path.segment.to_string(),
                    sequence,
                });
                let was_before = self.before.get(&entry.path).is_some_and(|last| sequence <= *last);
                place.holds(&entry.path.segment) && !was_before
            }
        };
        let passes = self.filter.passes_segment(entry.path.segment.as_str().as_bytes())
            && self.filter.metadata.iter().all(|(key, value)| {
                let mut pairs = entry.metadata.iter();
                pairs.any(|(has, is)| has == key.as_str() && is == value.as_str())
            });
        if is_told && passes {
            self.batch_bytes += entry.payload.len();
            self.batch.push(entry);
        }
        Ok(())
    }

    /// Waits until there is more to read, or it is time to say that there is not.
    async fn wait(&mut self) -> Result<Option<Followed>, Error> {
        let due = self.owed.iter().filter_map(|owed| owed.again_at).min();
        let silent = self.told_at + self.heartbeat;
        let wakes = due.map_or(silent, |due| due.min(silent));
        let mut watching = match self.watching.take() {
            Some(watching) => watching,
            None => self.watch(),
        };
        let told = tokio::select! {
            biased;
            told = watching.next() => Some(told),
            () = sleep_until(wakes) => None,
        };
        let told = match told {
            Some(told) => {
                told.unwrap_or_else(|| Err(Error::Protocol("a subscription ended without an error".to_owned())))
            }
            None if silent <= Instant::now() => {
                self.watching = Some(watching);
                self.told_at = Instant::now();
                return Ok(Some(Followed::At(self.places.cursor())));
            }
            None => {
                self.watching = Some(watching);
                return Ok(None);
            }
        };
        // What it told of is read once, however much it was.
        let mut told = Some(told);
        while let Some(status) = told {
            match status {
                Ok(status) => self.heard(status)?,
                // It has made itself anew for as long as the client waits.
                Err(error) => {
                    self.failed = Some(error);
                    return Ok(None);
                }
            }
            told = watching.next().now_or_never().flatten();
        }
        self.watching = Some(watching);
        Ok(None)
    }

    /// Subscribes to whatever may bring more: to a space as a whole if several of its segments are followed.
    fn watch(&self) -> SelectAll<Subscription> {
        let mut of = HashMap::<&Name, Subscribe>::new();
        for place in &self.places.all {
            match place {
                Place::Space(InSpace { space, .. }) => _ = of.insert(space, Subscribe::space(space.as_str())),
                Place::Segment(OfSegment { path, .. }) => {
                    let one = Subscribe::segment(path.space.as_str(), path.segment.as_str());
                    of.entry(&path.space)
                        .and_modify(|subscribe| *subscribe = Subscribe::space(path.space.as_str()))
                        .or_insert(one);
                }
            }
        }
        of.into_values()
            .map(|subscribe| Subscription::of_what_has_begun(self.store.call().clone(), subscribe))
            .collect()
    }

    /// A status: whether there is more than was read.
    fn heard(&mut self, status: SegmentStatus) -> Result<(), Error> {
        let path = SegmentPath::new(&status.space, &status.segment).map_err(Error::malformed)?;
        // Places are in the order of their spaces, and segments of one space in theirs.
        let found = self.places.all.binary_search_by(|place| match place {
            Place::Space(place) => place.space.cmp(&path.space),
            Place::Segment(place) => place.path.cmp(&path),
        });
        let Ok(at) = found else { return Ok(()) };
        let is_more = match &self.places.all[at] {
            Place::Segment(place) if place.next > status.first_sequence && status.first_timestamp > place.last_time => {
                // It was deleted, and begun anew.
                return Err(removed(&path, place.next, status.first_sequence));
            }
            Place::Segment(place) => status.last_sequence >= place.next.max(1),
            Place::Space(place) => {
                let last = place.last.as_ref().map_or(i64::MIN, |last| last.timestamp);
                let head = || self.heads.get(&path).copied().unwrap_or(0);
                let is_later =
                    status.last_timestamp > last || (status.last_timestamp == last && status.last_sequence > head());
                place.holds(&path.segment) && is_later
            }
        };
        if is_more {
            self.owed[at].tell(status);
        }
        Ok(())
    }

    /// Goes to where each part ends now.
    async fn begin_now(&mut self) -> Result<(), Error> {
        for at in 0..self.places.all.len() {
            match &mut self.places.all[at] {
                Place::Segment(OfSegment { path, next, last_time }) => {
                    let last = self.store.peek(path.space.as_str(), path.segment.as_str()).await?;
                    (*next, *last_time) =
                        last.map_or((1, i64::MAX), |last| (last.sequence.saturating_add(1), last.timestamp));
                }
                Place::Space(place) => {
                    let statuses = self.store.segment_statuses(place.space.as_str(), "", 0).await?;
                    let newest = statuses.iter().map(|status| status.last_timestamp).max();
                    // Which of those of the last moment is the last, nothing tells.
                    for status in statuses.iter().filter(|status| Some(status.last_timestamp) == newest) {
                        place.last.get_or_insert_with(|| SpaceOffset {
                            space: status.space.clone(),
                            timestamp: status.last_timestamp,
                            segment: status.segment.clone(),
                            sequence: status.last_sequence,
                        });
                        self.before.insert(of(place, &status.segment), status.last_sequence);
                    }
                }
            }
        }
        self.from_now = false;
        self.resuming.has_begun();
        Ok(())
    }
}

fn of(place: &InSpace, segment: &str) -> SegmentPath {
    // A server that tells a name that is none was refused before.
    let segment = Name::new(segment).unwrap_or_else(|_| place.space.clone());
    let space = place.space.clone();
    SegmentPath { space, segment }
}

fn removed(path: &SegmentPath, expected: u64, got: u64) -> Error {
    Error::Removed {
        space: path.space.to_string(),
        segment: path.segment.to_string(),
        sequence: expected,
        next: got,
    }
}

fn from_wire(entry: Entry) -> Result<record::Entry, Error> {
    Ok(record::Entry {
        path: SegmentPath::new(&entry.space, &entry.segment).map_err(Error::malformed)?,
        sequence: Sequence(entry.sequence),
        timestamp: Timestamp(entry.timestamp),
        trx: record::Trx {
            id: entry.trx.id,
            node: entry.trx.node,
            number: entry.trx.number,
        },
        payload: entry.payload,
        metadata: record::Metadata::from_pairs(&entry.metadata),
    })
}
