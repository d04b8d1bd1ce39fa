//! No key that a peer sends panics, and one that was understood is the same after another round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_protocol::{LexKey, SpaceOffset};

fuzz_target!(|bytes: &[u8]| {
    let key = LexKey(bytes.to_vec());
    if let Ok(offset) = SpaceOffset::decode(&key) {
        assert_eq!(offset.encode(), key);
    }
});
