//! The worked example of docs/FORMAT.md is what the engine writes, byte for byte.

use std::fmt::Write as _;

use streamkit_engine::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use streamkit_engine::format::transaction::Encoded;
use streamkit_engine::{LogPosition, Metadata, Record, SegmentAppend, SegmentPath, Sequence, Timestamp, Transaction};
use uuid::Uuid;

fn group() -> Vec<u8> {
    let record = Record {
        payload: "paid".into(),
        metadata: Metadata::from_pairs([("by", "card")]),
    };
    let transaction = Transaction {
        id: Uuid::from_u128(0x6f1c1e0e_3c0b_4e9e_9a51_0a6f3f2d9b10),
        segments: vec![SegmentAppend {
            path: SegmentPath::new("orders", "order-1").unwrap(),
            first_sequence: Sequence(2),
            records: vec![record],
        }],
        fence: None,
        conditions: Vec::new(),
    };
    let mut group = vec![0; GROUP_HEADER_BYTES];
    group.extend_from_slice(Encoded::data(&transaction).commit(9, Timestamp(1_700_000_000_000)));
    let header = GroupHeader {
        body_crc: 0,
        body_bytes: 0,
        chain: 0x1122_3344,
        transaction_count: 1,
        number: 7,
        epoch: 3,
        durable: LogPosition { extent: 1, byte: 8192 },
        extent: 1,
        writer: Uuid::nil(),
        link: 0,
    };
    header.seal(0x5566_7788, &mut group);
    group
}

#[test]
fn the_worked_example_is_what_the_engine_writes() {
    let mut dump = String::new();
    for (row, bytes) in group().chunks(16).enumerate() {
        write!(dump, "{:04x} ", row * 16).unwrap();
        for byte in bytes {
            write!(dump, " {byte:02x}").unwrap();
        }
        dump.push('\n');
    }
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FORMAT.md")).unwrap();
    let example = text.split("```hex\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(example, Some(dump.as_str()), "the example should be:\n{dump}");
}
