//! No bytes of an index file panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_engine::format::index::{IndexHeader, Posting, SegmentRow, SpaceRow};

fuzz_target!(|bytes: &[u8]| {
    let _ = IndexHeader::decode(bytes);
    let _ = (SegmentRow::decode(bytes), SpaceRow::decode(bytes), Posting::decode(bytes));
});
