//! Bytes from a stranger: an error or a value, never a panic.

use proptest::prelude::*;
use streamkit_protocol::*;

fn read_as_everything(bytes: &[u8]) {
    let _ = Frame::decode(bytes);
    let _ = Terminal::decode(bytes);
    let _ = Request::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Entry::decode(bytes);
    let _ = SegmentStatus::decode(bytes);
    let _ = Status::decode(bytes);
    let _ = LeaseResult::decode(bytes);
    let _ = WorkerMessage::decode(bytes);
    let _ = SpaceOffset::decode(&LexKey(bytes.to_vec()));
}

#[test]
fn deep_nesting_is_an_error_not_a_stack_overflow() {
    let deep = format!("{{\"x\":{}", "[".repeat(1 << 20));
    read_as_everything(deep.as_bytes());
    assert!(Frame::decode(deep.as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn no_damaged_message_panics(at in any::<prop::sample::Index>(), line in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let lines: Vec<&str> = include_str!("../data/wire-v1/conversations.jsonl").lines().collect();
        let conversation: serde_json::Value = serde_json::from_str(lines[line.index(lines.len())]).unwrap();
        for step in conversation["steps"].as_array().unwrap() {
            for text in [step["frame"].as_str(), step["message"].as_str()].into_iter().flatten() {
                let mut bytes = text.as_bytes().to_vec();
                let at = at.index(bytes.len());
                bytes[at] = byte;
                read_as_everything(&bytes);
                read_as_everything(&bytes[..at]);
            }
        }
    }

    #[test]
    fn any_record_comes_back(sequence in any::<u64>(), payload in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..80)),
        metadata in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..4)) {
        let mut out = Vec::new();
        RecordRef { sequence, payload: payload.as_deref(), metadata: &metadata }.encode_into(&mut out);
        let record = Record::decode(&out).unwrap();
        prop_assert_eq!(record.sequence, sequence);
        prop_assert_eq!(record.payload.0.map(|b| b.to_vec()), payload);
        prop_assert_eq!(record.metadata, metadata);
    }
}
