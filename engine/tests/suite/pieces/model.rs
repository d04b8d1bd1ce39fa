//! A list of all entries of a store, and what reads of it have to say.

use std::path::Path;

use streamkit_engine::*;
use uuid::Uuid;

pub(super) const STORE: StoreId = StoreId(Uuid::from_u128(7));

pub(super) fn engine(dir: &Path) -> Engine {
    Engine::open(EngineConfig {
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir)
    })
    .unwrap()
}

/// A place in the log: a transaction, and how many of its records stand before it.
pub(super) type Place = (u64, usize);

/// All that was ever committed, in log order.
#[derive(Default)]
pub(super) struct Model {
    pub(super) all: Vec<(Place, Entry)>,
    /// Which of them are readable.
    there: Vec<bool>,
    pub(super) cursors: Vec<(Place, LogCursor)>,
}

fn any_path(dice: &mut Dice) -> SegmentPath {
    let space = ["s", "t", "u"][dice.below(3) as usize];
    let segment = ["a1", "a2", "b1", "b2"][dice.below(4) as usize];
    SegmentPath::new(space, segment).unwrap()
}

fn any_record(dice: &mut Dice) -> Record {
    let size = [0, 10, 100, 3000][dice.below(4) as usize];
    let mut record = Record::new(vec![dice.below(256) as u8; size]);
    if dice.chance(2, 3) {
        let value = ["x", "y"][dice.below(2) as usize];
        record.metadata = Metadata::from_pairs([("by", value), ("for", "z")]);
    }
    record
}

impl Model {
    pub(super) async fn change(&mut self, store: &dyn Store, dice: &mut Dice) {
        let path = any_path(dice);
        let status = store.segment_status(&path).await.unwrap();
        match (dice.below(20), status) {
            (0, Some(_)) => {
                store.delete(&path).await.unwrap();
                self.remove(|entry| entry.path == path);
            }
            (1, Some(status)) => {
                let span = status.last_sequence.0 - status.first_sequence.0 + 1;
                let first = Sequence(status.first_sequence.0 + dice.below(span));
                store.trim(&path, first).await.unwrap();
                self.remove(|entry| entry.path == path && entry.sequence < first);
            }
            _ => self.append(store, dice).await,
        }
    }

    fn remove(&mut self, gone: impl Fn(&Entry) -> bool) {
        for ((_, entry), there) in self.all.iter().zip(&mut self.there) {
            *there &= !gone(entry);
        }
    }

    pub(super) async fn append(&mut self, store: &dyn Store, dice: &mut Dice) {
        let mut segments: Vec<SegmentAppend> = Vec::new();
        for _ in 0..=dice.below(3) {
            let path = any_path(dice);
            if segments.iter().any(|part| part.path == path) {
                continue;
            }
            let status = store.segment_status(&path).await.unwrap();
            let most = [1, 1, 4, 200][dice.below(4) as usize];
            segments.push(SegmentAppend {
                first_sequence: status.map_or(Sequence::FIRST, |status| status.last_sequence.next()),
                path,
                records: (0..=dice.below(most)).map(|_| any_record(dice)).collect(),
            });
        }
        let id = Uuid::from_u128(u128::from(dice.any()));
        let transaction = Transaction {
            id,
            segments: segments.clone(),
            fence: None,
            conditions: Vec::new(),
        };
        let committed = store.append(transaction).await.unwrap();
        let mut before = 0;
        for part in segments {
            for (sequence, record) in (part.first_sequence.0..).zip(part.records) {
                before += 1;
                let entry = Entry {
                    path: part.path.clone(),
                    sequence: Sequence(sequence),
                    timestamp: committed.timestamp,
                    trx: committed.trx,
                    payload: record.payload,
                    metadata: record.metadata,
                };
                self.all.push(((committed.trx.number, before), entry));
                self.there.push(true);
            }
        }
    }

    /// The readable entries that a read is of.
    pub(super) fn expected(&self, read: &PiecesRead, behind: Place) -> Vec<Entry> {
        let is_of = |(place, entry): &(Place, Entry)| match &read.source {
            ReadSource::Segment(path, from, to) => entry.path == *path && (*from..=*to).contains(&entry.sequence),
            ReadSource::Log(wanted, _) => *place > behind && wanted.iter().any(|wanted| names(wanted, &entry.path)),
        };
        let has = |entry: &Entry, (key, value): &(String, String)| entry.metadata.get(key) == Some(value);
        let passes = |entry: &Entry| {
            entry.path.segment.as_str().starts_with(&read.filter.prefix)
                && read.filter.metadata.iter().all(|pair| has(entry, pair))
                && read.time.contains(entry.timestamp)
        };
        let all = self.all.iter().zip(&self.there);
        let found = all.filter(|(place, there)| **there && is_of(place) && passes(&place.1));
        let found = found.map(|((_, entry), _)| entry);
        match read.is_backwards {
            true => limited(found.rev(), read),
            false => limited(found, read),
        }
    }

    fn place_of(&self, entry: &Entry) -> Place {
        let is = |(_, other): &&(Place, Entry)| other == entry;
        self.all.iter().find(is).expect("it was committed").0
    }

    fn any_read(&self, dice: &mut Dice) -> (PiecesRead, Place) {
        let (place, cursor) = match dice.below(1 + self.cursors.len() as u64) as usize {
            0 => ((0, 0), LogCursor::default()),
            n => self.cursors[n - 1].clone(),
        };
        let source = match dice.chance(1, 3) {
            true => {
                let from = dice.below(20);
                let to = [u64::MAX, from + dice.below(300)][dice.below(2) as usize];
                ReadSource::Segment(any_path(dice), Sequence(from), Sequence(to))
            }
            false => ReadSource::Log((0..=dice.below(4)).map(|_| any_wanted(dice)).collect(), cursor),
        };
        let mut read = PiecesRead::all(source);
        read.is_backwards = dice.chance(1, 2);
        if dice.chance(1, 3) {
            read.filter.prefix = ["a", "b1", "none"][dice.below(3) as usize].to_owned();
        }
        if dice.chance(1, 3) {
            read.filter.metadata = vec![("by".to_owned(), "x".to_owned()), ("for".to_owned(), "z".to_owned())];
        }
        if dice.chance(1, 3) {
            read.entries = dice.below(300);
        }
        if dice.chance(1, 3) {
            read.bytes = dice.below(100_000);
        }
        let times = self.all.len() as u64;
        if dice.chance(1, 4) {
            read.time.after = self.all[dice.below(times) as usize].1.timestamp;
        }
        if dice.chance(1, 4) {
            read.time.until = self.all[dice.below(times) as usize].1.timestamp;
        }
        (read, place)
    }

    pub(super) async fn check(&mut self, store: &dyn Store, dice: &mut Dice, reads: usize) {
        for _ in 0..reads {
            let (read, behind) = self.any_read(dice);
            let mut reader = store.read_pieces(read.clone());
            let mut got = Vec::new();
            while let Some(batch) = reader.next_batch().await.unwrap() {
                let entries = decoded(&batch);
                let last = entries.last().expect("a batch has entries");
                self.cursors.push((self.place_of(last), batch.cursor));
                match read.is_backwards {
                    true => got.extend(entries.into_iter().rev()),
                    false => got.extend(entries),
                }
            }
            let goes_on = matches!(read.source, ReadSource::Log(..)) && !read.is_backwards;
            let is_limited = (read.entries, read.bytes, read.time.until) != (u64::MAX, u64::MAX, TimeRange::ALL.until);
            let at_tail = (store.position(), usize::MAX);
            if goes_on && !is_limited {
                self.cursors.push((at_tail, reader.cursor()));
            }
            if dice.chance(1, 4) {
                self.cursors.push((at_tail, store.tail_cursor().await.unwrap()));
            }
            let expected = self.expected(&read, behind);
            assert!(
                got == expected,
                "{read:?} behind {behind:?}: {} of {}",
                got.len(),
                expected.len()
            );
            self.cursors.drain(..self.cursors.len().saturating_sub(200));
        }
    }
}

fn any_wanted(dice: &mut Dice) -> Wanted {
    let path = any_path(dice);
    match dice.below(3) {
        0 => Wanted::Space(path.space),
        1 => Wanted::Prefix(path.space, ["a", "b", "b2", ""][dice.below(4) as usize].to_owned()),
        _ => Wanted::Segment(path),
    }
}

fn names(wanted: &Wanted, path: &SegmentPath) -> bool {
    match wanted {
        Wanted::Segment(segment) => segment == path,
        Wanted::Space(space) => *space == path.space,
        Wanted::Prefix(space, prefix) => *space == path.space && path.segment.as_str().starts_with(prefix),
    }
}

fn limited<'a>(entries: impl Iterator<Item = &'a Entry>, read: &PiecesRead) -> Vec<Entry> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for entry in entries {
        if taken.len() as u64 >= read.entries || bytes >= read.bytes {
            break;
        }
        bytes += (entry.payload.len() + entry.metadata.encoded().len()) as u64;
        taken.push(entry.clone());
    }
    taken
}

pub(super) fn decoded(batch: &PieceBatch) -> Vec<Entry> {
    let mut entries = Vec::new();
    batch
        .pieces
        .iter()
        .for_each(|piece| piece.entries(&mut entries).unwrap());
    assert_eq!(entries.len() as u64, batch.entries);
    entries
}

pub(super) fn all_spaces(behind: LogCursor) -> PiecesRead {
    let spaces = ["s", "t", "u"].map(|space| Wanted::Space(Name::new(space).unwrap()));
    PiecesRead::all(ReadSource::Log(spaces.into(), behind))
}
