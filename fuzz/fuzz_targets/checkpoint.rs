//! No checkpoint panics, or takes more memory than its bytes account for, whatever stands behind a checksum that matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_engine::checkpoint::position;

fuzz_target!(|bytes: &[u8]| {
    let _ = position(bytes);
    let mut sealed = b"SKCHECKP\x01\0\0\0\0\0\0\0".to_vec();
    sealed.extend_from_slice(bytes);
    let checksum = crc32fast::hash(bytes);
    sealed[12..16].copy_from_slice(&checksum.to_le_bytes());
    let _ = position(&sealed);
});
