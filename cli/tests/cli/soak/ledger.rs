//! What was told of each append, to be compared with what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSegment, Entry, Error, NewRecord};

pub const SPACE: &str = "soak";

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Told {
    Stored,
    NotStored,
    /// Nothing was told, or that nobody knows.
    Unknown,
}

/// Some records that were sent together.
struct Attempt {
    segment: String,
    count: u64,
    /// Where they were to stand, if that was said.
    first: Option<u64>,
    told: Told,
}

/// All appends to all segments.
#[derive(Default)]
pub struct Ledgers(Mutex<Vec<Attempt>>);

/// The attempt and the place in it that a payload tells.
fn origin(entry: &Entry) -> (usize, u64) {
    let text = std::str::from_utf8(&entry.payload).expect("a payload of this test");
    let mut numbers = text.split(' ');
    let attempt = numbers.next().and_then(|text| text.parse().ok());
    let place = numbers.next().and_then(|text| text.parse().ok());
    attempt.zip(place).expect("a payload of this test")
}

impl Ledgers {
    /// Records that are to be sent now.
    pub fn attempt(&self, segment: &str, first: Option<u64>, count: u64) -> (usize, Vec<NewRecord>) {
        let mut all = self.0.lock().unwrap();
        let number = all.len();
        all.push(Attempt {
            segment: segment.to_owned(),
            count,
            first,
            told: Told::Unknown,
        });
        let padding = "x".repeat(number % 200);
        let records = (0..count).map(|place| NewRecord::new(format!("{number} {place} {padding}")));
        (number, records.collect())
    }

    /// The answer to it: the last sequence of what was stored.
    pub fn told(&self, number: usize, answer: Result<u64, &Error>) {
        let attempt = &mut self.0.lock().unwrap()[number];
        attempt.told = match answer {
            Ok(last) => {
                let first = last + 1 - attempt.count;
                assert_eq!(attempt.first.unwrap_or(first), first, "acknowledged elsewhere");
                attempt.first = Some(first);
                Told::Stored
            }
            Err(error) if error.is_not_stored() => Told::NotStored,
            Err(_) => Told::Unknown,
        };
    }

    /// Whether an entry is one that was sent, at its place. Which of them may be there, [`Ledgers::check`] knows.
    pub fn is_right(&self, entry: &Entry) {
        let (number, place) = origin(entry);
        let attempt = &self.0.lock().unwrap()[number];
        assert_eq!((&*entry.space, &entry.segment), (SPACE, &attempt.segment));
        assert!(place < attempt.count);
        if let Some(first) = attempt.first {
            assert_eq!(entry.sequence, first + place, "{} stands elsewhere", entry.segment);
        }
    }

    /// Reads everything: what is acknowledged is there once, where it was said; what was refused is not; of the rest each is there
    /// once and whole, or not at all.
    pub async fn check(&self, client: &Client) {
        let store = client.store(crate::program::STORE.parse().unwrap());
        let mut found = BTreeMap::<usize, u64>::new();
        let segments: BTreeSet<String> = store.segments(SPACE).await.unwrap().into_iter().collect();
        for segment in &segments {
            let mut entries = store.consume_segment(ConsumeSegment::all(SPACE, segment));
            let (mut last, mut before) = (0, None);
            while let Some(entry) = entries.try_next().await.unwrap() {
                assert_eq!((&entry.segment, entry.sequence), (segment, last + 1));
                last = entry.sequence;
                self.is_right(&entry);
                let (number, place) = origin(&entry);
                let expected = if place == 0 { None } else { Some((number, place - 1)) };
                assert!(
                    expected.is_none() || before == expected,
                    "{segment} {last}: not together"
                );
                before = Some((number, place));
                *found.entry(number).or_default() += 1;
            }
        }
        let all = self.0.lock().unwrap();
        let mut counts = BTreeMap::<&str, usize>::new();
        for (number, attempt) in all.iter().enumerate() {
            let there = found.get(&number).copied().unwrap_or(0);
            let right = match attempt.told {
                Told::Stored => there == attempt.count,
                Told::NotStored => there == 0,
                Told::Unknown => there == 0 || there == attempt.count,
            };
            let (segment, told) = (&attempt.segment, attempt.told);
            assert!(
                right,
                "{segment}: {told:?} was told of {} records, {there} are there",
                attempt.count
            );
            let kind = match (attempt.told, there > 0) {
                (Told::Stored, _) => "acknowledged",
                (Told::NotStored, _) => "refused",
                (Told::Unknown, true) => "unknown, there",
                (Told::Unknown, false) => "unknown, not there",
            };
            *counts.entry(kind).or_default() += 1;
        }
        println!("all {} appends are as they were told: {counts:?}", all.len());
    }
}
