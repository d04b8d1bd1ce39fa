//! The names of segments, packed: a name costs its bytes and eight more for its place.

use std::sync::Arc;

use streamkit_record::Name;

/// Bytes of a chunk; what is left of one when a name does not fit any more stays empty.
const CHUNK_BYTES: usize = 1 << 16;

/// Where a name stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NameAt {
    chunk: u32,
    byte: u16,
    bytes: u16,
}

/// Places whose names nobody needs any more, by their bytes: names of a store are mostly about as long as each other.
#[derive(Debug, Default)]
pub(crate) struct FreeNames(Vec<Vec<NameAt>>);

impl FreeNames {
    /// A name is not needed any more.
    pub(crate) fn give(&mut self, at: NameAt) {
        let bytes = usize::from(at.bytes);
        if self.0.len() <= bytes {
            self.0.resize_with(bytes + 1, Vec::new);
        }
        self.0[bytes].push(at);
    }

    fn take(&mut self, bytes: usize) -> Option<NameAt> {
        self.0.get_mut(bytes)?.pop()
    }
}

/// Names one behind the other; copies share them. A place that is free is taken by the next name of as many bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    chunks: Vec<Arc<Vec<u8>>>,
}

impl Names {
    /// Adds the text of a name, which the caller knows to be one, where there is room among the free ones.
    pub(crate) fn add_to(&mut self, free: &mut FreeNames, name: &str) -> NameAt {
        let Some(at) = free.take(name.len()) else {
            return self.add(name);
        };
        let start = usize::from(at.byte);
        let bytes = Arc::make_mut(&mut self.chunks[at.chunk as usize]);
        bytes[start..start + name.len()].copy_from_slice(name.as_bytes());
        at
    }

    /// Bytes of all chunks.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.len()).sum()
    }

    /// Adds the text of a name, which the caller knows to be one.
    pub(crate) fn add(&mut self, name: &str) -> NameAt {
        let name = name.as_bytes();
        let has_room = self
            .chunks
            .last()
            .is_some_and(|last| last.len() + name.len() <= CHUNK_BYTES);
        if !has_room {
            // A store of one segment must not pay for a chunk.
            let capacity = if self.chunks.is_empty() {
                name.len()
            } else {
                CHUNK_BYTES
            };
            self.chunks.push(Arc::new(Vec::with_capacity(capacity)));
        }
        let chunk = self.chunks.len() - 1;
        let bytes = Arc::make_mut(&mut self.chunks[chunk]);
        let at = NameAt {
            chunk: u32::try_from(chunk).expect("names of fewer than 2^48 bytes"),
            byte: u16::try_from(bytes.len()).expect("a name has bytes, so one that fits starts before the end"),
            bytes: u16::try_from(name.len()).expect("names have at most 512 bytes"),
        };
        if bytes.len() + name.len() > bytes.capacity() {
            let doubled = bytes.len().max(name.len());
            bytes.reserve_exact(doubled.min(CHUNK_BYTES - bytes.len()));
        }
        bytes.extend_from_slice(name);
        at
    }

    /// The bytes of a name; names are ordered by them.
    pub(crate) fn bytes(&self, at: NameAt) -> &[u8] {
        let start = usize::from(at.byte);
        &self.chunks[at.chunk as usize][start..start + usize::from(at.bytes)]
    }

    pub(crate) fn name(&self, at: NameAt) -> Name {
        Name::from_bytes(self.bytes(at)).expect("only names are added")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stays_where_it_was_put() {
        let mut names = Names::default();
        let text = |number: usize| "n".repeat(1 + number * 7 % 512);
        let places: Vec<NameAt> = (0..2000).map(|number| names.add(&text(number))).collect();
        let copy = names.clone();
        names.add("later");
        for (number, &at) in places.iter().enumerate() {
            assert_eq!(names.name(at).as_str(), text(number));
            assert_eq!(copy.bytes(at), text(number).as_bytes());
        }
        let mut free = FreeNames::default();
        free.give(places[5]);
        assert_eq!(names.add_to(&mut free, &"m".repeat(36)), places[5]);
        assert_ne!(names.add_to(&mut free, &"o".repeat(36)), places[5]);
        assert_eq!(
            (names.bytes(places[5])[0], copy.bytes(places[5])[0]),
            (b'm', b'n'),
            "a copy saw a later name"
        );
        assert!(names.chunks.len() > 2 && names.chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES));
    }
}
