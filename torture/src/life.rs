//! One life of an engine: it starts, its contents are compared with the model, callers call it, and it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use streamkit_engine::clock::Clock as _;
use streamkit_engine::{
    AppendError, Engine, Entry, OpenError, PieceReader, ReadError, Rejection, SegmentRead, Stepper, StorageError, Store,
};

use crate::call::{self, Answer, Future};
use crate::leases::{Ask, KEYS, lease_key};
use crate::model::Broken;
use crate::plan::End;
use crate::run::{Run, store_id};

/// What a call is about.
#[derive(Clone, Debug)]
pub(crate) enum Doing {
    Append(usize),
    Read {
        segment: usize,
        from: u64,
        to: u64,
        limit: u64,
    },
    Consume,
    Follow,
    Peek(usize),
    Status(usize),
    Trim(usize, u64),
    Delete(usize),
    Lease(Box<Ask>),
}

/// A call under way.
pub(crate) struct Call {
    pub(crate) doing: Doing,
    pub(crate) store: usize,
    pub(crate) called: u64,
    /// Life and first readable sequence of the segment it is about, and its head as far as anybody knew.
    pub(crate) then: (u32, u64, u64),
    /// Whether it may stand in the line before the queue: it takes any sequence, or one that may stand there was under way.
    pub(crate) in_line: bool,
    pub(crate) future: Future<Answer>,
}

/// An engine that runs.
pub struct Life<'a> {
    /// What outlives it.
    pub run: &'a mut Run,
    pub(crate) engine: Engine,
    pub(crate) stepper: Stepper,
    pub(crate) stores: Vec<Arc<dyn Store>>,
    pub(crate) calls: Vec<Call>,
    /// Of the consumer of each store that follows, while nobody is at it.
    pub(crate) followers: Vec<Option<Box<dyn PieceReader>>>,
}

impl<'a> Life<'a> {
    /// Starts an engine and opens its stores; `None` if the disk did not let it.
    ///
    /// # Errors
    /// If it does not start for another reason.
    pub fn start(run: &'a mut Run) -> Result<Option<Self>, Broken> {
        let (engine, stepper) = match run.start() {
            Ok(started) => started,
            Err(error) => return run.did_not_start(&error).map(|()| None),
        };
        let mut stores = Vec::new();
        for store in 0..run.plan.stores {
            match drive(&stepper, &mut call::open(&engine, store_id(store))) {
                Ok(opened) => stores.push(opened),
                Err(error) => {
                    run.did_not_start(&error)?;
                    run.disk.kill(); // before what is left of the engine is dropped, which ends its work
                    return Ok(None);
                }
            }
        }
        Ok(Some(Self {
            run,
            engine,
            stepper,
            followers: stores.iter().map(|_| None).collect(),
            stores,
            calls: Vec::new(),
        }))
    }

    /// Whether the disk gave a reason for whatever failed.
    fn is_excused(&self) -> bool {
        self.run.disk.faults_met() > 0 || self.run.garbled || self.run.rotten
    }

    /// Room may be short without a call that fails: then less is free than is to stay free.
    fn excuse_append(&self, what: &str, error: &AppendError) -> Result<(), Broken> {
        let full = matches!(error, AppendError::Rejected(Rejection::DiskFull));
        if full && self.run.plan.room.is_some() {
            return Ok(());
        }
        self.excuse(what, error)
    }

    fn excuse(&self, what: &str, error: &dyn std::fmt::Display) -> Result<(), Broken> {
        if self.is_excused() {
            Ok(())
        } else {
            Err(format!("{what} fails for no reason: {error}"))
        }
    }

    /// Reads all and compares it with what must be there; `false` if the disk did not let it.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn settle(&mut self) -> Result<bool, Broken> {
        for store in 0..self.stores.len() {
            match self.settle_store(store) {
                Ok(()) => {}
                Err(Ended::Disk(error)) => {
                    self.excuse("reading", &error)?;
                    return Ok(false);
                }
                Err(Ended::Broken(broken)) => return Err(format!("store {store}: {broken}")),
            }
        }
        Ok(true)
    }

    /// Compares the leases of a start with those that must be.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn settle_leases(&mut self) -> Result<(), Broken> {
        for number in 0..self.stores.len() {
            let store = Arc::clone(&self.stores[number]);
            for key in 0..KEYS {
                let key = lease_key(key);
                let found = self.drive(call::held(&store, key.clone()));
                let found = found.map_err(|error| format!("a lease cannot be read: {error}"))?;
                self.run.say(|| format!("store {number}: {key} is {found:?}"));
                let now = self.run.watch.uptime();
                let settled = self.run.models[number].leases.settle(&key, found, now);
                settled.map_err(|broken| format!("store {number}: {broken}"))?;
            }
        }
        Ok(())
    }

    /// The same of one store, on a disk that lets it.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn settle_alone(&mut self, store: usize) -> Result<(), Broken> {
        self.settle_store(store).map_err(Ended::told)
    }

    /// Compares reads behind the places that a store told, on a disk that lets it.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn settle_places_alone(&mut self, store: usize, log: &[Entry]) -> Result<(), Broken> {
        self.settle_places(store, log).map_err(Ended::told)
    }

    /// All that each store holds, in log order; `None` if the disk did not let it be read.
    ///
    /// # Errors
    /// If it cannot be read for another reason.
    pub fn logs(&mut self) -> Result<Option<Vec<Vec<Entry>>>, Broken> {
        let mut logs = Vec::new();
        for store in 0..self.stores.len() {
            match self.log(store) {
                Ok(log) => logs.push(log),
                Err(Ended::Disk(error)) => return self.excuse("reading", &error).map(|()| None),
                Err(Ended::Broken(broken)) => return Err(broken),
            }
        }
        Ok(Some(logs))
    }

    fn log(&mut self, number: usize) -> Result<Vec<Entry>, Ended> {
        let spaces = self.run.models[number].segments.iter();
        let spaces: BTreeMap<_, _> = spaces.map(|segment| (segment.path.space.clone(), None)).collect();
        let store = Arc::clone(&self.stores[number]);
        self.read(call::read_spaces(&store, spaces, u64::MAX))
    }

    fn settle_store(&mut self, number: usize) -> Result<(), Ended> {
        let store = Arc::clone(&self.stores[number]);
        let log = self.log(number)?;
        self.run.counts.entries += log.len() as u64;
        self.run
            .say(|| format!("store {number}: {} entries in the log", log.len()));
        self.run.models[number].settle(&log)?;
        self.run.cursors[number].check(&self.run.models[number], &log)?;
        self.settle_pieces(number, &log)?;
        let (mut entries, mut segments) = (0, 0);
        for segment in self.run.models[number].segments.clone() {
            let path = segment.path.clone();
            let read = self.read(call::read_segment(&store, SegmentRead::all(path.clone())))?;
            let same = log.iter().filter(|entry| entry.path == path);
            if !same.eq(read.iter()) {
                return Err(Ended::Broken(format!(
                    "{path} reads differently by itself: {} entries",
                    read.len()
                )));
            }
            let status = match self.drive(call::status(&store, path.clone())) {
                Answer::Status(status) => status?,
                _ => unreachable!("a status answers a question for one"),
            };
            let range = status.map(|status| (status.first_sequence.0, status.last_sequence.0));
            let expected = (segment.head > 0).then_some((segment.floor, segment.head));
            if range != expected {
                return Err(Ended::Broken(format!(
                    "the status of {path} is {range:?}, and must be {expected:?}"
                )));
            }
            segments += u64::from(segment.head > 0);
            entries += read.len() as u64;
        }
        let totals = self.drive(call::totals(&store))?;
        if (totals.segment_count, totals.entry_count) != (segments, entries) {
            return Err(Ended::Broken(format!(
                "{totals:?}, with {segments} segments and {entries} entries"
            )));
        }
        Ok(())
    }

    fn read(&mut self, future: Future<Answer>) -> Result<Vec<Entry>, Ended> {
        match self.drive(future) {
            Answer::Read(entries) => Ok(entries?),
            _ => unreachable!("a read answers with entries"),
        }
    }

    pub(crate) fn drive<T>(&mut self, mut future: Future<T>) -> T {
        drive(&self.stepper, &mut future)
    }

    /// Calls and works until the steps are used up or the power is gone.
    ///
    /// # Errors
    /// An answer that cannot be.
    pub fn work(&mut self) -> Result<(), Broken> {
        for _ in 0..self.run.plan.steps {
            self.run.now += 1;
            if self.run.disk.is_without_power() {
                break;
            }
            match self.run.dice.below(12) {
                0..4 if self.calls.len() < self.run.plan.calls => self.begin(),
                5 if self.run.plan.backups > 0 && self.run.dice.chance(12 * self.run.plan.backups, 100) => {
                    self.back_up()?;
                }
                4 => {
                    let turn = self.run.dice.below(3000) as i64 - 1000;
                    self.run.watch.turn(turn);
                }
                _ => {
                    self.stepper.run_one();
                }
            }
            self.poll()?;
        }
        Ok(())
    }

    fn poll(&mut self) -> Result<(), Broken> {
        let mut at = 0;
        while at < self.calls.len() {
            match call::poll(&mut self.calls[at].future) {
                Some(answer) => {
                    let call = self.calls.remove(at);
                    self.answered(call, answer)?;
                }
                None => at += 1,
            }
        }
        Ok(())
    }

    fn answered(&mut self, call: Call, answer: Answer) -> Result<(), Broken> {
        let (store, now) = (call.store, self.run.now);
        let what = || format!("store {store}, {:?} called at {}", call.doing, call.called);
        let outcome = match (&call.doing, answer) {
            (&Doing::Append(attempt), Answer::Appended(outcome)) => self.appended(&call, attempt, outcome),
            (Doing::Read { .. }, Answer::Read(Ok(entries))) => self.was_read(&call, &entries),
            (Doing::Consume, Answer::Read(Ok(entries))) => {
                let model = &mut self.run.models[store];
                model.read(&entries)?;
                self.run.cursors[store].consume(model, &entries)
            }
            (Doing::Follow, Answer::Followed(reader, Ok(told))) => {
                self.followers[store] = Some(reader);
                let model = &mut self.run.models[store];
                model.read(&told.entries)?;
                self.run.places[store].consume(model, &told)
            }
            (Doing::Follow, Answer::Followed(_, Err(error))) => {
                self.run.places[store].seen.under_way = false;
                match error {
                    ReadError::Storage(StorageError::OtherLog) => Err(error.to_string()),
                    error => self.excuse("following", &error),
                }
            }
            (doing, Answer::Read(Err(error)) | Answer::Peeked(Err(error)) | Answer::Status(Err(error))) => {
                if let Doing::Consume = doing {
                    self.run.cursors[store].under_way = false;
                }
                match error {
                    ReadError::Storage(StorageError::Deleted(_)) if self.run.plan.controls > 0 => Ok(()),
                    error => self.excuse("reading", &error),
                }
            }
            (&Doing::Peek(segment), Answer::Peeked(Ok(entry))) => {
                let model = &mut self.run.models[store];
                model.read(entry.as_slice())?;
                let head = entry.map_or(0, |entry| entry.sequence.0);
                self.observed(&call, segment, head);
                Ok(())
            }
            (&Doing::Status(segment), Answer::Status(Ok(status))) => {
                let head = status.map_or(0, |status| status.last_sequence.0);
                self.observed(&call, segment, head);
                Ok(())
            }
            (&Doing::Trim(segment, first), Answer::Trimmed(outcome)) => match outcome {
                Ok(status) => self.run.models[store].trimmed(segment, first, call.then.2, &status),
                Err(error) => {
                    let own = &mut self.run.models[store].segments[segment];
                    own.under_way -= 1;
                    if let AppendError::Indeterminate(_) = error {
                        own.open_trims.push(first);
                    }
                    self.excuse_append("trimming", &error)
                }
            },
            (&Doing::Delete(segment), Answer::Deleted(outcome)) => match outcome {
                Ok(()) => self.run.models[store].deleted(segment),
                Err(error) => {
                    let own = &mut self.run.models[store].segments[segment];
                    (own.under_way, own.open_delete) = (0, matches!(error, AppendError::Indeterminate(_)));
                    self.excuse_append("deleting", &error)
                }
            },
            (Doing::Lease(ask), Answer::Leased(outcome)) => {
                let uptime = self.run.watch.uptime();
                let leases = &mut self.run.models[store].leases;
                match outcome {
                    Ok(lease) => leases.told(ask, lease, uptime),
                    Err(AppendError::Indeterminate(why)) => self.excuse("a lease", &why),
                    Err(error) => {
                        leases.refused(ask);
                        self.excuse_append("a lease", &error)
                    }
                }
            }
            (doing, _) => unreachable!("another answer than {doing:?} has"),
        };
        self.run.say(|| format!("answered at {now}: {}", what()));
        outcome.map_err(|broken| format!("{}: {broken}", what()))
    }

    fn appended(
        &mut self,
        call: &Call,
        attempt: usize,
        outcome: Result<streamkit_engine::Committed, AppendError>,
    ) -> Result<(), Broken> {
        let (store, now) = (call.store, self.run.now);
        let model = &mut self.run.models[store];
        match outcome {
            Ok(committed) => {
                self.run.counts.acknowledged += 1;
                self.run.counts.demanding += u64::from(model.demands_or_takes_next(attempt));
                model.acknowledged(attempt, &committed, now)
            }
            Err(AppendError::Rejected(why)) => {
                let is_conflict = matches!(why, Rejection::Conflict { .. } | Rejection::Conflicts(_));
                self.run.counts.conflicts += u64::from(is_conflict);
                model.rejected(attempt, &why, now)?;
                let is_fenced_off = matches!(why, Rejection::FencedOff(_));
                self.run.counts.fenced_off += u64::from(is_fenced_off);
                // What waits for the ids that the log ends with, and what stands behind it, is not queued yet.
                let came_late = call.in_line && matches!(why, Rejection::Storage(StorageError::Closed));
                match is_conflict || is_fenced_off || came_late {
                    true => Ok(()),
                    false => self.excuse_append("appending", &why.into()),
                }
            }
            Err(AppendError::Indeterminate(why)) => {
                self.run.counts.unknown += 1;
                model.unknown(attempt);
                self.excuse("appending", &why)
            }
            Err(other) => Err(format!("an error that nobody expects: {other}")),
        }
    }

    /// Whether a call under way trims or deletes a segment.
    fn is_trimmed_or_deleted(&self, store: usize, segment: usize) -> bool {
        self.calls.iter().any(|call| {
            let here = matches!(call.doing, Doing::Trim(of, _) | Doing::Delete(of) if of == segment);
            here && call.store == store
        })
    }

    fn is_same_life(&self, call: &Call, segment: usize) -> bool {
        let own = &self.run.models[call.store].segments[segment];
        own.life == call.then.0 && !own.open_delete
    }

    fn observed(&mut self, call: &Call, segment: usize, head: u64) {
        if self.is_same_life(call, segment) {
            let now = self.run.now;
            self.run.models[call.store].observed(segment, head, call.called, now);
        }
    }

    fn was_read(&mut self, call: &Call, entries: &[Entry]) -> Result<(), Broken> {
        let &Doing::Read {
            segment,
            from,
            to,
            limit,
        } = &call.doing
        else {
            return Ok(());
        };
        self.run.models[call.store].read(entries)?;
        if !self.is_same_life(call, segment) {
            return Ok(());
        }
        let own = &self.run.models[call.store].segments[segment];
        let (_, floor, head) = call.then;
        let first = entries.first().map(|entry| entry.sequence.0);
        let last = entries.last().map(|entry| entry.sequence.0);
        let dense = entries
            .iter()
            .zip(first.unwrap_or(1)..)
            .all(|(entry, sequence)| entry.sequence.0 == sequence);
        let within = first.is_none_or(|first| first >= from.max(floor) && first <= from.max(own.floor.max(floor)))
            || own.floor != floor
            || !own.open_trims.is_empty()
            || self.is_trimmed_or_deleted(call.store, segment);
        let bounded = last.is_none_or(|last| last <= to) && entries.len() as u64 <= limit;
        // All that was known to be there is, as far as it was asked for.
        let wanted = head.min(to);
        let complete =
            from.max(own.floor) > wanted || entries.len() as u64 == limit || last.is_some_and(|last| last >= wanted);
        if !(dense && within && bounded && complete) {
            return Err(format!(
                "read {first:?} to {last:?} of {floor} to {head}: dense {dense}, within {within}, bounded {bounded}, complete {complete}"
            ));
        }
        if to == u64::MAX && limit == u64::MAX && from <= head + 1 {
            let head = last.unwrap_or(from - 1);
            // Asked for from behind the head, it tells only that there was nothing.
            if last.is_some() || from == head + 1 {
                self.observed(call, segment, head);
            }
        }
        Ok(())
    }

    /// Ends this life in one of its ways. Nothing that it has under way goes on.
    ///
    /// # Errors
    /// An answer that cannot be.
    pub fn end(mut self) -> Result<End, Broken> {
        let end = if self.run.disk.is_without_power() {
            if self.run.dice.chance(2, 3) {
                End::PowerLoss
            } else {
                End::Kill
            }
        } else {
            self.run.plan.end(&mut self.run.dice)
        };
        match end {
            End::Close => {
                self.run.counts.closes += 1;
                self.close();
                self.poll()?;
            }
            End::Kill => self.run.counts.kills += 1,
            End::PowerLoss => self.run.counts.power_losses += 1,
        }
        Ok(end)
    }

    /// Closes the engine.
    pub fn close(&mut self) {
        let mut closing = call::close(&self.engine);
        drive(&self.stepper, &mut closing);
    }
}

impl Drop for Life<'_> {
    /// Whoever called is dead too.
    fn drop(&mut self) {
        self.run.disk.kill();
        for call in std::mem::take(&mut self.calls) {
            let model = &mut self.run.models[call.store];
            match call.doing {
                Doing::Append(attempt) => {
                    self.run.counts.unknown += 1;
                    model.unknown(attempt);
                }
                Doing::Trim(segment, first) => model.segments[segment].open_trims.push(first),
                Doing::Consume => self.run.cursors[call.store].under_way = false,
                Doing::Follow => self.run.places[call.store].seen.under_way = false,
                // Of a lease it is noted as open since it was asked.
                Doing::Lease(_) | Doing::Delete(_) | Doing::Read { .. } | Doing::Peek(_) | Doing::Status(_) => {}
            }
        }
    }
}

/// Runs the engine's work until a future is done.
fn drive<T>(stepper: &Stepper, future: &mut Future<T>) -> T {
    loop {
        if let Some(value) = call::poll(future) {
            return value;
        }
        assert!(stepper.run_one(), "a call waits for work that nobody has to do");
    }
}

/// Why what is there could not be compared.
pub(crate) enum Ended {
    Disk(ReadError),
    Broken(Broken),
}

impl Ended {
    /// On a disk that lets everything be read.
    fn told(self) -> Broken {
        match self {
            Self::Disk(error) => format!("it cannot be read: {error}"),
            Self::Broken(broken) => broken,
        }
    }
}

impl From<ReadError> for Ended {
    fn from(error: ReadError) -> Self {
        Self::Disk(error)
    }
}

impl From<Broken> for Ended {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

impl Run {
    /// A start failed: the disk must have given a reason.
    fn did_not_start(&mut self, error: &OpenError) -> Result<(), Broken> {
        let corrupt = matches!(error, OpenError::Storage(StorageError::Corrupt { .. }));
        if self.rotten || corrupt && self.garbled {
            self.refused = true;
            return Ok(());
        }
        if self.disk.faults_met() == 0 || corrupt {
            return Err(format!("it does not start: {error}"));
        }
        Ok(())
    }
}
