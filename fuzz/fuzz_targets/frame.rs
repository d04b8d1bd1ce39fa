//! No frame that a peer sends panics, and one that was understood means the same after another round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_protocol::Frame;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = Frame::decode(bytes) {
        let again = Frame::decode(&frame.encode()).expect("what we encode, we decode");
        assert_eq!(frame.message(), again.message());
    }
});
