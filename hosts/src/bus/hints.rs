//! Hints as the bytes of a message. Nothing in them is believed.

use streamkit_engine::{StoreId, TailMark};
use uuid::Uuid;

/// Most hints of a message: 8 KiB.
pub(super) const HINTS_MAX: usize = 256;

/// The first byte of a message says what follows. Other ones are of later versions, and mean nothing here.
const OF_STORES: u8 = 1;
const OF_ALL: u8 = 2;

/// Bytes of one hint: the store, and how far it is said to have come.
const HINT_BYTES: usize = 32;

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// These stores have come so far.
    OfStores(Vec<(StoreId, TailMark)>),
    /// Any store may have come further: somebody was away.
    OfAll,
}

impl Message {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::OfAll => vec![OF_ALL],
            Self::OfStores(hints) => {
                let mut bytes = Vec::with_capacity(1 + hints.len() * HINT_BYTES);
                bytes.push(OF_STORES);
                for (store, tail) in hints {
                    bytes.extend_from_slice(store.0.as_bytes());
                    bytes.extend_from_slice(&tail.get().to_le_bytes());
                }
                bytes
            }
        }
    }

    /// Reads a message; `None` if it is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&OF_ALL, []) => Some(Self::OfAll),
            (&OF_STORES, hints) => {
                let count = hints.len() / HINT_BYTES;
                let is_whole = hints.len().is_multiple_of(HINT_BYTES) && (1..=HINTS_MAX).contains(&count);
                let hint = |hint: &[u8]| {
                    let (store, tail) = hint.split_at(16);
                    let tail = u128::from_le_bytes(tail.try_into().ok()?);
                    Some((StoreId(Uuid::from_slice(store).ok()?), TailMark::new(tail)))
                };
                let hints = hints.chunks_exact(HINT_BYTES).map(hint);
                is_whole.then(|| hints.collect::<Option<_>>().map(Self::OfStores))?
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_as_it_was_written_and_what_is_none_is_not_read() {
        let hint = |n: u128| (StoreId(Uuid::from_u128(n)), TailMark::new(u128::MAX - n));
        for message in [
            Message::OfAll,
            Message::OfStores(vec![hint(1)]),
            Message::OfStores((0..HINTS_MAX as u128).map(hint).collect()),
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        let good = Message::OfStores(vec![hint(1), hint(2)]).encode();
        for length in (0..good.len()).filter(|length| *length != 1 + HINT_BYTES) {
            assert_eq!(Message::decode(&good[..length]), None, "{length}");
        }
        let many = Message::OfStores((0..=HINTS_MAX as u128).map(hint).collect());
        for bad in [
            many.encode(),
            vec![OF_ALL, 0],
            vec![OF_STORES],
            vec![0],
            vec![3; 33],
            b"+OK".to_vec(),
        ] {
            assert_eq!(Message::decode(&bad), None);
        }
    }
}
