//! The metadata of a record.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;

/// A record's or entry's metadata: text keys with text values, kept in the log's encoding and decoded on access.
///
/// Encoding, also in the log: for each pair in byte order of the keys, `u32` key length, key, `u32` value length,
/// value; lengths are little-endian.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Metadata(Bytes);

impl Metadata {
    /// Encodes pairs, sorted by key; of equal keys the last wins.
    pub fn from_pairs<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let sorted: BTreeMap<String, String> = pairs
            .into_iter()
            .map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned()))
            .collect();
        let mut out = Vec::new();
        for (key, value) in &sorted {
            for text in [key, value] {
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        Self(out.into())
    }

    /// Takes encoded bytes from the log.
    ///
    /// # Errors
    /// `None` unless the bytes are exactly a list of UTF-8 pairs.
    pub fn from_encoded(bytes: Bytes) -> Option<Self> {
        Self::is_encoded(&bytes).then_some(Self(bytes))
    }

    /// Takes encoded bytes from a producer, which are to be as [`Metadata::from_pairs`] makes them: what is not in order, or has
    /// a key twice, would be read as one thing here and as another there.
    ///
    /// # Errors
    /// `None` unless the bytes are exactly a list of UTF-8 pairs, in byte order of keys that differ.
    pub fn from_producer(bytes: Bytes) -> Option<Self> {
        let taken = Self::from_encoded(bytes)?;
        taken
            .iter()
            .map(|(key, _)| key)
            .is_sorted_by(|a, b| a < b)
            .then_some(taken)
    }

    /// Whether bytes are exactly a list of UTF-8 pairs.
    pub(crate) fn is_encoded(bytes: &[u8]) -> bool {
        let mut rest = Some(bytes);
        while let Some(bytes) = rest.filter(|rest| !rest.is_empty()) {
            rest = split_text(bytes)
                .and_then(|(_, rest)| split_text(rest))
                .map(|(_, rest)| rest);
        }
        rest.is_some()
    }

    /// The encoded bytes, as the log holds them.
    pub fn encoded(&self) -> &Bytes {
        &self.0
    }

    /// Whether there are no pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The pairs, in byte order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        pairs(&self.0)
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        value_in(&self.0, key)
    }
}

/// The value of a key in encoded metadata that nobody has checked.
pub(crate) fn value_in<'a>(encoded: &'a [u8], key: &str) -> Option<&'a str> {
    pairs(encoded).find_map(|(k, v)| (k == key).then_some(v))
}

fn pairs(mut rest: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (key, after_key) = split_text(rest)?;
        let (value, after_value) = split_text(after_key)?;
        rest = after_value;
        Some((key, value))
    })
}

fn split_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (text, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
