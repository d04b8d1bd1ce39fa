//! Verbs over a transport in memory: a peer that is a list of records, and answers that are a list of lines.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use streamkit_engine::{
    Committed, Engine, EngineConfig, Entry, Lease, Name, Record, SegmentPath, SegmentRead, SegmentStatus, Sequence,
    Store, StoreId, Stores, Timestamp,
};
use uuid::Uuid;

use super::*;
use crate::budgets::{Budgets, Ended, Reads, Room, Share};
use crate::limits::Limits;
use crate::live::{InProcess, Interest, Present};
use crate::stores::OpenStores;

/// What comes, one after the other.
struct Peer(VecDeque<Next>);

impl Records for Peer {
    type Error = Failure;

    async fn next(&mut self, _: Awaited<'_>) -> Result<Next, Failure> {
        self.0.pop_front().ok_or(Failure::PeerEnded)
    }

    async fn sign_of_life(&mut self) -> Result<SignOfLife, Failure> {
        std::future::pending().await
    }

    async fn ended(&mut self) -> Failure {
        std::future::pending().await
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Answers for Lines {
    type Batch = Vec<String>;

    fn batch(&self) -> Vec<String> {
        Vec::new()
    }

    async fn has_room(&self) -> Result<(), Ended> {
        Ok(())
    }

    fn is_roomy(&self) -> bool {
        true
    }

    async fn send_of(&self, batch: Vec<String>, _: Share) -> Result<(), Ended> {
        self.send(batch).await
    }

    async fn send(&self, batch: Vec<String>) -> Result<(), Ended> {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }

    async fn acknowledge(&self, batch: Vec<String>) -> Result<(), Failure> {
        Ok(self.send(batch).await?)
    }
}

impl Batch for Vec<String> {
    fn entry(&mut self, entry: &Entry) -> Result<(), DoesNotFit> {
        if entry.payload.len() > 10 {
            return Err(DoesNotFit);
        }
        self.push(format!("entry {}", entry.sequence));
        Ok(())
    }

    fn no_entry(&mut self, path: &SegmentPath) {
        self.push(format!("no entry of {path}"));
    }

    fn status(&mut self, status: &SegmentStatus) {
        self.push(format!("head {}", status.last_sequence));
    }

    fn committed(&mut self, committed: &Committed, _: &[u64]) {
        for status in &committed.segments {
            self.status(status);
        }
    }

    fn name(&mut self, name: &Name) {
        self.push(name.to_string());
    }

    fn totals(&mut self, totals: &Totals) {
        self.push(format!("{} entries", totals.entry_count));
    }

    fn heartbeat(&mut self, of: &Interest) {
        self.push(format!("nothing new of {}", of.space));
    }

    fn inventory(&mut self, workers: &[Present], _: Timestamp) {
        self.push(format!("{} workers", workers.len()));
    }

    fn sign_of_life(&mut self, worker: Uuid, _: Timestamp) {
        self.push(format!("hears of {worker}"));
    }

    fn lease(&mut self, lease: Option<&Lease>) {
        self.push(format!("lease of {:?}", lease.map(|lease| lease.holder.to_string())));
    }

    fn len(&self) -> usize {
        0
    }

    fn capacity(&self) -> usize {
        0
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

struct Call {
    store: Arc<dyn Store>,
    out: Outgoing<Lines>,
    lines: Lines,
    live: Live,
    metrics: Arc<Metrics>,
    _dir: tempfile::TempDir,
}

impl Call {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
        let id = StoreId(uuid::Uuid::from_u128(1));
        let engine = engine.unwrap().unwrap();
        let store = engine.store(id).await.unwrap();
        let (limits, lines) = (Limits::default(), Lines::default());
        let stores = Arc::new(OpenStores::new(Arc::new(engine), &limits));
        let metrics = Arc::new(Metrics::new());
        let reads = Reads::new(&limits, Arc::new(Budgets::new(&limits)));
        Self {
            store,
            out: Outgoing::new(id, lines.clone(), reads),
            lines,
            live: Live::new(stores, Arc::new(InProcess::default()), None, metrics.clone()),
            metrics,
            _dir: dir,
        }
    }

    /// What is answered to a verb, and how it ends.
    async fn run(&self, verb: Verb, comes: impl IntoIterator<Item = Next>) -> (Vec<String>, Result<(), Failure>) {
        let mut peer = Peer(comes.into_iter().collect());
        let done = run(
            verb,
            self.store.clone(),
            &mut peer,
            &self.out,
            (&self.live, &*self.metrics),
        )
        .await;
        (std::mem::take(&mut self.lines.0.lock().unwrap()), done)
    }
}

fn path() -> SegmentPath {
    SegmentPath::new("s", "a").unwrap()
}

fn record(sequence: u64, payload: &'static str) -> Next {
    Next::Record(ReceivedRecord {
        sequence: Sequence(sequence),
        record: Record::new(payload),
        room: Room::default(),
    })
}

#[tokio::test]
async fn one_commit_for_each_chunk_and_a_gap_discards_the_open_one() {
    let call = Call::new().await;
    let comes = [record(1, "a"), record(2, "b"), Next::Crowded, record(3, "c"), Next::End];
    let (answers, done) = call.run(Verb::Append(path()), comes).await;
    assert_eq!(answers, ["head 2", "head 3"]);
    assert!(done.is_ok());
    // Where nothing overtakes anything, what is not the next is never kept.
    let comes = [record(4, "d"), record(6, "f"), record(5, "e"), Next::End];
    let (answers, done) = call.run(Verb::Append(path()), comes).await;
    let (expected, got) = (Sequence(5), Sequence(6));
    assert!(answers.is_empty());
    assert!(matches!(done, Err(Failure::Conflict { expected: e, got: g }) if (e, g) == (expected, got)));
    let (answers, _) = call.run(Verb::Peek(path()), []).await;
    assert_eq!(answers, ["entry 3"]);
}

#[tokio::test]
async fn an_entry_that_fits_in_no_message_ends_a_read_behind_those_before_it() {
    let call = Call::new().await;
    let comes = [record(1, "small"), record(2, "much too large"), Next::End];
    assert!(call.run(Verb::Append(path()), comes).await.1.is_ok());
    let (answers, done) = call.run(Verb::ReadSegment(SegmentRead::all(path())), []).await;
    assert_eq!(answers, ["entry 1"]);
    assert!(matches!(done, Err(Failure::DoesNotFit(_, Sequence(2)))));
}

#[tokio::test]
async fn what_is_not_there_is_told_in_no_words() {
    let call = Call::new().await;
    let (_, done) = call.run(Verb::Delete(path()), []).await;
    assert!(matches!(done, Err(Failure::NoSuchSegment(which)) if which == path()));
    let (answers, _) = call.run(Verb::Peek(path()), []).await;
    assert_eq!(answers, ["no entry of s/a"]);
    let (answers, _) = call.run(Verb::Status(Within::Segment(path())), []).await;
    assert_eq!(answers, ["0 entries"]);
}
