//! A producer: appends of every kind, sent again when nobody answered, and what it was told of each.

use std::sync::Arc;
use std::time::Duration;

use streamkit_client::record::{Entry, Expected, SegmentPath, Sequence};
use streamkit_client::{Append, Appended, Error, StoreClient};
use streamkit_engine::Dice;

use crate::shift::Shift;
use crate::witness::{Broken, Part, SEGMENTS, Witness, segment_of};

/// How often what nobody answered is sent again.
const RETRIES: u32 = 3;

/// A producer with a connection, or two, of its own.
pub(crate) struct Writer {
    pub stores: Vec<StoreClient>,
    pub witness: Arc<Witness>,
    pub dice: Dice,
    /// Whether the network may bring what it sends twice: then what is not done of one may be of the other.
    may_come_twice: bool,
    heads: [u64; SEGMENTS.len()],
}

impl Writer {
    pub fn new(stores: Vec<StoreClient>, witness: Arc<Witness>, dice: Dice, may_come_twice: bool) -> Self {
        Self {
            stores,
            witness,
            dice,
            may_come_twice,
            heads: [0; SEGMENTS.len()],
        }
    }

    /// Makes an attempt each turn.
    pub async fn work(mut self, mut shift: Shift) {
        while shift.goes_on() {
            let attempt = self.plan();
            if let Err(why) = self.try_it(attempt).await {
                self.witness.breaks(why);
            }
            if self.dice.chance(1, 8) {
                tokio::time::sleep(Duration::from_millis(self.dice.below(5))).await;
            }
        }
    }

    fn plan(&mut self) -> usize {
        let mut parts: Vec<Part> = Vec::new();
        for _ in 0..1 + self.dice.below(6) / 4 {
            let segment = self.dice.below(SEGMENTS.len() as u64) as usize;
            if parts.iter().any(|part| part.segment == segment) {
                continue;
            }
            let first = match self.dice.chance(1, 2) {
                true => 0,
                false => self.heads[segment] + 1,
            };
            parts.push(Part {
                segment,
                first,
                count: 1 + self.dice.below(4) as u32,
                extra: self.dice.below(300) as u32,
            });
        }
        let mut conditions = Vec::new();
        if self.dice.chance(1, 4) {
            let segment = self.dice.below(SEGMENTS.len() as u64) as usize;
            let expected = match self.dice.below(4) {
                0 => Expected::Exists,
                1 => Expected::IsAbsent,
                _ => Expected::Head(Sequence(self.heads[segment])),
            };
            conditions.push((segment, expected));
        }
        self.witness.attempt(parts, conditions)
    }

    fn append(&mut self, attempt: usize, twist: bool) -> Append {
        Append {
            id: self.witness.id(attempt),
            sections: self.witness.sections(attempt, twist),
            conditions: self.witness.conditions(attempt),
            fence: None,
            conflict_bytes: if self.dice.chance(1, 2) { 4000 } else { 0 },
        }
    }

    fn store(&mut self) -> StoreClient {
        let which = self.dice.below(self.stores.len() as u64) as usize;
        self.stores[which].clone()
    }

    /// Sends it until somebody answers, a few times; sometimes once more, and sometimes with other records.
    async fn try_it(&mut self, attempt: usize) -> Result<(), Broken> {
        for _ in 0..RETRIES {
            let is_known = self.call(attempt).await?;
            if is_known {
                break;
            }
        }
        if self.dice.chance(1, 6) {
            self.call(attempt).await?;
        }
        if !self.may_come_twice {
            self.witness.given_up(attempt);
        }
        if self.dice.chance(1, 10) {
            self.twisted(attempt).await?;
        }
        Ok(())
    }

    /// One call of it. Whether somebody answered.
    async fn call(&mut self, attempt: usize) -> Result<bool, Broken> {
        let append = self.append(attempt, false);
        let conflict_bytes = append.conflict_bytes;
        self.witness.attempts()[attempt].calls += 1;
        let called = self.witness.now();
        match self.store().append(append).await {
            Ok(appended) => self.acknowledged(attempt, &appended),
            Err(Error::Conflicts { heads, entries }) => {
                self.conflicts(attempt, &heads, entries, conflict_bytes, called)?;
            }
            Err(Error::Conflict { .. }) => return Err("a conflict of v1 over v2".to_owned()),
            Err(Error::OtherRecords { position }) => {
                return Err(format!("attempt {attempt} is told that {position} has other records"));
            }
            Err(error) if nothing_was_done(&error) => return Ok(false),
            Err(error) if nobody_knows(&error) => {
                self.witness.unknown(attempt);
                return Ok(false);
            }
            Err(error) => return Err(format!("attempt {attempt} fails for no reason: {error}")),
        }
        Ok(true)
    }

    fn acknowledged(&mut self, attempt: usize, appended: &Appended) {
        let firsts: Vec<u64> = appended.sections.iter().map(|(first, _)| first.0).collect();
        let told = (appended.position, appended.timestamp.0);
        self.witness.acknowledged(attempt, told, &firsts, appended.is_known);
        let parts = self.witness.attempts()[attempt].parts.clone();
        for (part, (first, last)) in parts.iter().zip(&appended.sections) {
            if last.0 + 1 - first.0 != u64::from(part.count) {
                self.witness
                    .breaks(format!("attempt {attempt} of {part:?} is at {first}..={last}"));
            }
            self.heads[part.segment] = self.heads[part.segment].max(last.0);
        }
    }

    /// It is told which heads are not as demanded, and perhaps what stands behind the demanded ones.
    fn conflicts(
        &mut self,
        attempt: usize,
        heads: &[(SegmentPath, Sequence)],
        entries: Vec<Entry>,
        bytes: u32,
        called: u64,
    ) -> Result<(), Broken> {
        self.witness.refused(attempt, "conflict");
        let own = self.witness.attempts()[attempt].clone();
        if heads.is_empty() {
            return Err(format!("attempt {attempt} is told of a conflict with nothing"));
        }
        for (path, head) in heads {
            let segment = segment_of(path).ok_or_else(|| format!("a conflict of {path}, which nobody uses"))?;
            let part = own.parts.iter().find(|part| part.segment == segment && part.first != 0);
            let part_fails = part.is_some_and(|part| part.first != head.0 + 1);
            let mut demands = own.conditions.iter().filter(|(of, _)| *of == segment);
            if !part_fails && !demands.any(|(_, expected)| !expected.holds(*head)) {
                return Err(format!(
                    "attempt {attempt} is told of a conflict that is none: {path} is {head}: {own:?}"
                ));
            }
            self.witness.saw(segment, head.0, called);
            self.heads[segment] = self.heads[segment].max(head.0);
        }
        if bytes == 0 && !entries.is_empty() {
            return Err(format!(
                "attempt {attempt} did not ask for the {} entries that come",
                entries.len()
            ));
        }
        for (path, head) in heads {
            let segment = segment_of(path).unwrap_or_default();
            let of_part = own.parts.iter().find(|part| part.segment == segment && part.first != 0);
            let mut demanded = own.conditions.iter().filter_map(|(of, expected)| match expected {
                Expected::Head(head) if *of == segment => Some(head.0),
                _ => None,
            });
            let Some(behind) = of_part.map(|part| part.first - 1).or_else(|| demanded.next()) else {
                continue;
            };
            let came = entries.iter().filter(|entry| entry.path == *path);
            for (entry, next) in came.zip(behind + 1..) {
                if entry.sequence.0 != next || entry.sequence > *head {
                    return Err(format!(
                        "attempt {attempt} expected {path} at {behind} and is brought {}, head {head}",
                        entry.sequence
                    ));
                }
            }
        }
        self.witness.sees(entries);
        Ok(())
    }

    /// The same id with other records is refused if the first are stored, and may be stored in their place if not: then nothing
    /// more is known of the attempt, so that is tried only of what is there.
    async fn twisted(&mut self, attempt: usize) -> Result<(), Broken> {
        let is_there = matches!(self.witness.attempts()[attempt].fate, crate::witness::Fate::There(..));
        if !is_there {
            return Ok(());
        }
        let append = self.append(attempt, true);
        match self.store().append(append).await {
            Err(Error::OtherRecords { .. }) => Ok(()),
            Err(error) if nothing_was_done(&error) || nobody_knows(&error) => Ok(()),
            other => Err(format!("attempt {attempt} with other records is told {other:?}")),
        }
    }
}

/// Whether the server, or the client, says that nothing of it was stored.
pub(crate) fn nothing_was_done(error: &Error) -> bool {
    matches!(
        error,
        Error::NotBegun(_) | Error::Unavailable(_) | Error::TryLater { .. } | Error::Connect { .. }
    )
}

/// Whether it may be stored or not.
pub(crate) fn nobody_knows(error: &Error) -> bool {
    matches!(error, Error::Unknown(_) | Error::Timeout(_) | Error::ConnectionLost(_))
}
