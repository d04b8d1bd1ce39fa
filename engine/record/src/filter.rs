//! Which entries of a read pass.

use crate::metadata::value_in;

/// Which entries pass: those with a segment, and metadata, like this. The default passes all.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Filter {
    /// The names of their segments begin with this.
    pub prefix: String,
    /// They have all of these, each a key and its value.
    pub metadata: Vec<(String, String)>,
}

impl Filter {
    /// Whether entries of a segment can pass.
    pub fn passes_segment(&self, name: &[u8]) -> bool {
        self.prefix.is_empty() || name.starts_with(self.prefix.as_bytes())
    }

    /// Whether an entry of such a segment passes, by its metadata as they stand in the log.
    pub fn passes_metadata(&self, encoded: &[u8]) -> bool {
        let has = |(key, value): &(String, String)| value_in(encoded, key) == Some(value.as_str());
        self.metadata.iter().all(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_passes_with_the_prefix() {
        let filter = Filter {
            prefix: "order-".into(),
            metadata: Vec::new(),
        };
        assert!(filter.passes_segment(b"order-1"));
        assert!(!filter.passes_segment(b"return-1"));
        assert!(Filter::default().passes_segment(b"x"));
    }
}
