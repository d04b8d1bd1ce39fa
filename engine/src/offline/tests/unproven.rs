//! Transactions that are whole, in groups that are not.

use super::*;
use crate::clock::Clock;
use crate::format::extent_header::ExtentHeader;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader};

const ALSO_UNPROVEN: RepairOptions = RepairOptions {
    keep: Keep::Newest,
    take_unproven: true,
};

/// A history with a group of many transactions in a sealed extent, that extent, and where the group ends.
fn of_many(seed: u64) -> Option<(History, u64, usize)> {
    let history = history(seed);
    let (number, end) = (1..3).find_map(|number| {
        let bytes = &history.disk.files()[&extent(number)];
        let salt = ExtentHeader::decode(bytes).unwrap().salt;
        memchr::memmem::find_iter(bytes, &GROUP_MAGIC).find_map(|at| {
            let header = GroupHeader::decode(salt, &bytes[at..]).ok()?;
            let end = at + GROUP_HEADER_BYTES + header.body_bytes as usize;
            (header.transaction_count >= 4).then_some((number, end))
        })
    })?;
    Some((history, number, end))
}

#[test]
fn whole_transactions_of_a_damaged_group_are_taken_only_when_asked_for() {
    // How many transactions come together is decided by threads.
    let (history, number, end) = (40..400).find_map(of_many).unwrap();
    let disk = history.disk.copy();
    disk.damage(&extent(number), |bytes| bytes[end - 10] ^= 1);
    let (proven, _) = check_repair(&history, &disk.copy(), Keep::Newest, "proven");
    let all = repaired(&disk, "/target", ALSO_UNPROVEN);
    let of = |report: &RepairReport| {
        let damage = &report.stores[0].damage[0];
        let lost: u64 = damage
            .affected
            .iter()
            .map(|range| range.last.0 - range.first.0 + 1)
            .sum();
        (damage.whole_transactions, damage.lost_transactions.unwrap(), lost)
    };
    let (whole, lost, entries) = of(&proven);
    assert!(whole > 0 && lost > whole, "{proven:?}");
    assert_eq!(of(&all).0, whole, "{all:?}");
    let (_, also_lost, also_entries) = of(&all);
    assert_eq!(also_lost, lost - whole, "{all:?}");
    assert!(also_entries < entries, "{all:?}");
    assert!(proven.stores[0].damage.iter().all(|damage| damage.affected_is_all));
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000)
    }
}

/// Two stores with transactions of the same names, sequences, sizes and times.
fn twins() -> Simulated {
    let disk = Simulated::new(7);
    run(async {
        let engine = Engine::open(EngineConfig {
            clock: Arc::new(Stopped),
            ..config(&disk, DIR)
        });
        let engine = engine.unwrap();
        for (id, own) in STORES.into_iter().zip(["1", "2"]) {
            let store = engine.store(id).await.unwrap();
            for sequence in 1..=20 {
                let records = vec![Record::new(own.repeat(600))];
                let transaction = Transaction::single(path("a"), Sequence(sequence), records);
                store.append(transaction).await.unwrap();
            }
        }
        engine.close().await;
    });
    disk
}

#[test]
fn nothing_of_a_store_that_was_written_alike_at_the_same_time_is_taken() {
    let twins = twins();
    let foreign = twins.files()[&file(STORES[1], "00000000000000000001.extent")].clone();
    for (from, to) in [(4096, 8192), (4096, 16_384), (4608, 8192), (8192, 12_288), (8704, 9728)] {
        let disk = twins.copy();
        disk.damage(&extent(1), |bytes| bytes[from..to].copy_from_slice(&foreign[from..to]));
        let report = repaired(&disk, "/target", Keep::Newest);
        assert!(!report.stores[0].is_complete(), "{from} {to}: {report:?}");
        let there = read_all_stores(&disk, "/target");
        for entry in &there[&(STORES[0], path("a"))] {
            assert!(entry.payload.iter().all(|&byte| byte == b'1'), "{from} {to}: {entry:?}");
        }
    }
}
