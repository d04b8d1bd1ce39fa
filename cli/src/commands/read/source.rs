//! Where the entries of a read come from: one call, or the log itself, which can be filtered by the server and goes on live.

use std::collections::VecDeque;

use futures_util::StreamExt as _;
use streamkit_client::record::{self, Filter, LogCursor, Name, SegmentPath, Timestamp, Wanted};
use streamkit_client::{
    Batch, Batches, Entries, Entry, Error, Follow, Followed, Follows, Read, SpaceOffset, StoreClient, Trx,
};

/// What a source tells.
pub(super) enum Told {
    Entry(Entry),
    /// All that was there has come; the next entry is one that is committed later.
    CaughtUp,
}

/// Entries in the order of the log.
pub(super) enum Source {
    /// Up to the head of when it began, with what of their metadata is looked for here.
    Call(Entries, Vec<(String, String)>),
    /// In the order of the log over protocol v2. Where a server does not speak that, the call takes its place if there is one, or a follow that the client
    /// composes.
    Log(Box<FromLog>, Option<Entries>),
}

impl Source {
    /// What comes next; `None` at the end. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Result<Told, Error>> {
        if let Self::Log(log, call) = self {
            match (log.next().await, call.take()) {
                (Err(Error::NotInV1(_)), Some(entries)) => {
                    *self = Self::Call(entries, std::mem::take(&mut log.filter.metadata));
                }
                (next, kept) => {
                    *call = kept;
                    return next.transpose();
                }
            }
        }
        let Self::Call(entries, wanted) = self else { return None };
        loop {
            match entries.next().await {
                Some(Ok(entry)) if !has_all(&entry, wanted) => {}
                next => return next.map(|next| next.map(Told::Entry)),
            }
        }
    }

    /// Whether the next entry has to be waited for.
    pub(super) fn waits(&self) -> bool {
        matches!(self, Self::Log(log, _) if log.ready.is_empty())
    }

    /// Whether all that was there has come.
    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Log(log, _) if log.is_live)
    }
}

fn has_all(entry: &Entry, wanted: &[(String, String)]) -> bool {
    wanted.iter().all(|(key, value)| entry.metadata.get(key) == Some(value))
}

/// Which part of a log.
pub(super) struct Part {
    pub(super) space: String,
    pub(super) segment: Option<String>,
    /// First sequence, of a segment.
    pub(super) from: u64,
    /// Strictly behind an entry of a space.
    pub(super) behind: Option<SpaceOffset>,
    pub(super) after_time: Option<i64>,
    pub(super) until_time: Option<i64>,
    /// Metadata that entries have.
    pub(super) wanted: Vec<(String, String)>,
}

enum Now {
    /// What was there when it began.
    Reading(Batches),
    /// What comes since.
    Following(Follows),
    Over,
}

/// A read of the log, and then perhaps a follow from where that ended.
pub(super) struct FromLog {
    store: StoreClient,
    parts: Vec<Wanted>,
    filter: Filter,
    follows: bool,
    from: u64,
    after_time: Option<i64>,
    skip: Skip,
    is_live: bool,
    ready: VecDeque<record::Entry>,
    now: Now,
}

impl FromLog {
    /// Nothing is sent before the first entry is asked for.
    pub(super) fn new(store: &StoreClient, part: Part, follows: bool) -> Result<Self, Error> {
        let invalid = |error: record::NameError| Error::Invalid(error.to_string());
        let wanted = match &part.segment {
            Some(segment) => Wanted::Segment(SegmentPath::new(&part.space, segment).map_err(invalid)?),
            None => Wanted::Space(Name::new(&part.space).map_err(invalid)?),
        };
        let filter = Filter {
            prefix: String::new(),
            metadata: part.wanted,
        };
        // The millisecond of that entry is read again, and what of it came before is left out.
        let begins = part.behind.as_ref().map(|behind| behind.timestamp.saturating_sub(1));
        let after = part.after_time.into_iter().chain(begins).max();
        let mut read = Read::log(vec![wanted.clone()], LogCursor::default());
        read.after = after.map_or(read.after, Timestamp);
        read.until = part.until_time.map_or(read.until, Timestamp);
        read.filter = filter.clone();
        Ok(Self {
            now: Now::Reading(store.read(read)),
            store: store.clone(),
            parts: vec![wanted],
            filter,
            follows,
            from: part.from,
            after_time: part.after_time,
            is_live: false,
            skip: Skip {
                behind: part.behind,
                held: Vec::new(),
            },
            ready: VecDeque::new(),
        })
    }

    async fn next(&mut self) -> Result<Option<Told>, Error> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(Told::Entry(of_log(entry))));
            }
            match &mut self.now {
                Now::Over => return Ok(None),
                Now::Reading(batches) => match batches.next().await.transpose() {
                    // Nothing was read: the first answer says so.
                    Err(Error::NotInV1(_)) if self.follows => self.now = Now::Following(self.composed()?),
                    Err(error) => return Err(error),
                    Ok(Some(Batch::Entries(entries))) => self.take(entries),
                    Ok(Some(Batch::End(cursor))) => {
                        self.skip.end(&mut self.ready);
                        if !self.follows {
                            self.now = Now::Over;
                            continue;
                        }
                        let mut follow = Follow::new(self.parts.clone(), cursor);
                        follow.filter = self.filter.clone();
                        self.now = Now::Following(self.store.follow(follow));
                        self.is_live = true;
                        if self.ready.is_empty() {
                            return Ok(Some(Told::CaughtUp));
                        }
                    }
                    Ok(None) => return Err(Error::Protocol("a read ended without its end".to_owned())),
                },
                Now::Following(follows) => match follows.next().await.transpose()? {
                    Some(Followed::Batch(entries, _)) => self.take(entries),
                    Some(Followed::CaughtUp(_)) if !self.is_live => {
                        self.is_live = true;
                        return Ok(Some(Told::CaughtUp));
                    }
                    Some(_) => {}
                    None => return Err(Error::Protocol("a follow ended without an error".to_owned())),
                },
            }
        }
    }

    /// What was there and what comes since, from a server that speaks v1 alone.
    fn composed(&mut self) -> Result<Follows, Error> {
        let mut follow = Follow::new(self.parts.clone(), LogCursor::default());
        follow.filter = self.filter.clone();
        // Such a follow begins right behind an entry.
        let follow = match self.skip.behind.take() {
            Some(offset) => follow.behind_offset(offset)?,
            None if self.from > 1 => follow.from_sequence(self.from)?,
            None => follow,
        };
        Ok(self.store.follow(follow))
    }

    fn take(&mut self, entries: Vec<record::Entry>) {
        for entry in entries {
            let is_late_enough = self.after_time.is_none_or(|after| entry.timestamp.0 > after);
            if entry.sequence.0 >= self.from && is_late_enough {
                self.skip.take(entry, &mut self.ready);
            }
        }
    }
}

/// Leaves out what comes up to an entry: the log is read from that entry's millisecond on.
struct Skip {
    behind: Option<SpaceOffset>,
    /// Entries of its millisecond: left out once it comes, and taken if it does not, for it was removed.
    held: Vec<record::Entry>,
}

impl Skip {
    fn take(&mut self, entry: record::Entry, out: &mut VecDeque<record::Entry>) {
        let Some(behind) = &self.behind else {
            out.push_back(entry);
            return;
        };
        if entry.timestamp.0 > behind.timestamp {
            self.end(out);
            out.push_back(entry);
        } else if entry.path.segment.as_str() == behind.segment && entry.sequence.0 == behind.sequence {
            self.held.clear();
            self.behind = None;
        } else if entry.timestamp.0 == behind.timestamp {
            self.held.push(entry);
        }
    }

    fn end(&mut self, out: &mut VecDeque<record::Entry>) {
        out.extend(self.held.drain(..));
        self.behind = None;
    }
}

/// An entry as all calls have it.
pub(crate) fn of_log(entry: record::Entry) -> Entry {
    let pairs = entry
        .metadata
        .iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    Entry {
        metadata: pairs.collect(),
        space: entry.path.space.as_str().to_owned(),
        segment: entry.path.segment.as_str().to_owned(),
        sequence: entry.sequence.0,
        timestamp: entry.timestamp.0,
        trx: Trx {
            id: entry.trx.id,
            node: entry.trx.node,
            number: entry.trx.number,
        },
        payload: entry.payload,
    }
}
