//! Single steps of a log, over a storage that answers at once: what a simulation of many hosts does not single out.

use std::time::Duration;

use bytes::Bytes;
use streamkit_engine::Timestamp;
use uuid::Uuid;

use crate::log::{
    Action, Boot, Call, CallId, CallerId, Checkpoint, CheckpointAt, Event, Failure, LogState, Now, Outcome, Place,
    Said, Settings, SharedLog, StoreRoot, Why,
};
use crate::medium::{Inserted, RowsEnd, SlotNumber, Unanswered};
use crate::simulation::heads::{Entry, Heads, Stored};
use crate::simulation::storage::{Step, Storage, Work};

/// A log, and what it waits for.
struct Rig {
    log: SharedLog<Heads>,
    storage: Storage,
    millis: u64,
    calls: Vec<(CallId, Call)>,
    told: Vec<(CallerId, Told)>,
}

#[derive(Debug, PartialEq)]
enum Told {
    Durable(Stored),
    Refused,
    NotStored(Why),
    Unknown(Why),
    Looked(Result<(), Why>),
}

const CLOCK: i64 = 1_000_000;

impl Rig {
    fn new(settings: Settings) -> Self {
        let boot = Boot {
            host: Uuid::from_u128(1),
            boot: Uuid::from_u128(1 << 64),
        };
        Self {
            log: SharedLog::new(settings, (), boot, 1),
            storage: Storage::default(),
            millis: 0,
            calls: Vec::new(),
            told: Vec::new(),
        }
    }

    fn open(settings: Settings) -> Self {
        let mut rig = Self::new(settings);
        rig.step(Event::Open);
        rig.serve();
        assert_eq!(rig.log.state(), LogState::Idle);
        rig
    }

    fn step(&mut self, event: Event<Entry>) {
        let now = Now {
            uptime: Duration::from_millis(self.millis),
            wall: Timestamp(CLOCK + self.millis as i64),
        };
        for action in self.log.step(now, event) {
            match action {
                Action::Call(id, call) => self.calls.push((id, call)),
                Action::Answer(caller, Outcome::Durable(stored)) => self.told.push((caller, Told::Durable(stored))),
                Action::Answer(caller, Outcome::Refused(_)) => self.told.push((caller, Told::Refused)),
                Action::Answer(caller, Outcome::NotStored(why)) => self.told.push((caller, Told::NotStored(why))),
                Action::Answer(caller, Outcome::Unknown(_, why)) => self.told.push((caller, Told::Unknown(why))),
                Action::Looked(caller, result) => self.told.push((caller, Told::Looked(result))),
                Action::Hint(_) | Action::Left => {}
            }
        }
    }

    fn carry_out(&mut self, call: Call) -> Said {
        let mut work = Work::new(call);
        loop {
            match self.storage.step(work, 100, Timestamp(CLOCK + self.millis as i64)) {
                Step::Done(said) => return said,
                Step::More(more) => work = more,
            }
        }
    }

    /// The storage answers, until nothing is asked.
    fn serve(&mut self) {
        self.serve_calls(10_000);
        assert!(self.calls.is_empty(), "it asks without end");
    }

    /// The storage answers, so often at most.
    fn serve_calls(&mut self, most: usize) {
        for _ in 0..most {
            if self.calls.is_empty() {
                return;
            }
            let (id, call) = self.calls.remove(0);
            let said = self.carry_out(call);
            self.step(Event::Said(id, Ok(said)));
        }
    }

    fn ask(&mut self, caller: u64, deadline_millis: u64) {
        let entry = Entry {
            id: Uuid::from_u128(caller.into()),
            segment: 0,
            sequence: None,
            padding: 10,
        };
        let deadline = Duration::from_millis(deadline_millis);
        self.step(Event::Ask(CallerId(caller), entry, deadline));
    }

    /// The one call that is under way, which is an insert.
    fn insert(&mut self) -> (CallId, Call) {
        let call = self.calls.pop().expect("a call");
        assert!(
            matches!(call.1, Call::InsertAt(..)) && self.calls.is_empty(),
            "{call:?}"
        );
        call
    }

    fn said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        self.step(Event::Said(call, said));
    }

    fn fail_with(&self) -> Option<Failure> {
        let why = self.told.iter().find_map(|(_, told)| match told {
            Told::NotStored(Why::Failed(failure)) | Told::Unknown(Why::Failed(failure)) => Some(failure.clone()),
            _ => None,
        });
        assert_eq!(self.log.state(), LogState::Failed);
        why
    }
}

fn unknown() -> Result<Said, Unanswered> {
    Err(Unanswered::Unknown("500".to_owned()))
}

#[test]
fn what_is_asked_for_is_durable_behind_one_insert() {
    let mut rig = Rig::open(Settings::default());
    rig.ask(1, 1000);
    let (call, insert) = rig.insert();
    assert_eq!(rig.log.state(), LogState::InFlight);
    let said = rig.carry_out(insert);
    rig.said(call, Ok(said));
    let stored = Stored {
        segment: 0,
        sequence: 1,
        number: 1,
    };
    assert_eq!(rig.told, [(CallerId(1), Told::Durable(stored))]);
    rig.ask(1, 1000);
    assert_eq!(
        rig.told[1].1,
        Told::Durable(stored),
        "the same transaction has its old answer"
    );
    assert!(rig.calls.is_empty());
}

#[test]
fn a_late_answer_is_hedged_with_the_same_bytes_and_the_first_definite_one_counts() {
    let mut rig = Rig::open(Settings::default());
    rig.ask(1, 10_000);
    let (first, insert) = rig.insert();
    let wakes = rig.log.wakes().expect("for the hedge");
    rig.millis = wakes.as_millis() as u64;
    rig.step(Event::Tick);
    let (hedge, again) = rig.insert();
    assert_eq!(insert, again);
    // The first one fails with an unknown outcome, and nothing is sent while the hedge is under way.
    rig.said(first, unknown());
    rig.millis += 5_000;
    rig.step(Event::Tick);
    assert!(rig.calls.is_empty());
    rig.carry_out(insert);
    let said = rig.carry_out(again);
    assert_eq!(said, Said::Inserted(Inserted::Taken));
    rig.said(hedge, Ok(said));
    assert!(rig.told.is_empty(), "taken proves nothing");
    rig.serve();
    assert!(matches!(rig.told[0].1, Told::Durable(_)), "{:?}", rig.told);
}

#[test]
fn an_unknown_outcome_is_sent_again_and_told_at_the_deadline_with_its_id() {
    let mut rig = Rig::open(Settings::default());
    rig.ask(1, 300);
    let (_, insert) = rig.calls[0].clone();
    for _ in 0..20 {
        while let Some((call, again)) = rig.calls.pop() {
            assert_eq!(again, insert);
            rig.said(call, unknown());
        }
        rig.millis = rig.log.wakes().map_or(rig.millis, |wakes| wakes.as_millis() as u64 + 1);
        rig.step(Event::Tick);
    }
    assert_eq!(rig.told, [(CallerId(1), Told::Unknown(Why::Late))]);
    assert_eq!(rig.log.state(), LogState::InFlight, "it stays pinned");
    // Whoever asks again learns what became of it.
    rig.ask(1, u64::MAX);
    rig.serve();
    assert!(matches!(rig.told[1].1, Told::Durable(_)), "{:?}", rig.told);
}

#[test]
fn a_caller_who_leaves_takes_back_what_is_not_pinned_and_nothing_else() {
    let mut rig = Rig::open(Settings::default());
    rig.ask(1, 10_000);
    rig.ask(2, 10_000);
    rig.step(Event::Forget(CallerId(1)));
    rig.step(Event::Forget(CallerId(2)));
    rig.serve();
    assert!(rig.told.is_empty());
    assert_eq!(rig.log.ledger().map(|ledger| ledger.count), Some(1));
}

#[test]
fn too_many_who_wait_are_turned_away() {
    let settings = Settings {
        waiting_callers: 2,
        ..Settings::default()
    };
    let mut rig = Rig::open(settings);
    for caller in 1..=3 {
        rig.ask(caller, 10_000);
    }
    assert_eq!(rig.told, [(CallerId(3), Told::NotStored(Why::Full { after: None }))]);
    let settings = Settings {
        waiting_bytes: 100,
        ..Settings::default()
    };
    let mut rig = Rig::open(settings);
    for caller in 1..=2 {
        rig.ask(caller, 10_000);
    }
    assert_eq!(rig.told, [(CallerId(2), Told::NotStored(Why::Full { after: None }))]);
    rig.serve();
    rig.ask(3, 10_000);
    rig.serve();
    assert!(matches!(rig.told[2].1, Told::Durable(_)), "there is room again");
}

#[test]
fn a_call_that_the_storage_will_never_take_ends_the_log() {
    let mut rig = Rig::open(Settings::default());
    rig.ask(1, 10_000);
    rig.ask(2, 10_000);
    let (call, _) = rig.insert();
    let failure = Failure::Refused("413".to_owned());
    rig.said(call, Err(Unanswered::Refused("413".to_owned())));
    assert_eq!(rig.fail_with(), Some(failure.clone()));
    rig.ask(3, 10_000);
    let failed = || Why::Failed(failure.clone());
    let told = [
        (CallerId(2), Told::NotStored(failed())),
        (CallerId(1), Told::Unknown(failed())),
        (CallerId(3), Told::NotStored(failed())),
    ];
    assert_eq!(rig.told, told);
    assert_eq!(rig.log.wakes(), None);
}

#[test]
fn a_storage_that_has_gone_back_behind_a_checkpoint_is_refused() {
    for (lost, goes) in [(1, true), (0, false)] {
        let mut before = Rig::open(Settings::default());
        for caller in 1..=3 {
            before.ask(caller, 10_000);
            before.serve();
        }
        let checkpoint = before.log.checkpoint().expect("it is open");
        let mut rig = Rig::new(Settings::default());
        rig.storage = before.storage;
        with_checkpoint(&mut rig.storage, &checkpoint);
        let table = rig.storage.extents.values_mut().next().expect("an extent");
        for _ in 0..lost {
            table.slots.pop_last();
        }
        rig.step(Event::Open);
        rig.ask(4, 10_000);
        rig.serve();
        match goes {
            true => assert_eq!(rig.fail_with(), Some(Failure::WentBack)),
            false => assert!(matches!(rig.told[0].1, Told::Durable(_)), "{:?}", rig.told),
        }
    }
}

fn with_checkpoint(storage: &mut Storage, checkpoint: &Checkpoint) {
    let root = storage.root.as_mut().expect("a root");
    let mut changed = StoreRoot::decode(&root.bytes).expect("a root");
    let at = CheckpointAt {
        blob: Uuid::from_u128(77),
        place: checkpoint.place,
    };
    changed.checkpoint = Some(at);
    root.bytes = changed.encode();
    storage.blobs.insert(at.blob_name(), checkpoint.encode());
}

#[test]
fn bytes_that_are_no_group_end_the_log_and_not_the_stream() {
    let mut rig = Rig::open(Settings::default());
    let table = rig.storage.extents.values_mut().next().expect("an extent");
    table.slots.insert(SlotNumber::FIRST, Bytes::from_static(b"anything"));
    rig.step(Event::Look(CallerId(1), Duration::from_secs(10)));
    rig.serve();
    let told = &rig.told[0].1;
    assert!(
        matches!(told, Told::Looked(Err(Why::Failed(Failure::Damaged(_))))),
        "{told:?}"
    );
}

/// Serves, and lets time pass, until the log has failed with damage.
fn assert_damaged(rig: &mut Rig) -> String {
    for _ in 0..100 {
        rig.serve_calls(1000);
        rig.millis = rig.log.wakes().map_or(rig.millis, |wakes| wakes.as_millis() as u64 + 1);
        rig.step(Event::Tick);
    }
    match rig.told.pop() {
        Some((_, Told::Looked(Err(Why::Failed(Failure::Damaged(what)))))) => what,
        told => panic!("{told:?}"),
    }
}

#[test]
fn a_root_that_leads_nowhere_is_damage_after_some_rounds() {
    let mut rig = Rig::open(Settings::default());
    let extent = *rig.storage.extents.keys().next().expect("an extent");
    rig.storage.extents.get_mut(&extent).expect("it is there").header = false;
    rig.step(Event::Look(CallerId(1), Duration::from_secs(1000)));
    assert!(assert_damaged(&mut rig).contains("header"));
}

#[test]
fn a_checkpoint_that_is_not_there_is_damage_unless_another_one_took_its_place() {
    let mut rig = Rig::open(Settings::default());
    let at = CheckpointAt {
        blob: Uuid::from_u128(77),
        place: rig.log.place().expect("it is open"),
    };
    let storage_root = rig.storage.root.as_mut().expect("it is there");
    let mut root = StoreRoot::decode(&storage_root.bytes).expect("a root");
    root.checkpoint = Some(at);
    storage_root.bytes = root.encode();
    let mut fresh = Rig::new(Settings::default());
    fresh.storage = std::mem::take(&mut rig.storage);
    fresh.step(Event::Open);
    fresh.step(Event::Look(CallerId(1), Duration::from_secs(1000)));
    assert!(assert_damaged(&mut fresh).contains("checkpoint"));
}

#[test]
fn a_slot_that_is_not_there_is_damage_as_soon_as_later_ones_prove_that_it_was() {
    for depth in [1, 3] {
        let settings = Settings {
            depth,
            ..Settings::default()
        };
        let mut rig = Rig::open(settings);
        for caller in 1..=6 {
            rig.ask(caller, 10_000);
            rig.serve();
        }
        // Of as many as may be pinned at a time, the first may be the last to come.
        let table = rig.storage.extents.values_mut().next().expect("an extent");
        let last = *table.slots.keys().next_back().expect("slots");
        let (lost, proof) = (
            SlotNumber(last.0 - depth as u64),
            table.slots.remove(&last).expect("it is"),
        );
        table.slots.remove(&lost);
        let mut fresh = Rig::new(settings);
        fresh.storage = std::mem::take(&mut rig.storage);
        fresh.step(Event::Open);
        fresh.step(Event::Look(CallerId(1), Duration::from_secs(1000)));
        fresh.serve();
        assert_eq!(fresh.told.pop(), Some((CallerId(1), Told::Looked(Ok(())))), "{depth}");
        let table = fresh.storage.extents.values_mut().next().expect("an extent");
        table.slots.insert(last, proof);
        fresh.step(Event::Look(CallerId(2), Duration::from_secs(1000)));
        assert!(assert_damaged(&mut fresh).contains(&format!("slot {lost}")));
    }
}

#[test]
fn a_look_shares_no_read_that_began_before_it() {
    let mut rig = Rig::open(Settings::default());
    rig.step(Event::Look(CallerId(1), Duration::from_secs(10)));
    let (first, read) = rig.calls.pop().expect("a read");
    rig.step(Event::Look(CallerId(2), Duration::from_secs(10)));
    assert!(rig.calls.is_empty(), "one read at a time");
    let said = rig.carry_out(read);
    assert!(matches!(&said, Said::Rows(rows) if rows.end == RowsEnd::Header));
    rig.said(first, Ok(said));
    assert_eq!(rig.told, [(CallerId(1), Told::Looked(Ok(())))]);
    rig.serve();
    assert_eq!(rig.told[1], (CallerId(2), Told::Looked(Ok(()))));
}

#[test]
fn a_seal_is_sent_once_the_extent_that_it_names_is_there() {
    let settings = Settings {
        extent_slots: 2,
        ..Settings::default()
    };
    let mut rig = Rig::open(settings);
    let begin = rig.log.place().expect("it is open");
    assert_eq!((begin.ordinal, begin.slot), (1, SlotNumber::FIRST));
    for caller in 1..=5 {
        rig.ask(caller, 10_000);
        rig.serve();
    }
    assert_eq!(rig.told.len(), 5);
    let place = rig.log.place().expect("it is open");
    assert_eq!(place, Place { ordinal: 3, ..place });
    assert!(rig.storage.extents.len() >= 3);
}

#[test]
fn a_group_that_has_landed_is_acknowledged_as_soon_as_a_look_has_told_of_the_one_before_it() {
    let mut rig = Rig::open(Settings {
        depth: 2,
        ..Settings::default()
    });
    rig.ask(1, 10_000);
    rig.ask(2, 10_000);
    let (second, first) = (rig.calls.pop().unwrap(), rig.calls.pop().unwrap());
    rig.carry_out(first.1);
    rig.said(first.0, Ok(Said::Inserted(Inserted::Taken)));
    let (look, read) = rig.calls.pop().expect("a look");
    let rows = rig.carry_out(read);
    let landed = rig.carry_out(second.1);
    rig.said(second.0, Ok(landed));
    assert!(rig.told.is_empty());
    rig.said(look, Ok(rows));
    let told: Vec<_> = rig
        .told
        .iter()
        .map(|(caller, told)| (caller.0, matches!(told, Told::Durable(_))))
        .collect();
    assert_eq!(told, [(1, true), (2, true)]);
}
