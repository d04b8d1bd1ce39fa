//! Recorded conversations of a Go client and a Go server (tests/data/wire-v1).

use serde_json::Value;
use streamkit_protocol::*;

fn frames() -> impl Iterator<Item = (Value, Value)> {
    let text = include_str!("../data/wire-v1/conversations.jsonl");
    text.lines().flat_map(|line| {
        let conversation: Value = serde_json::from_str(line).unwrap();
        let steps = conversation["steps"].as_array().unwrap().clone();
        steps.into_iter().map(move |step| (conversation.clone(), step))
    })
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn every_recorded_frame_decodes_and_encodes_to_the_same_json() {
    let mut count = 0;
    for (_, step) in frames() {
        let text = step["frame"].as_str().unwrap();
        let frame = Frame::decode(text.as_bytes()).unwrap();
        assert_eq!(json(&frame.encode()), json(text.as_bytes()));
        if frame.control == Control::Data {
            let head = FrameHead::new(frame.store_id, frame.channel_id);
            assert_eq!(String::from_utf8(head.data(&frame.message())).unwrap(), text);
        }
        count += 1;
    }
    assert!(count > 200, "{count} frames");
}

#[test]
fn every_recorded_message_decodes_and_encodes_to_the_same_json() {
    let mut count = 0;
    for (conversation, step) in frames() {
        let Some(text) = step["message"].as_str() else { continue };
        let message = text.as_bytes();
        let operation = conversation["operation"].as_str().unwrap();
        let from_client = step["from"] == "client";
        let encoded = if let Some(terminal) = Terminal::decode(message) {
            terminal.encode()
        } else if let Ok(request) = Request::decode(message) {
            assert_eq!(request.kind(), operation);
            request.encode()
        } else {
            match (operation, from_client) {
                ("produce", true) => {
                    let record = Record::decode(message).unwrap();
                    let mut out = Vec::new();
                    RecordRef {
                        sequence: record.sequence,
                        payload: record.payload.0.as_deref(),
                        metadata: &record.metadata,
                    }
                    .encode_into(&mut out);
                    out
                }
                ("produce" | "subscribe_to_segment_status", false) => SegmentStatus::decode(message).unwrap().encode(),
                ("peek" | "consume" | "consume_space" | "consume_segment", false) => {
                    Entry::decode(message).unwrap().encode()
                }
                ("get_spaces" | "get_segments", false) => {
                    serde_json::to_vec(&serde_json::from_slice::<String>(message).unwrap()).unwrap()
                }
                ("subscribe_workers", _) => WorkerMessage::decode(message).unwrap().encode(),
                (_, false) => LeaseResult::decode(message).unwrap().encode(),
                other => panic!("{other:?}: {text}"),
            }
        };
        assert_eq!(String::from_utf8(encoded).unwrap(), text);
        count += 1;
    }
    assert!(count >= 200, "{count} messages");
}
