//! The model of one store: a plain list of attempts and their answers.
//!
//! An attempt is *there* once it was acknowledged or read, and stays there whole through any crash. It is *never*
//! there once it was refused. Until then it is *open*: after the next start it is there whole, or not at all.

use std::collections::BTreeMap;

use streamkit_engine::{
    Committed, Condition, Entry, Fence, Rejection, SegmentAppend, SegmentPath, SegmentStatus, Sequence, Transaction,
};
use uuid::Uuid;

use crate::demands::Demand;
use crate::history::{Append, History, Moment, Observation};
use crate::leases::{Known, Leases};
use crate::record::{self, Origin};

/// Why the promise is broken.
pub type Broken = String;

/// What is known of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// Nobody knows.
    Open,
    /// It is there and stays, with this number and commit time.
    There(u64, i64),
    /// It is not there and will never be, unless it is tried again.
    Never,
    /// Nobody was told, and a start found that it is not there. As [`Fate::Never`], but that an older copy of the files may hold it.
    Lost,
}

/// A transaction that somebody tried to append, maybe more than once.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its id, the same in each retry.
    pub id: Uuid,
    /// What it adds to which segment.
    pub parts: Vec<Part>,
    /// The lease that it counts under, and what was known of that when it was called first.
    pub fence: Option<(Fence, Known)>,
    /// What it demands of segments.
    pub demands: Vec<Demand>,
    /// What is known of it.
    pub fate: Fate,
    /// When it was called in this life of the engine.
    pub(crate) called: Option<Moment>,
    /// When it was answered.
    answered: Option<Moment>,
    /// A call in this life of the engine had an unknown outcome.
    unknown: bool,
    /// How often it was called, in all lives.
    calls: u32,
    /// How many of those calls are under way.
    under_way: u32,
    /// Somebody was told that it is new.
    was_new: bool,
}

/// What an attempt adds to one segment.
#[derive(Clone, Debug)]
pub struct Part {
    /// Which segment of the store.
    pub segment: usize,
    /// How often that was deleted before.
    pub life: u32,
    /// Whether it takes any sequence.
    pub takes_next: bool,
    /// Its first sequence; 0 as long as nobody was told which it took.
    pub first: u64,
    /// Extra bytes of each record.
    pub extras: Vec<u32>,
}

impl Part {
    /// Its last sequence.
    pub fn last(&self) -> u64 {
        (self.first + self.extras.len() as u64).saturating_sub(1)
    }
}

/// What is known of a segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Its name.
    pub path: SegmentPath,
    /// How often it was deleted.
    pub life: u32,
    /// The first readable sequence.
    pub floor: u64,
    /// The head: everything up to it is there.
    pub head: u64,
    /// Attempts that are there, by their first sequence.
    pub there: BTreeMap<u64, usize>,
    /// Trims whose outcome nobody knows.
    pub open_trims: Vec<u64>,
    /// A delete whose outcome nobody knows.
    pub open_delete: bool,
    /// The highest trim that a start decided of, and whether it decided of a delete: an older copy of the files may hold what it found
    /// undone.
    pub(crate) decided: (u64, bool),
    /// Calls under way that change it.
    pub under_way: u32,
    history: History,
}

/// One store.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its segments.
    pub segments: Vec<Segment>,
    /// All that was tried.
    pub attempts: Vec<Attempt>,
    /// What is known of its leases.
    pub leases: Leases,
}

impl Model {
    /// An empty store, in which these segments will be used.
    pub fn new(paths: impl IntoIterator<Item = SegmentPath>) -> Self {
        let segment = |path| Segment {
            path,
            life: 0,
            floor: 1,
            head: 0,
            there: BTreeMap::new(),
            open_trims: Vec::new(),
            open_delete: false,
            decided: (0, false),
            under_way: 0,
            history: History::default(),
        };
        Self {
            segments: paths.into_iter().map(segment).collect(),
            attempts: Vec::new(),
            leases: Leases::default(),
        }
    }

    /// Adds an attempt; returns its number.
    pub fn attempt(&mut self, id: Uuid, parts: Vec<Part>, fence: Option<Fence>, demands: Vec<Demand>) -> usize {
        let fence = fence.map(|fence| {
            let known = self.leases.known(&fence.key);
            (fence, known)
        });
        self.attempts.push(Attempt {
            id,
            parts,
            fence,
            demands,
            fate: Fate::Open,
            called: None,
            answered: None,
            unknown: false,
            calls: 0,
            under_way: 0,
            was_new: false,
        });
        self.attempts.len() - 1
    }

    /// What an attempt asks of the store.
    pub fn transaction(&self, attempt: usize) -> Transaction {
        let parts = self.attempts[attempt].parts.iter().zip(0..);
        let segments = parts.map(|(part, number)| SegmentAppend {
            path: self.segments[part.segment].path.clone(),
            first_sequence: match part.takes_next {
                true => SegmentAppend::NEXT,
                false => Sequence(part.first),
            },
            records: (0..)
                .zip(&part.extras)
                .map(|(record, &extra)| {
                    record::record(Origin {
                        attempt: attempt as u64,
                        part: number,
                        record,
                        extra,
                    })
                })
                .collect(),
        });
        let conditions = self.attempts[attempt].demands.iter().map(|demand| Condition {
            path: self.segments[demand.segment].path.clone(),
            expected: demand.expected,
        });
        Transaction {
            conditions: conditions.collect(),
            id: self.attempts[attempt].id,
            segments: segments.collect(),
            fence: self.attempts[attempt].fence.as_ref().map(|(fence, _)| fence.clone()),
        }
    }

    /// An attempt is sent, maybe again.
    pub fn called(&mut self, attempt: usize, now: Moment) {
        let own = &mut self.attempts[attempt];
        own.called.get_or_insert(now);
        own.calls += 1;
        own.under_way += 1;
        if matches!(own.fate, Fate::Never | Fate::Lost) {
            own.fate = Fate::Open;
        }
        for segment in own.touches() {
            self.segments[segment].under_way += 1;
        }
    }

    fn ended(&mut self, attempt: usize) {
        self.attempts[attempt].under_way -= 1;
        for segment in self.attempts[attempt].touches() {
            self.segments[segment].under_way -= 1;
        }
    }

    /// An attempt was acknowledged.
    ///
    /// # Errors
    /// If that contradicts what is known.
    pub fn acknowledged(&mut self, attempt: usize, committed: &Committed, now: Moment) -> Result<(), Broken> {
        self.ended(attempt);
        let told = (committed.trx.number, committed.timestamp.0);
        let own = &mut self.attempts[attempt];
        if own.answered.is_none() && own.called.is_some() {
            own.answered = Some(now);
        }
        if let Some((fence, known)) = &own.fence
            && Leases::is_past(known, fence)
        {
            return Err(format!(
                "attempt {attempt} is acknowledged under {fence:?}, and {known:?}"
            ));
        }
        if committed.trx.id != own.id || committed.segments.len() != own.parts.len() {
            return Err(format!(
                "attempt {attempt} is acknowledged as another transaction: {committed:?}"
            ));
        }
        for (part, status) in own.parts.iter_mut().zip(&committed.segments) {
            if part.first == 0 {
                part.first = (status.last_sequence.0 + 1).saturating_sub(part.extras.len() as u64);
            }
            if status.path != self.segments[part.segment].path || status.last_sequence.0 != part.last() {
                return Err(format!(
                    "attempt {attempt} is acknowledged with another status: {status:?}"
                ));
            }
        }
        let is_first = own.calls == 1;
        if committed.was_there && is_first || !committed.was_there && std::mem::replace(&mut own.was_new, true) {
            return Err(format!(
                "attempt {attempt}, called {} times, is told: was there before: {}",
                own.calls, committed.was_there
            ));
        }
        if is_first {
            self.saw_what_it_demanded(attempt, now);
        }
        self.is_there(attempt, told)
    }

    fn is_there(&mut self, attempt: usize, told: (u64, i64)) -> Result<(), Broken> {
        let own = &mut self.attempts[attempt];
        match own.fate {
            Fate::There(number, timestamp) if (number, timestamp) == told => return Ok(()),
            Fate::There(..) => {
                return Err(format!("attempt {attempt} is {told:?} now, and was {:?}", own.fate));
            }
            Fate::Never => return Err(format!("attempt {attempt} was refused, and is there: {told:?}")),
            Fate::Lost => return Err(format!("attempt {attempt} was lost, and is there again: {told:?}")),
            Fate::Open => own.fate = Fate::There(told.0, told.1),
        }
        for part in self.attempts[attempt].parts.iter().filter(|part| part.first > 0) {
            let segment = &mut self.segments[part.segment];
            if part.life != segment.life {
                return Err(format!(
                    "attempt {attempt} is there, in a segment that was deleted since"
                ));
            }
            if let Some(other) = segment.there.insert(part.first, attempt) {
                let path = &segment.path;
                return Err(format!(
                    "attempts {other} and {attempt} are both there at {path} {}",
                    part.first
                ));
            }
            segment.head = segment.head.max(part.last());
        }
        Ok(())
    }

    /// An attempt was refused.
    ///
    /// # Errors
    /// If that contradicts what is known.
    pub fn rejected(&mut self, attempt: usize, why: &Rejection, now: Moment) -> Result<(), Broken> {
        self.ended(attempt);
        if let Rejection::OtherRecords { .. } = why {
            return Err(format!(
                "attempt {attempt} has always the same records, and is told: {why}"
            ));
        }
        if let Rejection::Conflicts(conflicts) = why {
            self.told_of_conflicts(attempt, conflicts, now)?;
        }
        if let Rejection::Conflict { path, head, got } = why {
            let own = &self.attempts[attempt];
            let part = own.parts.iter().find(|part| self.segments[part.segment].path == *path);
            let Some(part) = part.filter(|part| part.first == got.0 && head.0 + 1 != got.0) else {
                return Err(format!("attempt {attempt} is told of a conflict that is none: {why}"));
            };
            let (segment, called) = (part.segment, own.called.unwrap_or(0));
            self.observed(segment, head.0, called, now);
        }
        let own = &mut self.attempts[attempt];
        if let (Rejection::FencedOff(_), Some((fence, known))) = (why, &own.fence)
            && Leases::holds(known, fence)
            && Leases::holds(&self.leases.known(&fence.key), fence)
        {
            return Err(format!(
                "attempt {attempt} is fenced off under {fence:?}, which holds: {known:?}"
            ));
        }
        match (own.fate, why) {
            // Committed before, it is answered as then; unless the disk could not tell.
            (Fate::There(..), Rejection::Conflict { .. } | Rejection::Conflicts(_) | Rejection::FencedOff(_)) => {
                Err(format!("attempt {attempt} is there, and a retry is told: {why}"))
            }
            (Fate::There(..), _) => Ok(()),
            // Another call of it may still be accepted.
            _ if own.unknown || own.under_way > 0 => Ok(()),
            _ => {
                own.fate = Fate::Never;
                own.called = None;
                Ok(())
            }
        }
    }

    /// Nobody was told what became of an attempt.
    pub fn unknown(&mut self, attempt: usize) {
        self.ended(attempt);
        self.attempts[attempt].unknown = true;
    }

    /// Somebody was told the head of a segment.
    pub fn observed(&mut self, segment: usize, head: u64, called: Moment, answered: Moment) {
        self.segments[segment]
            .history
            .observations
            .push(Observation { head, called, answered });
    }

    /// Checks entries that somebody read, in whatever order, and remembers that they are there.
    ///
    /// # Errors
    /// If one of them cannot be there.
    pub fn read(&mut self, entries: &[Entry]) -> Result<(), Broken> {
        for entry in entries {
            let attempt = self.attempt_of(entry)?;
            self.took(attempt, entry);
            // Read while the segment was deleted: it was there, and nothing is said of now.
            let own = &self.attempts[attempt];
            let is_past = |part: &Part| part.life != self.segments[part.segment].life;
            if !own.parts.iter().any(is_past) {
                self.is_there(attempt, (entry.trx.number, entry.timestamp.0))?;
            }
        }
        Ok(())
    }

    /// Which attempt an entry is of.
    ///
    /// # Errors
    /// If it is of none.
    pub fn attempt_of(&self, entry: &Entry) -> Result<usize, Broken> {
        let bad = |what: &str| format!("{what}: {} {} of {:?}", entry.path, entry.sequence, entry.trx);
        let origin = record::origin(entry).ok_or_else(|| bad("bytes that nobody wrote"))?;
        let attempt = origin.attempt as usize;
        let own = self
            .attempts
            .get(attempt)
            .ok_or_else(|| bad("a record of no attempt"))?;
        let part = own.parts.get(origin.part as usize);
        let part = part.ok_or_else(|| bad("a record of no part"))?;
        let agrees = self.segments[part.segment].path == entry.path
            && (part.first == 0 || part.first + u64::from(origin.record) == entry.sequence.0)
            && part.extras.get(origin.record as usize) == Some(&origin.extra)
            && own.id == entry.trx.id;
        agrees
            .then_some(attempt)
            .ok_or_else(|| bad("a record in another's place"))
    }

    /// The head that a segment will have if all that is under way is committed.
    pub fn planned_head(&self, segment: usize) -> u64 {
        let own = &self.segments[segment];
        let open = self
            .attempts
            .iter()
            .rev()
            .take(12)
            .filter(|attempt| attempt.fate == Fate::Open);
        let parts = open.flat_map(|attempt| &attempt.parts);
        let lasts = parts
            .filter(|part| part.segment == segment && part.life == own.life)
            .map(Part::last);
        lasts.max().unwrap_or(0).max(own.head)
    }

    /// Which segment has this name.
    pub fn segment_named(&self, path: &SegmentPath) -> Option<usize> {
        self.segments.iter().position(|segment| segment.path == *path)
    }

    /// A trim was acknowledged. The head was at least `head` when it was called.
    ///
    /// # Errors
    /// If the status says otherwise.
    pub fn trimmed(&mut self, segment: usize, first: u64, head: u64, status: &SegmentStatus) -> Result<(), Broken> {
        let own = &mut self.segments[segment];
        own.under_way -= 1;
        own.floor = own.floor.max(first);
        if status.first_sequence.0 < first || status.last_sequence.0 < head {
            return Err(format!("{} is trimmed to {first}, and is {status:?}", own.path));
        }
        Ok(())
    }

    /// A delete was acknowledged: nothing of the segment is there any more.
    ///
    /// # Errors
    /// If its history cannot have been.
    pub fn deleted(&mut self, segment: usize) -> Result<(), Broken> {
        self.segments[segment].under_way -= 1;
        self.begin_anew(segment)
    }

    fn begin_anew(&mut self, segment: usize) -> Result<(), Broken> {
        self.check_history(segment)?;
        let own = &mut self.segments[segment];
        own.life += 1;
        (own.floor, own.head, own.open_delete) = (1, 0, false);
        own.there.clear();
        own.open_trims.clear();
        own.history = History::default();
        Ok(())
    }

    fn check_history(&self, segment: usize) -> Result<(), Broken> {
        let own = &self.segments[segment];
        let mut history = own.history.clone();
        for &attempt in own.there.values() {
            let attempt = &self.attempts[attempt];
            let parts = attempt.parts.iter().filter(|part| part.segment == segment);
            for part in parts {
                if let Some(called) = attempt.called
                    && part.first > history.start
                {
                    history.appends.push(Append {
                        after: part.first - 1,
                        head: part.last(),
                        called,
                        answered: attempt.answered,
                    });
                }
            }
        }
        let order = history.check();
        order.map_err(|violation| format!("{} cannot have happened in any order: {violation}", own.path))
    }

    /// The engine was started again, and all that can be read is `log`, in log order: what was open is decided, and all
    /// that must be there is.
    ///
    /// # Errors
    /// What is not as it must be.
    pub fn settle(&mut self, log: &[Entry]) -> Result<(), Broken> {
        let mut found: Vec<Vec<(u64, usize)>> = vec![Vec::new(); self.segments.len()];
        let mut last: Option<(u64, i64, usize)> = None;
        let mut attempts = Vec::with_capacity(log.len());
        for entry in log {
            let attempt = self.attempt_of(entry)?;
            self.took(attempt, entry);
            let place = (entry.trx.number, entry.timestamp.0, attempt);
            if let Some(last) = last {
                let same = last == place;
                let later = place.0 > last.0 && place.1 >= last.1;
                if !same && !later {
                    return Err(format!("log order is broken: {place:?} stands behind {last:?}"));
                }
            }
            last = Some(place);
            attempts.push(attempt);
            if let Some(segment) = self.segment_named(&entry.path) {
                found[segment].push((entry.sequence.0, attempt));
            }
        }
        for (segment, entries) in found.iter().enumerate() {
            self.settle_segment(segment, entries)?;
        }
        for (entry, attempt) in log.iter().zip(attempts) {
            if self.attempts[attempt].fate == Fate::Open {
                let parts = &self.attempts[attempt].parts;
                if parts.iter().any(|part| part.life != self.segments[part.segment].life) {
                    return Err(format!("attempt {attempt} is there, in a segment that was deleted"));
                }
            }
            self.is_there(attempt, (entry.trx.number, entry.timestamp.0))?;
        }
        for (segment, entries) in found.iter().enumerate() {
            self.check_segment(segment, entries)?;
            self.check_history(segment)?;
        }
        for attempt in &mut self.attempts {
            if attempt.fate == Fate::Open {
                attempt.fate = Fate::Lost;
            }
            (attempt.called, attempt.answered, attempt.unknown) = (None, None, false);
            attempt.under_way = 0;
        }
        for segment in &mut self.segments {
            let start = segment.head;
            segment.history = History {
                start,
                ..History::default()
            };
        }
        Ok(())
    }

    /// Decides trims and deletes that nobody knows of.
    fn settle_segment(&mut self, segment: usize, entries: &[(u64, usize)]) -> Result<(), Broken> {
        let own = &mut self.segments[segment];
        own.under_way = 0;
        own.decided.0 = own.open_trims.iter().copied().fold(own.decided.0, u64::max);
        own.decided.1 |= own.open_delete;
        if std::mem::take(&mut own.open_delete) && entries.is_empty() {
            return self.begin_anew(segment);
        }
        let trims = std::mem::take(&mut own.open_trims);
        if let Some(&(first, _)) = entries.first()
            && first != own.floor
        {
            if !trims.contains(&first) || first < own.floor {
                let (path, floor) = (&own.path, own.floor);
                return Err(format!(
                    "{path} begins at {first}; it was trimmed to {floor}, maybe {trims:?}"
                ));
            }
            own.floor = first;
        }
        Ok(())
    }

    /// What is there of a segment is all that must be, and only once.
    fn check_segment(&self, segment: usize, entries: &[(u64, usize)]) -> Result<(), Broken> {
        let own = &self.segments[segment];
        let mut expected = Vec::new();
        for (&first, &attempt) in &own.there {
            let parts = self.attempts[attempt].parts.iter();
            let part = parts
                .clone()
                .find(|part| part.segment == segment && part.first == first);
            let part = part.ok_or_else(|| format!("attempt {attempt} has no part at {first}"))?;
            let readable = (part.first..=part.last()).filter(|&sequence| sequence >= own.floor);
            expected.extend(readable.map(|sequence| (sequence, attempt)));
        }
        if expected != entries {
            let differs = expected.iter().zip(entries).position(|(a, b)| a != b);
            let at = differs.unwrap_or(expected.len().min(entries.len()));
            return Err(format!(
                "{} has {} entries and must have {}; they differ at the {at}th: {:?} stands where {:?} must",
                own.path,
                entries.len(),
                expected.len(),
                entries.get(at),
                expected.get(at)
            ));
        }
        let dense = entries
            .iter()
            .zip(own.floor..)
            .all(|(&(sequence, _), expected)| sequence == expected);
        let complete = entries.last().map_or(own.head == 0, |&(last, _)| last == own.head);
        if dense && complete {
            Ok(())
        } else {
            Err(format!(
                "{} has holes, or ends before {}: {entries:?}",
                own.path, own.head
            ))
        }
    }
}
