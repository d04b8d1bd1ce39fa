//! Real threads on a real disk: the answers about each segment could have happened one after the other. Producers race
//! for the same sequences; readers peek, read and ask for the status.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use streamkit_engine::{
    AppendError, CommitMethod, Condition, Dice, Engine, EngineConfig, Expected, LocalStore, Record, Rejection,
    SegmentAppend, SegmentPath, SegmentRead, Sequence, Store, StoreId, Stores, Transaction,
};
use streamkit_torture::history::{Append, History, Moment, Observation};

const SEGMENTS: usize = 3;
const PRODUCERS: u64 = 8;
const READERS: u64 = 4;
const CALLS: u64 = 400;

fn path(segment: usize) -> SegmentPath {
    SegmentPath::new("s", &format!("segment-{segment}")).expect("a name")
}

/// What happened so far, and what time it is: each question for it is later than all before.
#[derive(Default)]
struct Witness {
    now: AtomicU64,
    histories: Mutex<[History; SEGMENTS]>,
}

impl Witness {
    fn now(&self) -> Moment {
        self.now.fetch_add(1, Ordering::SeqCst)
    }

    fn saw(&self, segment: usize, head: u64, called: Moment) {
        let answered = self.now();
        let observation = Observation { head, called, answered };
        self.histories.lock().expect("no thread panicked")[segment]
            .observations
            .push(observation);
    }

    fn appended(&self, segment: usize, (after, head): (u64, u64), called: Moment, answered: Option<Moment>) {
        let append = Append {
            after,
            head,
            called,
            answered,
        };
        self.histories.lock().expect("no thread panicked")[segment]
            .appends
            .push(append);
    }
}

/// Appends behind the head it knows of, and learns the head from its conflicts.
fn produce(runtime: &tokio::runtime::Handle, store: &LocalStore, witness: &Witness, number: u64) {
    let mut dice = Dice::new(number);
    let mut heads = [0; SEGMENTS];
    for _ in 0..CALLS {
        let segment = dice.below(SEGMENTS as u64) as usize;
        let (after, count) = (heads[segment], 1 + dice.below(3));
        let records = (0..count)
            .map(|_| Record::new(vec![7; dice.below(600) as usize]))
            .collect();
        let takes_next = dice.chance(1, 4);
        let first = match takes_next {
            true => SegmentAppend::NEXT,
            false => Sequence(after + 1),
        };
        // Of another segment, or of its own.
        let other = dice.below(SEGMENTS as u64) as usize;
        let demand = dice.chance(1, 3).then(|| Condition {
            path: path(other),
            expected: Expected::Head(Sequence(heads[other])),
        });
        let demands = demand.is_some();
        let transaction = Transaction::single(path(segment), first, records).under(demand.into_iter().collect());
        let called = witness.now();
        let outcome = match number % 2 {
            0 => store.append_blocking(transaction),
            _ => runtime.block_on(store.append(transaction)),
        };
        match outcome {
            Ok(committed) => {
                let answered = witness.now();
                if demands {
                    witness.saw(other, heads[other], called);
                }
                let last = committed.segments[0].last_sequence.0;
                assert!(takes_next || last == after + count);
                let after = last - count;
                heads[segment] = last;
                witness.appended(segment, (after, after + count), called, Some(answered));
            }
            Err(AppendError::Rejected(Rejection::Conflict { head, .. })) => {
                heads[segment] = head.0;
                witness.saw(segment, head.0, called);
            }
            Err(AppendError::Rejected(Rejection::Conflicts(conflicts))) => {
                assert!(demands && !conflicts.is_empty());
                for conflict in conflicts {
                    let number = (0..SEGMENTS).find(|&number| path(number) == conflict.path);
                    let segment = number.expect("one that was asked for");
                    heads[segment] = conflict.head.0;
                    witness.saw(segment, conflict.head.0, called);
                }
            }
            Err(error) => panic!("no reason to refuse: {error}"),
        }
    }
}

async fn observe(store: &LocalStore, witness: &Witness, number: u64, ended: &AtomicBool) {
    let mut dice = Dice::new(1000 + number);
    while !ended.load(Ordering::Relaxed) {
        let segment = dice.below(SEGMENTS as u64) as usize;
        let called = witness.now();
        let head = match dice.below(3) {
            0 => {
                let entry = store.peek(&path(segment)).await.expect("nothing is damaged");
                entry.map_or(0, |entry| entry.sequence.0)
            }
            1 => {
                let status = store.segment_status(&path(segment)).await.expect("nothing is damaged");
                status.map_or(0, |status| status.last_sequence.0)
            }
            _ => {
                let mut reader = store.read_segment(SegmentRead::all(path(segment)));
                let mut head = 0;
                while let Some(batch) = reader.next_batch().await.expect("nothing is damaged") {
                    for entry in batch {
                        head += 1;
                        assert_eq!(entry.sequence, Sequence(head));
                    }
                }
                head
            }
        };
        witness.saw(segment, head, called);
    }
}

fn race(dir: &Path, method: CommitMethod) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .expect("a runtime");
    let engine = Engine::open(EngineConfig {
        extent_bytes: 1 << 20,
        commit_method: method,
        ..EngineConfig::new(dir)
    });
    let engine = engine.expect("an empty folder");
    let store = engine
        .open_store(StoreId(uuid::Uuid::from_u128(1)))
        .expect("an empty store");
    let (witness, ended) = (Arc::new(Witness::default()), Arc::new(AtomicBool::new(false)));
    let readers: Vec<_> = (0..READERS)
        .map(|number| {
            let (store, witness, ended) = (store.clone(), Arc::clone(&witness), Arc::clone(&ended));
            runtime.spawn(async move { observe(&store, &witness, number, &ended).await })
        })
        .collect();
    std::thread::scope(|scope| {
        for number in 0..PRODUCERS {
            let (handle, store, witness) = (runtime.handle(), &store, &witness);
            scope.spawn(move || produce(handle, store, witness, number));
        }
    });
    ended.store(true, Ordering::Relaxed);
    for reader in readers {
        runtime.block_on(reader).expect("no reader panicked");
    }
    let histories = witness.histories.lock().expect("no thread panicked").clone();
    for (segment, history) in histories.iter().enumerate() {
        assert!(
            history.appends.len() > 50 && history.observations.len() > 50,
            "or nothing was tested here"
        );
        history
            .check()
            .unwrap_or_else(|violation| panic!("segment {segment}: {violation}"));
    }
    runtime.block_on(engine.close());
}

#[test]
fn what_many_threads_are_told_could_have_happened_one_after_the_other() {
    for method in [CommitMethod::Auto, CommitMethod::Threads] {
        let dir = tempfile::tempdir().expect("a folder");
        race(dir.path(), method);
    }
}
