//! What everybody was told, and when.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use streamkit_client::record::{
    Condition, Entry, Expected, Filter, LogCursor, Name, Record, SegmentAppend, SegmentPath, Sequence, Wanted,
};
use streamkit_engine::Dice;
use streamkit_torture::history::{Moment, Observation};
use streamkit_torture::record::{Origin, origin, record};
use uuid::Uuid;

use crate::grants::Grants;
use crate::sightings::{Seen, Sightings};

/// Why a promise is broken.
pub type Broken = String;

/// Segments that everybody uses: of two spaces, some with one prefix.
pub(crate) const SEGMENTS: [(&str, &str); 6] = [
    ("orders", "a-1"),
    ("orders", "a-2"),
    ("orders", "b-1"),
    ("ledger", "a-1"),
    ("ledger", "main"),
    ("orders", "b-2"),
];

/// One of them.
pub(crate) fn path(segment: usize) -> SegmentPath {
    let (space, segment) = SEGMENTS[segment];
    SegmentPath::new(space, segment).expect("a name")
}

/// Which of them it is.
pub(crate) fn segment_of(path: &SegmentPath) -> Option<usize> {
    let names = (path.space.as_str(), path.segment.as_str());
    SEGMENTS.iter().position(|&of| of == names)
}

/// Parts of the store, and what passes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Mix {
    pub parts: Vec<Wanted>,
    pub filter: Filter,
}

impl Mix {
    /// Whether entries of a segment may be of it.
    pub fn wants(&self, path: &SegmentPath) -> bool {
        let part = |wanted: &Wanted| match wanted {
            Wanted::Segment(of) => of == path,
            Wanted::Space(space) => *space == path.space,
            Wanted::Prefix(space, prefix) => *space == path.space && path.segment.as_str().starts_with(prefix),
        };
        self.parts.iter().any(part) && path.segment.as_str().starts_with(&self.filter.prefix)
    }

    /// Whether an entry is of it.
    pub fn has(&self, entry: &Entry) -> bool {
        let has = |(key, value): &(String, String)| entry.metadata.get(key) == Some(value);
        self.wants(&entry.path) && self.filter.metadata.iter().all(has)
    }
}

/// A name.
pub(crate) fn name(name: &str) -> Name {
    Name::new(name).expect("a name")
}

/// What is known of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Nobody knows.
    Open,
    /// It is there: its position, its time, the first sequence of each part.
    There(u64, i64, Vec<u64>),
    /// It is not, and will not be.
    Never(String),
}

/// What an attempt adds to a segment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub segment: usize,
    /// 0: the next one, whatever it is.
    pub first: u64,
    pub count: u32,
    pub extra: u32,
}

/// A transaction that somebody tried to append.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub id: Uuid,
    pub parts: Vec<Part>,
    pub conditions: Vec<(usize, Expected)>,
    pub called: Moment,
    /// When somebody was first told that it is there.
    pub answered: Option<Moment>,
    pub fate: Fate,
    /// The token of the lease that its producer must hold, if it must.
    pub token: Option<u64>,
    /// A call of it ended without an answer.
    pub was_unknown: bool,
    /// Somebody was told that it is new.
    pub was_new: bool,
    pub calls: u32,
}

/// What a read brought.
#[derive(Debug)]
pub(crate) struct ReadSeen {
    pub mix: Mix,
    /// Behind which entry, if not from the beginning.
    pub behind: Option<(SegmentPath, Sequence)>,
    pub newest_first: bool,
    /// In the order of the log.
    pub entries: Vec<Seen>,
    pub limit: u64,
    pub at_least: u64,
    pub called: Moment,
    /// It came to its end.
    pub is_whole: bool,
}

/// What was acknowledged up to some moment.
#[derive(Clone, Default, Debug)]
pub(crate) struct Known {
    /// How many attempts.
    pub attempts: usize,
    /// The newest position.
    pub position: u64,
    /// The heads.
    pub heads: [u64; SEGMENTS.len()],
}

/// A cursor, and the entry that it stands behind.
type Stand = (LogCursor, (SegmentPath, Sequence));

/// Cursors that are kept: older ones make reads of a long log long.
const PLACES: usize = 5_000;

/// All of it.
#[derive(Default)]
pub(crate) struct Witness {
    now: AtomicU64,
    attempts: Mutex<Vec<Attempt>>,
    observations: Mutex<Vec<(usize, Observation)>>,
    reads: Mutex<Vec<ReadSeen>>,
    sightings: Mutex<Sightings>,
    /// Cursors with the entry that they stand behind, the latest ones.
    places: Mutex<VecDeque<Stand>>,
    acknowledged: Mutex<Known>,
    grants: Mutex<Grants>,
    broken: Mutex<Vec<Broken>>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Witness {
    /// Now: later than all before.
    pub fn now(&self) -> Moment {
        self.now.fetch_add(1, Ordering::SeqCst)
    }

    pub fn attempts(&self) -> MutexGuard<'_, Vec<Attempt>> {
        locked(&self.attempts)
    }

    pub fn observations(&self) -> MutexGuard<'_, Vec<(usize, Observation)>> {
        locked(&self.observations)
    }

    pub fn reads(&self) -> MutexGuard<'_, Vec<ReadSeen>> {
        locked(&self.reads)
    }

    pub fn sightings(&self) -> MutexGuard<'_, Sightings> {
        locked(&self.sightings)
    }

    /// Somebody saw entries.
    pub fn sees(&self, entries: Vec<Entry>) -> Vec<Seen> {
        let mut sightings = self.sightings();
        entries.into_iter().map(|entry| sightings.keep(entry)).collect()
    }

    /// Somebody has a cursor, which stands behind an entry.
    pub fn has_come_to(&self, cursor: LogCursor, behind: &Entry) {
        let mut places = locked(&self.places);
        if places.len() == PLACES {
            places.pop_front();
        }
        places.push_back((cursor, (behind.path.clone(), behind.sequence)));
    }

    /// One of the cursors that somebody has; of the `latest` ones.
    pub fn place(&self, dice: &mut Dice, latest: usize) -> Option<Stand> {
        let places = locked(&self.places);
        let back = dice.below(places.len().min(latest).max(1) as u64) as usize;
        places.iter().rev().nth(back).cloned()
    }

    /// What was acknowledged up to now.
    pub fn known(&self) -> Known {
        locked(&self.acknowledged).clone()
    }

    pub fn grants(&self) -> MutexGuard<'_, Grants> {
        locked(&self.grants)
    }

    /// A promise is broken.
    pub fn breaks(&self, why: impl Into<String>) {
        locked(&self.broken).push(why.into());
    }

    pub fn broken(&self) -> Vec<Broken> {
        locked(&self.broken).clone()
    }

    /// Somebody was told a head.
    pub fn saw(&self, segment: usize, head: u64, called: Moment) {
        let answered = self.now();
        self.observations()
            .push((segment, Observation { head, called, answered }));
    }

    /// A new attempt; its number.
    pub fn attempt(&self, parts: Vec<Part>, conditions: Vec<(usize, Expected)>) -> usize {
        let called = self.now();
        let mut attempts = self.attempts();
        attempts.push(Attempt {
            id: Uuid::new_v4(),
            parts,
            conditions,
            called,
            answered: None,
            fate: Fate::Open,
            token: None,
            was_unknown: false,
            was_new: false,
            calls: 0,
        });
        attempts.len() - 1
    }

    /// The id of an attempt, the same in each retry.
    pub fn id(&self, attempt: usize) -> Uuid {
        self.attempts()[attempt].id
    }

    /// What an attempt asks for; `twist` gives it other records.
    pub fn sections(&self, attempt: usize, twist: bool) -> Vec<SegmentAppend> {
        let attempts = self.attempts();
        let parts = attempts[attempt].parts.iter().zip(0..);
        let section = |(part, number): (&Part, u32)| SegmentAppend {
            path: path(part.segment),
            first_sequence: Sequence(part.first),
            records: (0..part.count)
                .map(|index| match twist && index == 0 {
                    true => Record::new("twisted"),
                    false => record(Origin {
                        attempt: attempt as u64,
                        part: number,
                        record: index,
                        extra: part.extra,
                    }),
                })
                .collect(),
        };
        parts.map(section).collect()
    }

    /// And demands.
    pub fn conditions(&self, attempt: usize) -> Vec<Condition> {
        let of = |&(segment, expected): &(usize, Expected)| Condition {
            path: path(segment),
            expected,
        };
        self.attempts()[attempt].conditions.iter().map(of).collect()
    }

    /// An attempt is acknowledged.
    pub fn acknowledged(&self, attempt: usize, (position, time): (u64, i64), firsts: &[u64], is_known: bool) {
        let now = self.now();
        let mut attempts = self.attempts();
        let own = &mut attempts[attempt];
        let told = Fate::There(position, time, firsts.to_vec());
        let why = match &own.fate {
            Fate::Never(why) => Some(format!("was refused ({why}), and is acknowledged")),
            Fate::There(..) if own.fate != told => Some(format!("is told {told:?}, and was {:?}", own.fate)),
            _ if !is_known && own.was_new => Some("is told to be new twice".to_owned()),
            _ if own.parts.len() != firsts.len() => Some(format!("has {} parts: {firsts:?}", own.parts.len())),
            _ => {
                let demanded = own.parts.iter().zip(firsts);
                let mut wrong = demanded.filter(|(part, first)| part.first != 0 && part.first != **first);
                wrong
                    .next()
                    .map(|(part, first)| format!("demanded {part:?} and got {first}"))
            }
        };
        {
            let mut known = locked(&self.acknowledged);
            known.attempts += usize::from(own.answered.is_none());
            known.position = known.position.max(position);
            for (part, first) in own.parts.iter().zip(firsts) {
                let head = &mut known.heads[part.segment];
                *head = (*head).max(first + u64::from(part.count) - 1);
            }
        }
        own.was_new |= !is_known;
        own.answered.get_or_insert(now);
        own.fate = told;
        drop(attempts);
        if let Some(why) = why {
            self.breaks(format!("attempt {attempt} {why}"));
        }
    }

    /// An attempt is refused: the server looked, and does not have it.
    pub fn refused(&self, attempt: usize, why: &str) {
        let mut attempts = self.attempts();
        let own = &mut attempts[attempt];
        match own.fate {
            Fate::There(..) => {
                drop(attempts);
                self.breaks(format!("attempt {attempt} is there, and is refused: {why}"));
            }
            // A later call of it, or one that is still on its way, may find that what it demands holds by then.
            _ if own.is_fickle() => {}
            _ => own.fate = Fate::Never(why.to_owned()),
        }
    }

    /// An attempt is not made again: of one whose calls were all said not to be done, nothing is there.
    pub fn given_up(&self, attempt: usize) {
        let own = &mut self.attempts()[attempt];
        if own.fate == Fate::Open && !own.was_unknown {
            own.fate = Fate::Never("not done".to_owned());
        }
    }

    /// A call of it ended, and nobody knows what became of it.
    pub fn unknown(&self, attempt: usize) {
        self.attempts()[attempt].was_unknown = true;
    }
}

impl Attempt {
    /// Whether what it demands may come to hold later. Heads only grow, and those that are demanded were heads once.
    fn is_fickle(&self) -> bool {
        let exists = |(_, expected): &(usize, Expected)| *expected == Expected::Exists;
        self.conditions.iter().any(exists)
    }
}

/// Of which attempt, part and record an entry is; `None`: nobody wrote it.
pub(crate) fn written(entry: &Entry, attempts: &[Attempt]) -> Option<(usize, usize, u32)> {
    let origin = origin(entry)?;
    let attempt = attempts.get(usize::try_from(origin.attempt).ok()?)?;
    let part = attempt.parts.get(origin.part as usize)?;
    let agrees = path(part.segment) == entry.path
        && origin.record < part.count
        && origin.extra == part.extra
        && attempt.id == entry.trx.id;
    agrees.then_some((origin.attempt as usize, origin.part as usize, origin.record))
}
