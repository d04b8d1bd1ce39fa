//! One who calls: it appends to a segment of its own and to one of several, and reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use streamkit_client::*;
use streamkit_engine::Dice;

use super::ledger::{Ledgers, SPACE};

/// No call takes longer. A client waits for its timeout for a connection and again for an answer, asks once more if a read lost its
/// connection, and a publish is a peek and at least one produce; the rest is for a machine that has other things to do.
const LONGEST: Duration = Duration::from_secs(60);

/// What was done, by all callers together.
#[derive(Default)]
pub struct Tally {
    calls: AtomicU64,
    failed: AtomicU64,
    records: AtomicU64,
    read: AtomicU64,
    longest_ms: AtomicU64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Self {
            calls,
            failed,
            records,
            read,
            longest_ms,
        } = self;
        write!(
            f,
            "{} calls, {} failed, {} records acknowledged, {} entries read, the longest call {} ms",
            get(calls),
            get(failed),
            get(records),
            get(read),
            get(longest_ms)
        )
    }
}

pub struct Caller {
    own: String,
    shared: String,
    /// Of its own segment, as it was told.
    head: u64,
    /// Of how many records each attempt has that may stand behind that, or come to stand there: one of them at most.
    unknown: Vec<u64>,
    /// Its place in the space, and what it has read of each segment.
    offset: LexKey,
    heads: BTreeMap<String, u64>,
    store: StoreClient,
    ledgers: Arc<Ledgers>,
    tally: Arc<Tally>,
    dice: Dice,
}

impl Caller {
    pub fn new(number: usize, shared: usize, store: StoreClient, ledgers: Arc<Ledgers>, tally: Arc<Tally>) -> Self {
        Self {
            own: format!("own {number}"),
            shared: format!("shared {shared}"),
            head: 0,
            unknown: Vec::new(),
            offset: LexKey::default(),
            heads: BTreeMap::new(),
            store,
            ledgers,
            tally,
            dice: Dice::new(number as u64),
        }
    }

    /// Some call. An error is what the client says; what is wrong panics.
    pub async fn call(&mut self) -> Result<(), Error> {
        let (begun, tally) = (Instant::now(), self.tally.clone());
        let kind = self.dice.below(12);
        let called = async {
            match kind {
                0..4 => self.append().await,
                4 => self.publish().await,
                5..7 => self.peek().await,
                7 => self.read_own().await,
                8 => self.read_space().await,
                9 => self.status().await,
                10 => self.list().await,
                _ => self.conflict().await,
            }
        };
        let called = tokio::time::timeout(LONGEST, called).await;
        let called = called.unwrap_or_else(|_| panic!("call {kind} hangs"));
        tally.calls.fetch_add(1, Ordering::Relaxed);
        tally.failed.fetch_add(u64::from(called.is_err()), Ordering::Relaxed);
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap();
        tally.longest_ms.fetch_max(took, Ordering::Relaxed);
        called
    }

    /// The head of its own segment was found to be this: nothing acknowledged is missing, and of what is unknown all or nothing is
    /// there.
    fn found(&mut self, head: u64) {
        if head > self.head {
            let is_known = self.unknown.iter().any(|count| self.head + count == head);
            assert!(
                is_known,
                "{}: {head} behind {}, not one of {:?}",
                self.own, self.head, self.unknown
            );
            self.unknown.clear();
        }
        assert!(
            head >= self.head,
            "{}: {} was acknowledged, {head} is there",
            self.own,
            self.head
        );
        self.head = head;
    }

    async fn append(&mut self) -> Result<(), Error> {
        if !self.unknown.is_empty() {
            let last = self.store.peek(SPACE, &self.own).await?;
            self.found(last.map_or(0, |entry| entry.sequence));
        }
        let (first, count) = (self.head + 1, 1 + self.dice.below(20));
        let (number, records) = self.ledgers.attempt(&self.own, Some(first), count);
        let answer = self.store.produce_all(SPACE, &self.own, first, records).await;
        self.ledgers
            .told(number, answer.as_ref().map(|status| status.last_sequence));
        match answer {
            Ok(status) => {
                assert_eq!(status.last_sequence, self.head + count);
                (self.head, self.unknown) = (status.last_sequence, Vec::new());
                self.tally.records.fetch_add(count, Ordering::Relaxed);
                Ok(())
            }
            // Nobody else appends here: what was unknown has come to stand there after all.
            Err(Error::Conflict { head, .. }) => {
                assert!(head > self.head, "{}: {head} for {first}", self.own);
                self.found(head);
                Ok(())
            }
            Err(error) => {
                if !error.is_not_stored() {
                    self.unknown.push(count);
                }
                Err(error)
            }
        }
    }

    async fn publish(&mut self) -> Result<(), Error> {
        let (number, mut records) = self.ledgers.attempt(&self.shared, None, 1);
        let record = records.pop().expect("one");
        let answer = self.store.publish(SPACE, &self.shared, record).await;
        self.ledgers
            .told(number, answer.as_ref().map(|status| status.last_sequence));
        self.tally
            .records
            .fetch_add(u64::from(answer.is_ok()), Ordering::Relaxed);
        match answer {
            // Others were first for as long as the client waits.
            Ok(_) | Err(Error::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn peek(&mut self) -> Result<(), Error> {
        let last = self.store.peek(SPACE, &self.own).await?;
        assert!(last.as_ref().map_or(0, |entry| entry.sequence) >= self.head);
        if let Some(entry) = last {
            self.ledgers.is_right(&entry);
        }
        Ok(())
    }

    async fn read_own(&mut self) -> Result<(), Error> {
        let from = self.head.saturating_sub(self.dice.below(200)).max(1);
        let mut entries = self
            .store
            .consume_segment(ConsumeSegment::all(SPACE, &self.own).from(from));
        let mut next = from;
        while let Some(entry) = entries.try_next().await? {
            assert_eq!(entry.sequence, next);
            self.ledgers.is_right(&entry);
            next += 1;
        }
        assert!(
            next > self.head,
            "{}: it ends before {next}, and {} is acknowledged",
            self.own,
            self.head
        );
        self.tally.read.fetch_add(next - from, Ordering::Relaxed);
        Ok(())
    }

    async fn read_space(&mut self) -> Result<(), Error> {
        let mut entries = self.store.consume_space(ConsumeSpace {
            after: self.offset.clone(),
            limit: 300,
            ..ConsumeSpace::all(SPACE)
        });
        while let Some(entry) = entries.try_next().await? {
            self.ledgers.is_right(&entry);
            self.offset = entry.offset();
            let head = self.heads.entry(entry.segment).or_default();
            assert_eq!(entry.sequence, *head + 1, "a hole, or an entry that comes twice");
            *head += 1;
            self.tally.read.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn status(&mut self) -> Result<(), Error> {
        let status = self.store.status(SPACE, &self.own).await?;
        assert!(status.last_sequence >= self.head && status.entry_count == status.last_sequence);
        Ok(())
    }

    async fn list(&mut self) -> Result<(), Error> {
        let segments = self.store.segments(SPACE).await?;
        assert!(self.head == 0 || segments.contains(&self.own));
        Ok(())
    }

    /// A sequence that is not the next one is refused, and says which is.
    async fn conflict(&mut self) -> Result<(), Error> {
        let first = self.head + 1000;
        let (number, records) = self.ledgers.attempt(&self.own, Some(first), 1);
        let answer = self.store.produce_all(SPACE, &self.own, first, records).await;
        self.ledgers
            .told(number, answer.as_ref().map(|status| status.last_sequence));
        match answer {
            Ok(_) => panic!("{}: {first} was stored, and {} is the head", self.own, self.head),
            Err(Error::Conflict { head, got }) => {
                assert!(got == first && head >= self.head);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
