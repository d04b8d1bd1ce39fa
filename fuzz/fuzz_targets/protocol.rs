//! No bytes from a peer panic, whatever they are taken for; and a frame that was understood means the same after another
//! round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_protocol::{
    Entry, Frame, LeaseResult, LexKey, Record, Request, SegmentStatus, SpaceOffset, Status, Terminal, WorkerMessage,
};

fuzz_target!(|bytes: &[u8]| {
    let _ = Request::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Entry::decode(bytes);
    let _ = SegmentStatus::decode(bytes);
    let _ = Status::decode(bytes);
    let _ = Terminal::decode(bytes);
    let _ = LeaseResult::decode(bytes);
    let _ = WorkerMessage::decode(bytes);
    let _ = SpaceOffset::decode(&LexKey(bytes.to_vec()));
    if let Ok(frame) = Frame::decode(bytes) {
        let again = Frame::decode(&frame.encode()).expect("what we encode, we decode");
        assert_eq!(frame.message(), again.message());
    }
});
