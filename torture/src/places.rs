//! Reads of pieces beside all that a store holds: whole, from its end, in parts, and behind places that it told in all its lives. A read
//! behind a place misses nothing and brings nothing twice, or says that the place is of another log.

use std::collections::VecDeque;
use std::sync::Arc;

use streamkit_engine::{
    Dice, Entry, LogCursor, Name, PiecesRead, ReadError, ReadSource, SegmentPath, Sequence, StorageError, Store, Wanted,
};

use crate::call::{self, Told};
use crate::cursor::Cursor;
use crate::life::{Ended, Life};
use crate::model::{Broken, Fate, Model};
use crate::record;

/// Places that are kept of a store.
const KEPT: usize = 6;

/// Where an entry stands in its store: the number that its transaction got first, its part there, its record there.
type Place = (u64, u32, u32);

/// Of one store.
#[derive(Clone, Default, Debug)]
pub struct Places {
    /// Cursors, each with the place of the entry before it.
    kept: VecDeque<(Place, LogCursor)>,
    /// A consumer that follows all spaces, and goes on from life to life.
    pub(crate) seen: Cursor,
    pub(crate) cursor: LogCursor,
}

impl Places {
    fn keep(&mut self, place: Place, cursor: LogCursor) {
        self.kept.push_back((place, cursor));
        if self.kept.len() > KEPT {
            self.kept.pop_front();
        }
    }

    /// Takes what the consumer read.
    ///
    /// # Errors
    /// As [`Cursor::consume`].
    pub(crate) fn consume(&mut self, model: &Model, told: &Told) -> Result<(), Broken> {
        self.seen.consume(model, &told.entries)?;
        self.cursor = told.cursor.clone();
        Ok(())
    }
}

/// The place of an entry.
fn place(model: &Model, entry: &Entry) -> Result<Place, Broken> {
    let attempt = model.attempt_of(entry)?;
    let number = match model.attempts[attempt].fate {
        Fate::There(number, _) => number,
        _ => entry.trx.number,
    };
    let origin = record::origin(entry).ok_or("bytes that nobody wrote")?;
    Ok((number, origin.part, origin.record))
}

/// All spaces of a store.
pub(crate) fn all_spaces(model: &Model, behind: LogCursor) -> PiecesRead {
    let mut spaces: Vec<Name> = model
        .segments
        .iter()
        .map(|segment| segment.path.space.clone())
        .collect();
    spaces.dedup();
    PiecesRead::all(ReadSource::Log(spaces.into_iter().map(Wanted::Space).collect(), behind))
}

/// Some of a store's segments, by name or by what their names begin with.
fn some_parts(model: &Model, dice: &mut Dice) -> Vec<Wanted> {
    let mut parts = Vec::new();
    for segment in &model.segments {
        let SegmentPath { space, segment } = segment.path.clone();
        match dice.below(4) {
            0 => parts.push(Wanted::Segment(SegmentPath { space, segment })),
            1 => parts.push(Wanted::Prefix(space, segment.as_str().to_owned())),
            _ => {}
        }
    }
    parts
}

fn is_wanted(wanted: &Wanted, path: &SegmentPath) -> bool {
    match wanted {
        Wanted::Space(space) => *space == path.space,
        Wanted::Segment(segment) => segment == path,
        Wanted::Prefix(space, prefix) => *space == path.space && path.segment.as_str().starts_with(prefix),
    }
}

/// The read is what it must be.
fn same<'a>(what: &str, read: &[Entry], expected: impl Iterator<Item = &'a Entry>) -> Result<(), Broken> {
    let expected: Vec<_> = expected.collect();
    if read.iter().eq(expected.iter().copied()) {
        return Ok(());
    }
    let at = read.iter().zip(&expected).position(|(a, b)| a != *b);
    Err(format!(
        "{what}: {} entries of pieces, {} otherwise; they differ at {at:?}",
        read.len(),
        expected.len()
    ))
}

impl Life<'_> {
    /// Compares what reads of pieces say with all that a store holds, in log order, and keeps some places for later lives.
    pub(crate) fn settle_pieces(&mut self, number: usize, log: &[Entry]) -> Result<(), Ended> {
        let store = Arc::clone(&self.stores[number]);
        // Dice of its own: what the others decide stays the same.
        let mut dice = Dice::new(self.run.now << 8 ^ log.len() as u64);
        let all = |behind| all_spaces(&self.run.models[number], behind);
        let (whole_read, mut newest_read) = (all(LogCursor::default()), all(LogCursor::default()));
        let whole = self.told(&store, whole_read)?;
        same("all of it", &whole.entries, log.iter())?;
        let at_tail = (store.position(), u32::MAX, u32::MAX);
        if log.last().is_some_and(|last| last.trx.number > at_tail.0) {
            return Err(Ended::Broken(format!("its position is {}, before its end", at_tail.0)));
        }
        newest_read.is_backwards = true;
        newest_read.entries = 1 + dice.below(log.len() as u64 + 8);
        let most = newest_read.entries as usize;
        let newest = self.told(&store, newest_read)?;
        same("newest first", &newest.entries, log.iter().rev().take(most))?;
        self.settle_parts(number, log, &mut dice)?;
        self.settle_places(number, log)?;

        let model = &self.run.models[number];
        let places = &mut self.run.places[number];
        places.seen.check(model, log)?;
        let told = whole.cursors.len() as u64;
        if let Some((count, cursor)) = whole.cursors.get(dice.below(told.max(1)) as usize) {
            places.keep(place(model, &log[count - 1])?, cursor.clone());
        }
        places.keep(at_tail, whole.cursor);
        if !log.is_empty() {
            let mut some = all_spaces(model, LogCursor::default());
            some.entries = 1 + dice.below(log.len() as u64);
            let some = self.told(&store, some)?;
            let model = &self.run.models[number];
            let last = place(model, &log[some.entries.len() - 1])?;
            self.run.places[number].keep(last, some.cursor);
        }
        let tail = self.drive(call::tail_cursor(&store))?;
        self.run.places[number].keep(at_tail, tail);
        Ok(())
    }

    /// The same of some segments, in the order of the log and each by itself.
    fn settle_parts(&mut self, number: usize, log: &[Entry], dice: &mut Dice) -> Result<(), Ended> {
        let store = Arc::clone(&self.stores[number]);
        let parts = some_parts(&self.run.models[number], dice);
        let read = PiecesRead::all(ReadSource::Log(parts.clone(), LogCursor::default()));
        let told = self.told(&store, read)?;
        let is_of = |entry: &&Entry| parts.iter().any(|part| is_wanted(part, &entry.path));
        same("some parts", &told.entries, log.iter().filter(is_of))?;
        let segments = self.run.models[number].segments.len() as u64;
        let path = self.run.models[number].segments[dice.below(segments) as usize]
            .path
            .clone();
        let source = ReadSource::Segment(path.clone(), Sequence::FIRST, Sequence(u64::MAX));
        let is_backwards = dice.chance(1, 2);
        let read = PiecesRead {
            is_backwards,
            ..PiecesRead::all(source)
        };
        let told = self.told(&store, read)?;
        let own = log.iter().filter(|entry| entry.path == path);
        match is_backwards {
            true => same("a segment, newest first", &told.entries, own.rev())?,
            false => same("a segment", &told.entries, own)?,
        }
        Ok(())
    }

    /// Reads behind all places that are kept, and behind that of the consumer.
    pub(crate) fn settle_places(&mut self, number: usize, log: &[Entry]) -> Result<(), Ended> {
        let store = Arc::clone(&self.stores[number]);
        for (behind, cursor) in self.run.places[number].kept.clone() {
            let model = &self.run.models[number];
            let mut expected = Vec::new();
            for entry in log {
                if place(model, entry)? > behind {
                    expected.push(entry);
                }
            }
            let read = all_spaces(model, cursor);
            let told = match self.told(&store, read) {
                Err(Ended::Disk(ReadError::Storage(StorageError::OtherLog))) if self.run.is_other_log => continue,
                Err(Ended::Disk(ReadError::Storage(StorageError::OtherLog))) => {
                    let what = format!("the place behind {behind:?} is told to be of another log");
                    return Err(Ended::Broken(what));
                }
                told => told?,
            };
            self.run.counts.places += 1;
            same(&format!("behind {behind:?}"), &told.entries, expected.into_iter())?;
        }
        Ok(())
    }

    fn told(&mut self, store: &Arc<dyn Store>, read: PiecesRead) -> Result<Told, Ended> {
        Ok(self.drive(call::read_pieces(store, read))?)
    }
}
