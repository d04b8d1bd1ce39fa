//! Space offsets, byte for byte as Go clients compute them.

use proptest::prelude::*;
use streamkit_protocol::{LexKey, LexKeyError, SpaceOffset};

fn offset(space: &str, timestamp: i64, segment: &str, sequence: u64) -> SpaceOffset {
    SpaceOffset {
        space: space.into(),
        timestamp,
        segment: segment.into(),
        sequence,
    }
}

#[test]
fn a_space_offset_has_exactly_the_bytes_go_clients_send() {
    for (offset, hex) in [
        (
            offset("orders", 1_700_000_000_000, "order-42", 7),
            "44415400535041434553006f7264657273008000018bcfe56800006f726465722d3432000000000000000007",
        ),
        (
            offset("space0", 0, "segment0", 1),
            "4441540053504143455300737061636530008000000000000000007365676d656e7430000000000000000001",
        ),
        (
            offset("s", 100, "seg-a", 1),
            "444154005350414345530073008000000000000064007365672d61000000000000000001",
        ),
    ] {
        assert_eq!(offset.encode().to_string(), hex);
        assert_eq!(
            SpaceOffset::decode(&LexKey::from_hex(&hex.to_uppercase()).unwrap()).unwrap(),
            offset
        );
    }
}

#[test]
fn anything_else_is_no_space_offset() {
    assert_eq!(LexKey::from_hex("4"), Err(LexKeyError::NotHex));
    assert_eq!(LexKey::from_hex("+1"), Err(LexKeyError::NotHex));
    assert_eq!(LexKey::from_hex("é"), Err(LexKeyError::NotHex));
    let segment_offset = "444154005345474d454e5453006f7264657273006f726465722d3432000000000000000007";
    assert!(SpaceOffset::decode(&LexKey::from_hex(segment_offset).unwrap()).is_err());
    let whole = offset("orders", -1, "a\u{1}b", 7).encode();
    for cut in 0..whole.0.len() {
        assert!(
            SpaceOffset::decode(&LexKey(whole.0[..cut].to_vec())).is_err(),
            "cut at {cut}"
        );
    }
}

proptest! {
    #[test]
    fn offsets_come_back_and_sort_by_time_segment_sequence(
        a in ("[a-z]{1,8}", any::<i64>(), "[a-zé☃]{1,8}", any::<u64>()),
        b in (any::<i64>(), "[a-zé☃]{1,8}", any::<u64>()),
    ) {
        let first = offset(&a.0, a.1, &a.2, a.3);
        let second = offset(&a.0, b.0, &b.1, b.2);
        prop_assert_eq!(SpaceOffset::decode(&first.encode()).unwrap(), first.clone());
        let by_value = (a.1, &a.2, a.3).cmp(&(b.0, &b.1, b.2));
        prop_assert_eq!(first.encode().cmp(&second.encode()), by_value);
    }
}
