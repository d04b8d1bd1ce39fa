//! A consumer of what is there: statuses, and reads of every kind.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use streamkit_client::record::{Entry, Filter, LogCursor, ReadSource, Sequence, Wanted};
use streamkit_client::{Batch, Error, Read, StoreClient};
use streamkit_engine::Dice;

use crate::shift::Shift;
use crate::witness::{Broken, Mix, ReadSeen, SEGMENTS, Witness, name, path};

/// Entries of a log that is long.
const LONG: u64 = 2_000;

/// Of the cursors that somebody has, those that a read goes on from if the log is long.
const LATEST: usize = 64;

/// A consumer with a connection of its own.
pub(crate) struct Reader {
    pub store: StoreClient,
    pub witness: Arc<Witness>,
    pub dice: Dice,
}

/// Some parts of the store.
pub(crate) fn mix(dice: &mut Dice) -> Mix {
    let part = |dice: &mut Dice| match dice.below(3) {
        0 => Wanted::Segment(path(dice.below(SEGMENTS.len() as u64) as usize)),
        1 => Wanted::Space(name(["orders", "ledger"][dice.below(2) as usize])),
        _ => Wanted::Prefix(name("orders"), ["a-", "b-", ""][dice.below(3) as usize].to_owned()),
    };
    let parts = match dice.below(3) {
        0 => vec![Wanted::Space(name("orders")), Wanted::Space(name("ledger"))],
        _ => (0..1 + dice.below(3)).map(|_| part(dice)).collect(),
    };
    let prefix = if dice.chance(1, 6) { "a" } else { "" }.to_owned();
    let metadata = match dice.below(10) {
        0 => vec![("attempt".to_owned(), dice.below(40).to_string())],
        _ => Vec::new(),
    };
    Mix {
        parts,
        filter: Filter { prefix, metadata },
    }
}

/// Whether an error is one of a network, or of a server that is about to leave.
pub(crate) fn is_of_the_network(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionLost(_)
            | Error::Timeout(_)
            | Error::NotBegun(_)
            | Error::Unavailable(_)
            | Error::TryLater { .. }
            | Error::Connect { .. }
    )
}

impl Reader {
    /// Reads each turn.
    pub async fn work(mut self, mut shift: Shift) {
        while shift.goes_on() {
            let done = match self.dice.below(4) {
                0 => self.status().await,
                1 => self.segment().await,
                _ => self.log().await,
            };
            if let Err(why) = done {
                self.witness.breaks(why);
            }
            tokio::time::sleep(Duration::from_millis(self.dice.below(8))).await;
        }
    }

    async fn status(&mut self) -> Result<(), Broken> {
        let segment = self.dice.below(SEGMENTS.len() as u64) as usize;
        let called = self.witness.now();
        let (space, of) = SEGMENTS[segment];
        match self.store.status(space, of).await {
            // Nothing is trimmed or deleted here.
            Ok(status) => self.witness.saw(segment, status.entry_count, called),
            Err(error) if is_of_the_network(&error) => {}
            Err(error) => return Err(format!("a status fails for no reason: {error}")),
        }
        Ok(())
    }

    async fn segment(&mut self) -> Result<(), Broken> {
        let segment = self.dice.below(SEGMENTS.len() as u64) as usize;
        let first = match (self.dice.chance(1, 2), self.may_be_long()) {
            (true, true) => Sequence::FIRST,
            (false, true) => Sequence(1 + self.dice.below(60)),
            (_, false) => Sequence(1 + self.witness.known().heads[segment].saturating_sub(self.dice.below(60))),
        };
        let read = Read::all(ReadSource::Segment(path(segment), first, Sequence(u64::MAX)));
        let called = self.witness.now();
        let (entries, end) = self.all(read).await?;
        for (entry, next) in entries.iter().zip(first.0..) {
            if entry.path != path(segment) || entry.sequence.0 != next {
                return Err(format!("{} {} comes where {next} is due", entry.path, entry.sequence));
            }
        }
        if end.is_some() && (first == Sequence::FIRST || !entries.is_empty()) {
            let head = entries.last().map_or(0, |entry| entry.sequence.0);
            self.witness.saw(segment, head, called);
        }
        self.witness.sees(entries);
        Ok(())
    }

    async fn log(&mut self) -> Result<(), Broken> {
        let mix = mix(&mut self.dice);
        let newest_first = self.dice.chance(1, 3);
        let has_limit = self.dice.chance(1, 3);
        let place = match (self.dice.chance(1, 2), has_limit || self.may_be_long()) {
            (true, true) => self.witness.place(&mut self.dice, usize::MAX),
            (false, true) => None,
            (_, false) => self.witness.place(&mut self.dice, LATEST),
        };
        let limit = match has_limit {
            true => 1 + self.dice.below(40),
            false => u64::MAX,
        };
        let at_least = match self.dice.chance(1, 3) {
            true => self.witness.known().position,
            false => 0,
        };
        let cursor = place
            .as_ref()
            .map_or_else(LogCursor::default, |(cursor, _)| cursor.clone());
        let read = Read {
            newest_first,
            entries: limit,
            at_least,
            filter: mix.filter.clone(),
            ..Read::log(mix.parts.clone(), cursor)
        };
        let called = self.witness.now();
        let (entries, end) = self.all(read).await?;
        if let (Some(cursor), false, Some(last)) = (&end, newest_first, entries.last())
            && !cursor.bytes().is_empty()
            && limit != u64::MAX
            && entries.len() as u64 == limit
        {
            self.witness.has_come_to(cursor.clone(), last);
        }
        let entries = self.witness.sees(entries);
        self.witness.reads().push(ReadSeen {
            mix,
            behind: place.map(|(_, place)| place),
            newest_first,
            entries,
            limit,
            at_least,
            called,
            is_whole: end.is_some(),
        });
        Ok(())
    }

    /// Whether a read may have all of the log: the longer that is, the more seldom, so that reading takes no more time.
    fn may_be_long(&mut self) -> bool {
        let length: u64 = self.witness.known().heads.iter().sum();
        self.dice.below(1 + length / LONG) == 0
    }

    /// All entries of a read in the order of the log, and where it ended, if it did.
    async fn all(&mut self, read: Read) -> Result<(Vec<Entry>, Option<LogCursor>), Broken> {
        let newest_first = read.newest_first;
        let mut batches = self.store.read(read);
        let mut came: Vec<Vec<Entry>> = Vec::new();
        let mut end = None;
        while let Some(batch) = batches.next().await {
            match batch {
                Ok(Batch::Entries(entries)) => came.push(entries),
                Ok(Batch::End(cursor)) => end = Some(cursor),
                Err(error) if is_of_the_network(&error) => break,
                Err(error) => return Err(format!("a read fails for no reason: {error}")),
            }
            if self.dice.chance(1, 10) {
                tokio::time::sleep(Duration::from_millis(self.dice.below(10))).await;
            }
        }
        if newest_first {
            came.reverse();
        }
        Ok((came.concat(), end))
    }
}
