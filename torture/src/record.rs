//! The contents of a test record: its writer, and bytes that follow from it, so that a read can tell which record it
//! is and whether it is whole.

use streamkit_engine::{Dice, Entry, Metadata, Record};

/// Which record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Number of the attempt that wrote it.
    pub attempt: u64,
    /// Which part of it.
    pub part: u32,
    /// Which record of the part.
    pub record: u32,
    /// Bytes of its payload beside these numbers.
    pub extra: u32,
}

/// Bytes of the numbers.
const NUMBERS_BYTES: usize = 20;

/// The record.
pub fn record(origin: Origin) -> Record {
    let mut payload = Vec::with_capacity(NUMBERS_BYTES + 2 * origin.extra as usize + 8);
    payload.extend_from_slice(&origin.attempt.to_le_bytes());
    payload.extend_from_slice(&origin.part.to_le_bytes());
    payload.extend_from_slice(&origin.record.to_le_bytes());
    payload.extend_from_slice(&origin.extra.to_le_bytes());
    let seed = origin.attempt << 20 ^ u64::from(origin.part) << 10 ^ u64::from(origin.record);
    let end = NUMBERS_BYTES + origin.extra as usize;
    payload.extend_from_slice(&Dice::new(seed).any().to_le_bytes());
    while payload.len() < end {
        payload.extend_from_within(NUMBERS_BYTES..); // twice as many of the same bytes
    }
    payload.truncate(end);
    let mut record = Record::new(payload);
    if seed.is_multiple_of(3) {
        record.metadata = Metadata::from_pairs([("attempt", origin.attempt.to_string())]);
    }
    record
}

/// Which record an entry is; `None` if it is none that was ever made.
pub fn origin(entry: &Entry) -> Option<Origin> {
    let bytes = &entry.payload;
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let origin = Origin {
        attempt: u64::from(number(0)?) | u64::from(number(4)?) << 32,
        part: number(8)?,
        record: number(12)?,
        extra: number(16)?,
    };
    if origin.extra as usize + NUMBERS_BYTES != bytes.len() {
        return None;
    }
    let made = record(origin);
    (made.payload == entry.payload && made.metadata == entry.metadata).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamkit_engine::{SegmentPath, Sequence, Timestamp, Trx};

    #[test]
    fn a_record_tells_its_origin_and_one_changed_byte_tells_none() {
        for extra in [0, 1, 7, 300] {
            let from = Origin {
                attempt: 6,
                part: 0,
                record: 3,
                extra,
            };
            let record = record(from);
            let mut entry = Entry {
                path: SegmentPath::new("s", "a").expect("a name"),
                sequence: Sequence(1),
                timestamp: Timestamp(1),
                trx: Trx {
                    id: uuid::Uuid::nil(),
                    node: uuid::Uuid::nil(),
                    number: 1,
                },
                payload: record.payload.clone(),
                metadata: record.metadata,
            };
            assert_eq!(origin(&entry), Some(from));
            for byte in 0..record.payload.len() {
                let mut payload = record.payload.to_vec();
                payload[byte] ^= 1;
                entry.payload = payload.into();
                assert_ne!(origin(&entry), Some(from), "byte {byte}");
            }
        }
    }
}
