//! No bytes from a peer panic, whatever message they are taken for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_protocol::{Entry, LeaseResult, Record, Request, SegmentStatus, Status, Terminal, WorkerMessage};

fuzz_target!(|bytes: &[u8]| {
    let _ = Request::decode(bytes);
    let _ = Record::decode(bytes);
    let _ = Entry::decode(bytes);
    let _ = SegmentStatus::decode(bytes);
    let _ = Status::decode(bytes);
    let _ = Terminal::decode(bytes);
    let _ = LeaseResult::decode(bytes);
    let _ = WorkerMessage::decode(bytes);
});
