//! Headers whose checksums hold and which say what is not so.

use super::*;
use crate::format::extent_header::ExtentHeader;
use crate::format::group::GroupHeader;

/// What is found when the last group's header says something else.
#[track_caller]
fn check_group(change: impl FnOnce(&mut GroupHeader), found: &str, is_complete: bool) {
    let disk = small("a", "b");
    let readable = read_all_stores(&disk.copy(), DIR);
    rewrite_last(&disk, |header, _| change(header));
    let report = verified(&disk, DIR);
    let [damage] = &report.stores[0].damage[..] else {
        panic!("{report:?}")
    };
    assert!(damage.found.contains(found), "{report:?}");
    assert_eq!(report.stores[0].entries, 2, "all of it is readable: {report:?}");
    let report = repaired(&disk, "/target", Keep::Newest);
    assert_eq!(report.is_complete(), is_complete, "{report:?}");
    assert_eq!(read_all_stores(&disk, "/target"), readable);
    assert!(verified(&disk, "/target").is_clean());
    // Opening and reading rely on none of it.
    assert_eq!(read_all_stores(&disk, DIR), readable);
}

#[test]
fn a_group_that_holds_fewer_transactions_than_its_header_tells_of_may_have_lost_some() {
    check_group(
        |header| header.transaction_count += 1,
        "tells of 2 transactions, and 1",
        false,
    );
}

#[test]
fn a_group_that_holds_more_transactions_than_its_header_tells_of_is_damage_and_lost_nothing() {
    check_group(
        |header| header.transaction_count = 0,
        "tells of 0 transactions, and 1",
        true,
    );
}

#[test]
fn a_durable_mark_behind_its_own_group_is_damage() {
    check_group(|header| header.durable.byte = 60_000, "durable mark", true);
}

#[test]
fn an_epoch_that_nothing_opened_is_damage() {
    check_group(|header| header.epoch += 1, "epoch 3", true);
}

/// What is found when an extent's header says something else.
#[track_caller]
fn check_extent(number: u64, change: impl FnOnce(&mut ExtentHeader), found: &str) {
    let history = history(12);
    let disk = history.disk.copy();
    disk.damage(&extent(number), |bytes| {
        let mut header = ExtentHeader::decode(bytes).unwrap();
        change(&mut header);
        bytes[..4096].copy_from_slice(&header.encode());
    });
    let report = verified(&disk, DIR);
    assert_eq!(report.stores[0].damage.len(), 1, "{report:?}");
    assert!(report.stores[0].damage[0].found.contains(found), "{report:?}");
    let (report, there) = check_repair(&history, &disk, Keep::Newest, found);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(there, history.readable);
}

#[test]
fn a_first_extent_that_tells_of_groups_before_it_is_damage() {
    check_extent(1, |header| header.previous_end = 4096, "before the first extent");
    check_extent(1, |header| header.state.trx_number = 1, "before the first extent");
}

#[test]
fn a_durable_mark_behind_the_groups_of_a_sealed_extent_is_damage() {
    check_extent(2, |header| header.durable = u32::MAX, "durable mark");
}

#[test]
fn a_file_that_is_larger_than_its_header_says_is_damage() {
    check_extent(2, |header| header.capacity -= 4096, "it was made with");
}
