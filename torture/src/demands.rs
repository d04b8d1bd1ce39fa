//! What transactions demand of segments, and the sequences they take: what the model knows of it.

use streamkit_engine::{Conflict, Dice, Entry, Expected, Sequence};

use crate::history::Moment;
use crate::model::{Attempt, Broken, Model};
use crate::record;

/// What an attempt demands of one segment.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Which segment of the store.
    pub segment: usize,
    /// How often that was deleted before.
    pub life: u32,
    /// What it must be.
    pub expected: Expected,
}

impl Attempt {
    /// The segments that it adds to, or demands something of.
    pub(crate) fn touches(&self) -> impl Iterator<Item = usize> {
        let parts = self.parts.iter().map(|part| part.segment);
        parts.chain(self.demands.iter().map(|demand| demand.segment))
    }
}

/// What a transaction demands of one or two segments: mostly what holds as far as anybody knows.
pub(crate) fn demands(model: &Model, dice: &mut Dice) -> Vec<Demand> {
    let mut demands = Vec::new();
    for _ in 0..1 + dice.below(2) {
        let segment = dice.below(model.segments.len() as u64) as usize;
        let own = &model.segments[segment];
        let expected = match dice.below(8) {
            0 => Expected::Exists,
            1 => Expected::IsAbsent,
            2 => Expected::Head(Sequence(own.head + 1)),
            3 if own.head > 0 => Expected::Exists,
            _ => Expected::Head(Sequence(own.head)),
        };
        if !own.open_delete {
            demands.push(Demand {
                segment,
                life: own.life,
                expected,
            });
        }
    }
    demands
}

impl Model {
    /// Whether an attempt has conditions, or takes any sequence.
    pub fn demands_or_takes_next(&self, attempt: usize) -> bool {
        !self.attempts[attempt].demands.is_empty() || self.takes_next(attempt)
    }

    /// Whether an attempt takes any sequence.
    pub fn takes_next(&self, attempt: usize) -> bool {
        self.attempts[attempt].parts.iter().any(|part| part.takes_next)
    }

    /// The segment of a conflict, if it is one for an attempt.
    fn is_conflict(&self, attempt: usize, conflict: &Conflict) -> Option<usize> {
        let segment = self.segment_named(&conflict.path)?;
        let own = &self.attempts[attempt];
        let mut parts = own
            .parts
            .iter()
            .filter(|part| part.segment == segment && !part.takes_next);
        let mut demands = own.demands.iter().filter(|demand| demand.segment == segment);
        let is_one = match conflict.got {
            Some(got) => parts.any(|part| part.first == got.0 && conflict.head.next() != got),
            None => demands.any(|demand| !demand.expected.holds(conflict.head)),
        };
        is_one.then_some(segment)
    }

    /// An attempt that was called once saw what it demanded, at some time of the call.
    pub(crate) fn saw_what_it_demanded(&mut self, attempt: usize, now: Moment) {
        let own = &self.attempts[attempt];
        let called = own.called.unwrap_or(0);
        for Demand { segment, expected, .. } in own.demands.clone() {
            match expected {
                Expected::Head(head) => self.observed(segment, head.0, called, now),
                Expected::IsAbsent => self.observed(segment, 0, called, now),
                Expected::Exists => {}
            }
        }
    }

    /// An attempt was refused for what its segments are.
    pub(crate) fn told_of_conflicts(
        &mut self,
        attempt: usize,
        conflicts: &[Conflict],
        now: Moment,
    ) -> Result<(), Broken> {
        for conflict in conflicts {
            let segment = self.is_conflict(attempt, conflict);
            let segment =
                segment.ok_or_else(|| format!("attempt {attempt} is told of a conflict that is none: {conflict:?}"))?;
            let called = self.attempts[attempt].called.unwrap_or(0);
            self.observed(segment, conflict.head.0, called, now);
        }
        Ok(())
    }

    /// Somebody read an entry, which tells what sequence its part took.
    pub(crate) fn took(&mut self, attempt: usize, entry: &Entry) {
        let origin = record::origin(entry);
        let part = origin.and_then(|origin| self.attempts[attempt].parts.get_mut(origin.part as usize));
        if let (Some(part), Some(origin)) = (part, origin)
            && part.first == 0
        {
            part.first = entry.sequence.0.saturating_sub(u64::from(origin.record));
        }
    }
}
