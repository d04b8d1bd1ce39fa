//! Tests of [`super`].

use std::path::Path;

use super::*;
use crate::disk::{Disk, OpenMode};
use crate::simulation::Simulated;

const SALT: u32 = 7;

/// A group of a block of its own in extent 1, behind one of this state.
fn group(number: u64, epoch: u64, chain: u32, body: u8) -> (Vec<u8>, GroupHeader) {
    let mut bytes = vec![body; BLOCK_BYTES];
    let header = GroupHeader {
        body_crc: 0,
        body_bytes: 0,
        chain,
        transaction_count: 1,
        number,
        epoch,
        durable: LogPosition { extent: 1, byte: 0 },
        extent: 1,
        writer: uuid::Uuid::nil(),
        link: 0,
    };
    let header = header.seal(SALT, &mut bytes);
    (bytes, header)
}

/// How many groups a walk finds where `second` stands behind `first`.
fn walked(first: &[u8], second: &[u8]) -> u64 {
    let path = Path::new("/1.extent");
    let bytes = [first, second, &[0; BLOCK_BYTES]].concat();
    let disk = Simulated::with_files(1, [(path.to_owned(), bytes)]);
    let file = disk.open(path, OpenMode::Read).unwrap();
    let start = LogPosition { extent: 1, byte: 0 };
    let mut walk = Walk::new(file, SALT, start, LogState::default()).unwrap();
    while let Step::Group { .. } = walk.step().unwrap() {}
    walk.state.group_number
}

/// What tells that a walk which ended at the first block was durable further, where these blocks stand behind it.
fn durable_beyond(behind: &[u8]) -> Option<LogPosition> {
    let path = Path::new("/1.extent");
    let bytes = [&group(1, 1, 0, b'a').0, behind, &[0; 3 * BLOCK_BYTES]].concat();
    let disk = Simulated::with_files(1, [(path.to_owned(), bytes)]);
    let file = disk.open(path, OpenMode::Read).unwrap();
    let start = LogPosition { extent: 1, byte: 0 };
    let mut walk = Walk::new(file, SALT, start, LogState::default()).unwrap();
    while let Step::Group { .. } = walk.step().unwrap() {}
    walk.durable_beyond().unwrap()
}

#[test]
fn a_group_that_was_moved_still_tells_how_far_the_log_was_durable() {
    let byte = 2 * BLOCK_BYTES as u32;
    let durable = LogPosition { extent: 1, byte };
    let mut third = vec![b'c'; BLOCK_BYTES];
    let header = GroupHeader {
        durable,
        ..group(3, 1, 0, b'c').1
    };
    header.seal(SALT, &mut third);
    for moved in [0, 1, 7, 512, 1000, BLOCK_BYTES, BLOCK_BYTES + 4] {
        let behind = [&vec![0; moved], &*third].concat();
        assert_eq!(durable_beyond(&behind), Some(durable), "{moved}");
    }
    let unproved = group(3, 1, 0, b'c').0;
    assert_eq!(durable_beyond(&unproved), None);
}

/// The second group of two under way outlives the power, the first does not; the next open writes another first one, and
/// the power goes again. What stands behind that is whole, of the right number and salt, and was never acknowledged.
#[test]
fn what_is_left_of_a_torn_write_is_no_successor_of_what_was_written_instead() {
    let (_, torn) = group(1, 1, 0, b'x');
    let (first, header) = group(1, 2, 0, b'a');
    let left = group(2, 1, torn.link, b'y').0;
    assert_eq!(walked(&first, &left), 1);
    let by_chain_alone = group(2, 2, torn.link, b'y').0;
    assert_eq!(walked(&first, &by_chain_alone), 1);
    let by_epoch_alone = group(2, 1, header.link, b'y').0;
    assert_eq!(walked(&first, &by_epoch_alone), 1);
    let successor = group(2, 2, header.link, b'y').0;
    assert_eq!(walked(&first, &successor), 2);
}
