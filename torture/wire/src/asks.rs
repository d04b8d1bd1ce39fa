//! Calls of every kind, each of which knows the true answer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::{Entry, LogCursor, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Wanted};
use streamkit_client::{
    Append, Batch, ConsumeSegment, Error, Follow, Followed, Lease, LeaseChange, NewRecord, Read, StoreClient,
};
use streamkit_engine::{LocalStore, Store as _};

use crate::truth::entries_of;
use crate::unanswered::OWN;
use crate::witness::{Broken, name};

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Append,
    Conflict,
    Publish,
    Produce,
    Lease,
    Trim,
    Delete,
    Status,
    Peek,
    Lists,
    Read,
    Backwards,
    Consume,
    Follow,
}

pub(crate) const KINDS: [Kind; 14] = [
    Kind::Append,
    Kind::Conflict,
    Kind::Publish,
    Kind::Produce,
    Kind::Lease,
    Kind::Trim,
    Kind::Delete,
    Kind::Status,
    Kind::Peek,
    Kind::Lists,
    Kind::Read,
    Kind::Backwards,
    Kind::Consume,
    Kind::Follow,
];

/// An answer that is true, or the error that came instead; else, what is wrong.
type Answer = Result<Result<(), Error>, Broken>;

/// Ends a call with the error that came.
macro_rules! came {
    ($result:expr) => {
        match $result {
            Ok(came) => came,
            Err(error) => return Ok(Err(error)),
        }
    };
}

/// Somebody who asks once.
pub(crate) struct Asks {
    pub kind: Kind,
    pub store: StoreClient,
    /// What the engine has.
    pub there: Arc<LocalStore>,
    /// A segment that nobody changes.
    pub filled: Arc<[Entry]>,
    /// A segment that nobody else uses, and what stood in it.
    pub own: SegmentPath,
    pub before: Vec<Entry>,
}

fn is(what: bool, why: impl FnOnce() -> String) -> Answer {
    if what { Ok(Ok(())) } else { Err(why()) }
}

impl Asks {
    /// Asks, and compares the answer with what is there.
    pub async fn ask(&self) -> Answer {
        match self.kind {
            Kind::Append => self.append().await,
            Kind::Conflict => self.conflict().await,
            Kind::Publish => self.publish().await,
            Kind::Produce => self.produce().await,
            Kind::Lease => self.lease().await,
            Kind::Trim => self.trim().await,
            Kind::Delete => self.delete().await,
            Kind::Status => self.status().await,
            Kind::Peek => self.peek().await,
            Kind::Lists => self.lists().await,
            Kind::Read => self.read().await,
            Kind::Backwards => self.backwards().await,
            Kind::Consume => self.consume().await,
            Kind::Follow => self.follow().await,
        }
    }

    fn own(&self) -> (&str, &str) {
        (self.own.space.as_str(), self.own.segment.as_str())
    }

    async fn now(&self) -> Result<Vec<Entry>, Broken> {
        entries_of(&*self.there, &self.own).await
    }

    /// A section behind this sequence.
    fn section(&self, first: u64) -> Append {
        Append::new(vec![SegmentAppend {
            path: self.own.clone(),
            first_sequence: Sequence(first),
            records: vec![Record::new("one"), Record::new("two")],
        }])
    }

    async fn append(&self) -> Answer {
        let appended = came!(self.store.append(self.section(OWN + 1)).await);
        let now = self.now().await?;
        let places = [(Sequence(OWN + 1), Sequence(OWN + 2))];
        let last = now.last().map(|entry| (entry.sequence, entry.trx.number));
        let is_there = appended.sections == places && last == Some((Sequence(OWN + 2), appended.position));
        is(is_there, || format!("it is told {appended:?}, and {now:?} is there"))
    }

    async fn conflict(&self) -> Answer {
        let append = Append {
            conflict_bytes: 4000,
            ..self.section(1)
        };
        match self.store.append(append).await {
            Ok(appended) => Err(format!("what is unfit is told as stored: {appended:?}")),
            Err(Error::Conflicts { heads, entries }) => {
                let is_true = heads == [(self.own.clone(), Sequence(OWN))] && entries == self.before;
                is(is_true, || format!("it is told {heads:?} and {entries:?}"))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    async fn publish(&self) -> Answer {
        let (space, segment) = self.own();
        let status = came!(self.store.publish(space, segment, NewRecord::new("one")).await);
        let now = self.now().await?.len() as u64;
        let is_true = status.last_sequence == OWN + 1 && now == OWN + 1;
        is(is_true, || {
            format!("it is told {status:?}, and {now} entries are there")
        })
    }

    async fn produce(&self) -> Answer {
        const RECORDS: u64 = 30;
        let (space, segment) = self.own();
        let mut producer = came!(self.store.produce(space, segment, OWN + 1).await);
        for number in 0..RECORDS {
            came!(producer.send(&NewRecord::new(format!("{number}"))).await);
            if number % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        let told = came!(producer.finish().await).map(|status| status.last_sequence);
        let now = self.now().await?.len() as u64;
        let is_true = told == Some(OWN + RECORDS) && now == OWN + RECORDS;
        is(is_true, || format!("it is told {told:?}, and {now} entries are there"))
    }

    async fn lease(&self) -> Answer {
        let lease = Lease {
            change: LeaseChange::Acquire,
            key: self.own.space.clone(),
            holder: name("one"),
            ttl: Duration::from_secs(3600),
        };
        let token = came!(self.store.lease(lease).await).token;
        let now = self
            .there
            .lease(&self.own.space)
            .await
            .map_err(|error| error.to_string())?;
        let is_true = token.is_some() && token == now.as_ref().map(|lease| lease.token);
        is(is_true, || format!("it is told {token:?}, and there is {now:?}"))
    }

    async fn trim(&self) -> Answer {
        let (space, segment) = self.own();
        let status = came!(self.store.trim(space, segment, OWN).await);
        let now = self.now().await?;
        let is_true = status.first_sequence == OWN && now == self.before[OWN as usize - 1..];
        is(is_true, || format!("it is told {status:?}, and {now:?} is there"))
    }

    async fn delete(&self) -> Answer {
        let (space, segment) = self.own();
        came!(self.store.delete(space, segment).await);
        let now = self.now().await?;
        is(now.is_empty(), || format!("it is deleted, and {now:?} is there"))
    }

    async fn status(&self) -> Answer {
        let status = came!(self.store.status("full", "all").await);
        let is_true = status.entry_count == self.filled.len() as u64;
        is(is_true, || format!("it is told {status:?}"))
    }

    async fn peek(&self) -> Answer {
        let last = came!(self.store.peek("full", "all").await).map(|entry| entry.sequence);
        is(last == Some(self.filled.len() as u64), || {
            format!("it is told {last:?}")
        })
    }

    async fn lists(&self) -> Answer {
        let spaces = came!(self.store.spaces().await);
        let segments = came!(self.store.segments("full").await);
        let statuses = came!(self.store.segment_statuses("full", "", 0).await);
        let lasts: Vec<u64> = statuses.iter().map(|status| status.last_sequence).collect();
        // Others begin spaces, or delete them, meanwhile.
        let is_true = spaces.iter().any(|space| space == "full")
            && (spaces.iter().any(|space| space == self.own().0))
            && segments == ["all"]
            && lasts == [self.filled.len() as u64];
        is(is_true, || format!("it is told {spaces:?}, {segments:?}, {statuses:?}"))
    }

    async fn read(&self) -> Answer {
        let parts = vec![Wanted::Space(name("full"))];
        self.reads(Read::log(parts, LogCursor::default())).await
    }

    async fn backwards(&self) -> Answer {
        let path = self.filled[0].path.clone();
        let source = ReadSource::Segment(path, Sequence::FIRST, Sequence(u64::MAX));
        let read = Read {
            newest_first: true,
            ..Read::all(source)
        };
        self.reads(read).await
    }

    async fn reads(&self, read: Read) -> Answer {
        let newest_first = read.newest_first;
        let mut batches = self.store.read(read);
        let mut came: Vec<Vec<Entry>> = Vec::new();
        let mut has_ended = false;
        let mut error = None;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(_) if has_ended => return Err("a read goes on behind its end".to_owned()),
                Ok(Batch::Entries(entries)) => came.push(entries),
                Ok(Batch::End(_)) => has_ended = true,
                Err(why) => error = Some(why),
            }
        }
        if newest_first {
            came.reverse();
        }
        let came = came.concat();
        let is_row = match newest_first {
            true => self.filled.ends_with(&came),
            false => self.filled.starts_with(&came),
        };
        match (is_row, has_ended, error) {
            (true, false, Some(error)) => Ok(Err(error)),
            (true, true, None) => is(came.len() == self.filled.len(), || {
                format!("a read ends behind {} entries", came.len())
            }),
            (_, has_ended, error) => Err(format!(
                "a read brings {} entries, its end: {has_ended}, an error: {error:?}",
                came.len()
            )),
        }
    }

    async fn consume(&self) -> Answer {
        let mut entries = self.store.consume_segment(ConsumeSegment::all("full", "all"));
        let mut next = 1;
        while let Some(entry) = entries.next().await {
            let entry = came!(entry);
            if entry.sequence != next {
                return Err(format!("{} comes where {next} is due", entry.sequence));
            }
            next += 1;
        }
        is(next == self.filled.len() as u64 + 1, || {
            format!("it ends before {next}")
        })
    }

    async fn follow(&self) -> Answer {
        let parts = vec![Wanted::Space(name("full"))];
        let mut told = self.store.follow(Follow {
            heartbeat: Duration::from_secs(1),
            ..Follow::new(parts, LogCursor::default())
        });
        let mut came = Vec::new();
        let mut is_caught_up = false;
        let mut beats = 0;
        // It is silent then, but for its heartbeat.
        while !is_caught_up || beats == 0 {
            match told.next().await {
                Some(Ok(Followed::Batch(entries, _))) => came.extend(entries),
                Some(Ok(Followed::CaughtUp(_))) => is_caught_up = true,
                Some(Ok(Followed::At(_))) => beats += u32::from(is_caught_up),
                Some(Err(error)) => {
                    let is_row = self.filled.starts_with(&came);
                    return if is_row {
                        Ok(Err(error))
                    } else {
                        Err("a follow is no row".to_owned())
                    };
                }
                None => return Err("a follow ends without an error".to_owned()),
            }
            if is_caught_up && came != *self.filled {
                return Err(format!("a follow is caught up with {} entries", came.len()));
            }
        }
        Ok(Ok(()))
    }
}
