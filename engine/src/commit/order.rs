//! Decides which transactions go into the next group, without I/O. The sequence rule and the conditions are checked here and
//! nowhere else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use uuid::Uuid;

use crate::error::Conflict;
use streamkit_record::{Condition, SegmentAppend, SegmentPath, Sequence};

/// One segment that a transaction wants to extend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SequenceClaim {
    /// The segment.
    pub path: SegmentPath,
    /// The sequence of its first record; [`SegmentAppend::NEXT`] until it is accepted, if its producer leaves that open.
    pub first: Sequence,
    /// Number of records.
    pub count: u64,
}

/// What a transaction asks for.
#[derive(Debug)]
pub struct Claims<'a> {
    /// The segments that it extends, each once.
    pub segments: &'a mut [SequenceClaim],
    /// What must hold before it.
    pub conditions: &'a [Condition],
    /// Its id, where nothing else tells it from a retry.
    pub id: Option<Uuid>,
}

/// The ruling on a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// It goes into the group.
    Accept,
    /// It does not fit the durable heads: each segment that is not as it demands, once.
    Conflict(Vec<Conflict>),
    /// It does not fit the heads that groups under way will leave, or one of those may hold it already. Nobody learns of a
    /// head that power loss could take back, so it gets another ruling once they are durable.
    Later,
}

/// The heads as the groups under way, and the one being formed, will leave them.
#[derive(Debug, Default)]
pub struct CommitOrder {
    ahead: HashMap<SegmentPath, PendingHead>,
    /// The ids that went into those groups, and which: only of transactions that have nothing else.
    ids: HashMap<Uuid, u64>,
    /// Number of the group being formed.
    forming: u64,
}

/// The effect of groups under way on a segment.
#[derive(Debug)]
struct PendingHead {
    head: Sequence,
    /// The last group that extends it.
    group: u64,
    /// A transaction waits until this head is durable. Whoever takes any sequence comes after it, or it would wait for ever.
    is_awaited: bool,
}

impl SequenceClaim {
    /// What one part of a transaction claims.
    pub fn of(part: &SegmentAppend) -> Self {
        Self {
            path: part.path.clone(),
            first: part.first_sequence,
            count: part.records.len() as u64,
        }
    }

    fn takes_next(&self) -> bool {
        self.first == SegmentAppend::NEXT
    }
}

impl CommitOrder {
    /// Rules on one transaction. After [`Ruling::Accept`] its records count for the following ones, and all its sequences
    /// are filled in.
    pub fn rule(&mut self, claims: Claims<'_>, durable_head: impl Fn(&SegmentPath) -> Sequence) -> Ruling {
        let mut later = claims.id.is_some_and(|id| self.ids.contains_key(&id));
        let mut failed = Vec::new();
        for claim in claims.segments.iter() {
            match self.ahead.get_mut(&claim.path) {
                Some(ahead) if claim.takes_next() => later |= ahead.is_awaited,
                Some(ahead) => later |= ahead.keeps_waiting(ahead.head.next() == claim.first),
                None if claim.takes_next() => {}
                None => {
                    let head = durable_head(&claim.path);
                    if head.next() != claim.first {
                        failed.push(Conflict {
                            path: claim.path.clone(),
                            head,
                            got: Some(claim.first),
                        });
                    }
                }
            }
        }
        for Condition { path, expected } in claims.conditions {
            match self.ahead.get_mut(path) {
                Some(ahead) => later |= ahead.keeps_waiting(expected.holds(ahead.head)),
                None => {
                    let head = durable_head(path);
                    if !expected.holds(head) {
                        let (path, got) = (path.clone(), None);
                        failed.push(Conflict { path, head, got });
                    }
                }
            }
        }
        if later {
            return Ruling::Later;
        }
        if !failed.is_empty() {
            failed.sort_by(|a, b| a.path.cmp(&b.path));
            failed.dedup_by(|a, b| a.path == b.path);
            return Ruling::Conflict(failed);
        }
        self.accept(claims, durable_head);
        Ruling::Accept
    }

    fn accept(&mut self, claims: Claims<'_>, durable_head: impl Fn(&SegmentPath) -> Sequence) {
        let group = self.forming;
        for claim in claims.segments {
            let ahead = match self.ahead.entry(claim.path.clone()) {
                Entry::Occupied(ahead) => ahead.into_mut(),
                Entry::Vacant(free) => {
                    let head = match claim.takes_next() {
                        true => durable_head(&claim.path),
                        false => Sequence(claim.first.0 - 1),
                    };
                    let is_awaited = false;
                    free.insert(PendingHead {
                        head,
                        group,
                        is_awaited,
                    })
                }
            };
            claim.first = ahead.head.next();
            (ahead.head, ahead.group) = (Sequence(ahead.head.0 + claim.count), group);
        }
        if let Some(id) = claims.id {
            self.ids.insert(id, group);
        }
    }

    /// The group is formed and under way; further transactions go into the next one. Returns its number.
    pub fn formed(&mut self) -> u64 {
        self.forming += 1;
        self.forming - 1
    }

    /// A group is durable: for segments that no later group extends, the durable head is the head again.
    pub fn landed<'a>(&mut self, group: u64, claims: impl Iterator<Item = &'a SequenceClaim>) {
        for claim in claims {
            if self.ahead.get(&claim.path).is_some_and(|ahead| ahead.group == group) {
                self.ahead.remove(&claim.path);
            }
        }
        self.ids.retain(|_, of| *of != group);
    }
}

impl PendingHead {
    /// Whether a transaction waits for it, which it does not if the head `fits`.
    fn keeps_waiting(&mut self, fits: bool) -> bool {
        self.is_awaited |= !fits;
        !fits
    }
}

#[cfg(test)]
mod tests;
