//! No bytes of an extent panic, and none make an entry appear that is not within them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_engine::Sequence;
use streamkit_engine::format::extent_header::ExtentHeader;
use streamkit_engine::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use streamkit_engine::format::transaction::{TransactionHeader, check_structure, entries, open_transaction, sections};

fuzz_target!(|bytes: &[u8]| {
    let _ = ExtentHeader::decode(bytes);
    let _ = open_transaction(bytes);
    if let Ok(header) = GroupHeader::decode(0, bytes) {
        let _ = header.check_body(bytes.get(GROUP_HEADER_BYTES..).unwrap_or_default());
    }
    // As if the checksum had matched.
    let Ok(header) = TransactionHeader::decode(bytes) else {
        return;
    };
    let whole = check_structure(&header, bytes).is_ok();
    let shared = bytes::Bytes::copy_from_slice(bytes);
    for section in sections(&header, bytes) {
        let (Ok(section), true) = (section, whole) else { break };
        let (Ok(path), mut out) = (section.path(), Vec::new()) else {
            continue;
        };
        let wanted = Sequence(0)..=Sequence(u64::MAX);
        if entries(&shared, 0, &header, &section, &path, wanted, &mut out).is_ok() {
            assert_eq!(out.len(), section.record_count as usize);
            let bytes: usize = out.iter().map(|entry| entry.payload.len()).sum();
            assert!(bytes <= shared.len(), "they are slices of the input");
        }
    }
});
