//! The root of a store that was deleted. It stays for ever: whoever still has the store open finds it, and nobody makes the store anew.

use bytes::Bytes;

use super::codec::{FieldReader, FieldWriter};

const TOMBSTONE: [u8; 4] = *b"SKd1";

/// The bytes of such a root.
pub(crate) fn tombstone() -> Bytes {
    FieldWriter::new(TOMBSTONE).done()
}

/// Whether a root is one.
pub(crate) fn is_tombstone(root: &Bytes) -> bool {
    FieldReader::new(root, TOMBSTONE, "tombstone").is_ok_and(|fields| fields.end().is_ok())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::StoreRoot;
    use super::*;
    use crate::medium::ExtentId;

    #[test]
    fn a_root_is_a_tombstone_or_leads_somewhere() {
        let root = StoreRoot::first(Uuid::from_u128(1), ExtentId(Uuid::from_u128(2))).encode();
        assert!(is_tombstone(&tombstone()) && !is_tombstone(&root));
        assert!(StoreRoot::decode(&tombstone()).is_err());
        let longer = [&tombstone()[..], b"x"].concat();
        assert!(!is_tombstone(&longer.into()));
    }
}
