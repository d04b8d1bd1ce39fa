//! What an engine counts for whoever watches it.

use std::sync::Arc;

use crate::boundary::figures::Distribution;
use crate::simulation::{Fault, Faults, Simulated};
use crate::*;

fn total(distribution: &Distribution) -> u64 {
    distribution.counts.iter().sum()
}

#[test]
fn commits_are_counted_in_groups_and_times_and_a_store_that_gives_way_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        open_stores: 1,
        ..EngineConfig::new(dir.path())
    };
    let engine = Engine::open(config).unwrap();
    let before = engine.figures().unwrap();
    assert_eq!(
        (before.open_stores, before.log_bytes, total(&before.commit_nanos)),
        (0, 0, 0)
    );
    let path = SegmentPath::new("space", "segment").unwrap();
    let store = engine.open_store(StoreId(uuid::Uuid::from_u128(1))).unwrap();
    for sequence in 1..=10 {
        let transaction = Transaction::single(path.clone(), Sequence(sequence), vec![Record::new("x")]);
        store.append_blocking(transaction).unwrap();
    }
    let conflicting = Transaction::single(path, Sequence(5), vec![Record::new("y")]);
    store.append_blocking(conflicting).unwrap_err();
    let after = engine.figures().unwrap();
    assert_eq!(total(&after.commit_nanos), 10, "what is refused is no commit");
    assert_eq!(after.group_transactions.sum, 11, "the first group opens the log");
    assert_eq!(total(&after.sync_nanos), total(&after.group_transactions));
    assert!(after.sync_nanos.sum > 0 && after.written_bytes > 0 && after.log_bytes >= after.written_bytes);
    let now = (
        after.open_stores,
        after.halted_stores,
        after.queued_transactions,
        after.sync_errors,
    );
    assert_eq!(now, (1, 0, 0, 0));
    drop(store);
    engine.open_store(StoreId(uuid::Uuid::from_u128(2))).unwrap();
    let gave_way = engine.figures().unwrap();
    assert_eq!((gave_way.evicted_stores, gave_way.open_stores), (1, 1));
}

#[test]
fn a_write_that_fails_is_an_error_of_sync_and_its_store_is_halted() {
    let disk = Simulated::new(1);
    let engine = Engine::open(EngineConfig {
        disk: Arc::new(disk.clone()),
        extent_bytes: limits::EXTENT_BYTES_MIN,
        keep_free_bytes: 0,
        ..EngineConfig::new("/data")
    });
    let engine = engine.unwrap();
    let store = engine.open_store(StoreId(uuid::Uuid::from_u128(1))).unwrap();
    let path = SegmentPath::new("space", "segment").unwrap();
    let append = |sequence| {
        let transaction = Transaction::single(path.clone(), Sequence(sequence), vec![Record::new("x")]);
        store.append_blocking(transaction)
    };
    append(1).unwrap();
    let mut next = 2;
    loop {
        disk.set_faults(Faults {
            at: Some((disk.calls(), Fault::Device, false)),
            ..Faults::default()
        });
        if append(next).is_err() {
            break;
        }
        // The fault met what is done beside the commits.
        next += 1;
    }
    append(next).unwrap_err();
    let figures = engine.figures().unwrap();
    assert_eq!((figures.sync_errors, figures.halted_stores), (1, 1));
}
