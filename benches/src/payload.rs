//! The records of the writers. Each says who wrote it and which it is, so that reading back proves it.

use bytes::Bytes;
use streamkit_engine::{SegmentPath, StoreId};

/// The space all writers write to.
pub const SPACE: &str = "orders";

/// A store by number.
pub fn store_id(number: usize) -> StoreId {
    StoreId(uuid::Uuid::from_u128(number as u128 + 1))
}

/// A writer's segment.
///
/// # Panics
/// Never: the name is a fine one.
pub fn path(writer: usize) -> SegmentPath {
    SegmentPath::new(SPACE, &format!("order-{writer:07}")).expect("a fine name")
}

/// The writer a segment belongs to.
pub fn writer_of(segment: &str) -> Option<usize> {
    segment.strip_prefix("order-")?.parse().ok()
}

/// The record of a writer at a sequence.
pub fn record(writer: usize, sequence: u64, bytes: usize) -> Bytes {
    let mut record = vec![fill(writer, sequence); bytes];
    let mark = mark(writer, sequence);
    let marked = mark.len().min(bytes);
    record[..marked].copy_from_slice(&mark[..marked]);
    record.into()
}

/// Whether these are the bytes of [`record`].
pub fn is_record(found: &[u8], writer: usize, sequence: u64, bytes: usize) -> bool {
    let mark = mark(writer, sequence);
    let marked = mark.len().min(bytes);
    let fill = fill(writer, sequence);
    // Without a way out in between: many bytes at a time, so that a reader's rate is not that of its harness.
    let others = |rest: &[u8]| rest.iter().fold(0, |others, byte| others | (byte ^ fill));
    found.len() == bytes && found[..marked] == mark[..marked] && others(&found[marked..]) == 0
}

/// Whose record this says it is, and which.
pub fn marked(record: &[u8]) -> Option<(usize, u64)> {
    let mark = u128::from_le_bytes(*record.first_chunk()?);
    Some((usize::try_from(mark >> 64).ok()?, mark as u64))
}

fn mark(writer: usize, sequence: u64) -> [u8; 16] {
    ((writer as u128) << 64 | u128::from(sequence)).to_le_bytes()
}

fn fill(writer: usize, sequence: u64) -> u8 {
    (writer as u64 ^ sequence) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_known_by_all_its_bytes() {
        for bytes in [0, 1, 16, 256] {
            let mut made = record(7, 9, bytes).to_vec();
            assert!(is_record(&made, 7, 9, bytes));
            if let Some(last) = made.last_mut() {
                *last ^= 1;
                assert!(!is_record(&made, 7, 9, bytes));
            }
        }
        assert!(!is_record(&record(7, 9, 256), 7, 10, 256));
        assert_eq!(marked(&record(7, 9, 256)), Some((7, 9)));
        assert_eq!(marked(&[0; 15]), None);
        assert_eq!(writer_of(path(7).segment.as_str()), Some(7));
    }
}
