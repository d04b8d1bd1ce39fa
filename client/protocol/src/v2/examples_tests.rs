//! The worked examples of docs/PROTOCOL-V2.md are what this crate writes and reads.

use bytes::Bytes;
use streamkit_record::{Condition, Expected, Record, SegmentAppend, SegmentPath, Sequence, StoreId, Timestamp};
use uuid::Uuid;

use super::*;

fn orders() -> SegmentPath {
    SegmentPath::new("orders", "order-1").unwrap()
}

fn nothing(_: &mut Vec<u8>) {}

/// What writes a frame.
type Put<'a> = &'a dyn Fn(&mut Vec<u8>);

/// What the examples hold, in their order.
fn frames() -> Vec<Vec<u8>> {
    let store = StoreId(Uuid::from_u128(0x6f1c_1e0e_3c0b_4e9e_9a51_0a6f_3f2d_9b10));
    let hello = Hello {
        frame_bytes: 33_554_432,
        channels: 4096,
        credit: 4_194_304,
        features: vec!["zstd".into()],
    };
    let append = Append {
        id: Uuid::from_u128(7),
        conflict_bytes: 0,
        fence: None,
        conditions: vec![Condition {
            path: orders(),
            expected: Expected::Head(Sequence(1)),
        }],
        sections: vec![SegmentAppend {
            path: orders(),
            first_sequence: Sequence(0),
            records: vec![Record::new("paid")],
        }],
    };
    let appended = Appended {
        position: 9,
        timestamp: Timestamp(1_700_000_000_000),
        durability: Durability::Disk,
        is_known: false,
        sections: vec![(Sequence(2), Sequence(2))],
    };
    let overloaded = CallError {
        retry_after: 250,
        ..CallError::new(Code::Overloaded, Class::Transient, "try again")
    };
    let puts: [Put<'_>; 4] = [
        &|out| hello.put(out),
        &|out| {
            frame(out, (1, Kind::Call), nothing, |out| {
                Call::Append(append.clone()).put(store, out)
            });
        },
        &|out| frame(out, (1, Kind::End), nothing, |out| appended.put(out)),
        &|out| frame(out, (1, Kind::Error), nothing, |out| overloaded.put(out)),
    ];
    puts.map(|put| {
        let mut out = Vec::new();
        put(&mut out);
        out
    })
    .into()
}

/// Sixteen bytes a line, as the document has them.
fn hex(bytes: &[u8]) -> String {
    let line = |(at, line): (usize, &[u8])| {
        let bytes: String = line.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:04x} {bytes}\n", at * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

#[test]
fn the_worked_examples_are_what_is_sent() {
    let document = include_str!("../../../../docs/PROTOCOL-V2.md");
    let written: Vec<&str> = document
        .split("```hex\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    let sent: Vec<String> = frames().iter().map(|frame| hex(frame)).collect();
    assert_eq!(written, sent, "{}", sent.join("\n"));
}

#[test]
fn each_example_is_one_whole_frame() {
    for bytes in frames() {
        let mut message = Bytes::from(bytes);
        assert!(Frame::take(&mut message).unwrap().is_some() && message.is_empty());
    }
}
