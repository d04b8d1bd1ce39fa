//! What is archived of a log: its sealed extents and their index files, with their checksums; and a snapshot, with which a log begins in
//! another place without them.

use uuid::Uuid;

use super::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use super::log_start::LogStart;
use super::{Cursor, FormatError, file_prefix};
use crate::limits::{BLOCK_BYTES, FORMAT_VERSION};
use streamkit_record::StoreId;

const LIST: [u8; 8] = *b"SKARCHIV";
const SNAPSHOT: [u8; 8] = *b"SKSNAPSH";
/// Magic, version, two bytes of nothing, checksum of all behind it.
const PREFIX_BYTES: usize = 16;

/// Which of the two files of a sealed extent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FilePart {
    /// Its header and groups.
    Groups,
    /// Its index.
    Index,
}

/// A file of a store in an archive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ArchivedFile {
    /// The store.
    pub store: StoreId,
    /// The extent's number.
    pub extent: u64,
    /// Which of its files.
    pub part: FilePart,
    /// Bytes in the archive. The file of an extent goes on with zeros.
    pub bytes: u32,
    /// CRC-32 of them.
    pub checksum: u32,
}

/// A sealed extent as it is archived, with what an open needs to know of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivedExtent {
    /// Its header, without a durable mark.
    pub header: ExtentHeader,
    /// Where its groups end.
    pub used_bytes: u32,
    /// CRC-32 of the header and the groups.
    pub checksum: u32,
    /// Bytes of its index file.
    pub index_bytes: u32,
    /// CRC-32 of the index file.
    pub index_checksum: u32,
    /// The first block of the index file, without the zeros that it ends with.
    pub index_head: Vec<u8>,
}

impl ArchivedExtent {
    /// One of its files.
    pub fn file(&self, part: FilePart) -> ArchivedFile {
        let (bytes, checksum) = match part {
            FilePart::Groups => (self.used_bytes, self.checksum),
            FilePart::Index => (self.index_bytes, self.index_checksum),
        };
        ArchivedFile {
            store: self.header.store,
            extent: self.header.extent,
            part,
            bytes,
            checksum,
        }
    }

    /// Bytes of one of its files on a disk.
    pub(crate) fn file_bytes(&self, part: FilePart) -> u64 {
        match part {
            FilePart::Groups => self.header.capacity,
            FilePart::Index => self.index_bytes.into(),
        }
    }

    /// The first block of one of its files.
    pub(crate) fn head(&self, part: FilePart) -> Vec<u8> {
        let mut block = match part {
            FilePart::Groups => self.header.encode(),
            FilePart::Index => self.index_head.clone(),
        };
        block.resize(BLOCK_BYTES, 0);
        block
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header.capacity.to_le_bytes());
        out.extend_from_slice(&self.header.previous_end.to_le_bytes());
        out.extend_from_slice(&self.header.salt.to_le_bytes());
        self.header.state.encode(out);
        for number in [self.used_bytes, self.checksum, self.index_bytes, self.index_checksum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        put_bytes(out, &self.index_head);
    }

    fn decode(cursor: &mut Cursor<'_>, store: StoreId, extent: u64) -> Result<Self, FormatError> {
        let capacity = cursor.u64()?;
        let (previous_end, salt) = (cursor.u32()?, cursor.u32()?);
        let header = ExtentHeader {
            begun: true,
            previous_end,
            salt,
            state: LogState::decode(cursor)?,
            ..ExtentHeader::prepared(store, extent, capacity)
        };
        let archived = Self {
            header,
            used_bytes: cursor.u32()?,
            checksum: cursor.u32()?,
            index_bytes: cursor.u32()?,
            index_checksum: cursor.u32()?,
            index_head: take_bytes(cursor)?.to_vec(),
        };
        let used = u64::from(archived.used_bytes);
        let index = archived.index_bytes as usize;
        if used < EXTENT_HEADER_BYTES as u64
            || used > capacity
            || archived.index_head.len() > BLOCK_BYTES
            || index < BLOCK_BYTES
        {
            return Err(FormatError::Invalid("an archived extent that there cannot be"));
        }
        Ok(archived)
    }
}

/// Encodes a list of the archived extents of a store: all from the first on.
pub(crate) fn encode_list(store: StoreId, extents: &[ArchivedExtent]) -> Vec<u8> {
    let mut out = begin(LIST);
    out.extend_from_slice(store.0.as_bytes());
    out.extend_from_slice(&(extents.len() as u64).to_le_bytes());
    for extent in extents {
        extent.encode(&mut out);
    }
    finish(out)
}

/// Decodes a list of archived extents.
///
/// # Errors
/// [`FormatError`].
pub(crate) fn decode_list(bytes: &[u8]) -> Result<(StoreId, Vec<ArchivedExtent>), FormatError> {
    let mut cursor = open(bytes, LIST)?;
    let store = StoreId(Uuid::from_bytes(cursor.array()?));
    let mut extents = Vec::new();
    for number in 0..cursor.u64()? {
        let extent = LogStart::WHOLE.extent().saturating_add(number);
        extents.push(ArchivedExtent::decode(&mut cursor, store, extent)?);
    }
    end(&cursor)?;
    Ok((store, extents))
}

/// With what a log begins in another place: the catalog, the open extent as far as the catalog goes, and which sealed extents an archive has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The store.
    pub store: StoreId,
    /// The checkpoint's bytes.
    pub(crate) checkpoint: Vec<u8>,
    /// The header and the groups of the open extent, up to where the checkpoint stands.
    pub(crate) open: Vec<u8>,
    /// The extents before it.
    pub(crate) sealed: Vec<ArchivedExtent>,
}

impl Snapshot {
    /// The files that an archive must have before this is of any use.
    pub fn files(&self) -> impl Iterator<Item = ArchivedFile> {
        let parts = [FilePart::Groups, FilePart::Index];
        self.sealed
            .iter()
            .flat_map(move |extent| parts.map(|part| extent.file(part)))
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = begin(SNAPSHOT);
        for bytes in [&encode_list(self.store, &self.sealed), &self.checkpoint, &self.open] {
            put_bytes(&mut out, bytes);
        }
        finish(out)
    }

    /// The snapshot that these bytes say. What is in it is checked when it is installed.
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = open(bytes, SNAPSHOT)?;
        let (store, sealed) = decode_list(take_bytes(&mut cursor)?)?;
        let (checkpoint, open) = (take_bytes(&mut cursor)?.to_vec(), take_bytes(&mut cursor)?.to_vec());
        end(&cursor)?;
        Ok(Self {
            store,
            checkpoint,
            open,
            sealed,
        })
    }
}

fn begin(magic: [u8; 8]) -> Vec<u8> {
    let mut out = magic.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.resize(PREFIX_BYTES, 0);
    out
}

fn finish(mut out: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&out[PREFIX_BYTES..]);
    out[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn open(bytes: &[u8], magic: [u8; 8]) -> Result<Cursor<'_>, FormatError> {
    let mut cursor = Cursor::new(bytes);
    file_prefix(&mut cursor, magic)?;
    match cursor.u32()? == crc32fast::hash(bytes.get(PREFIX_BYTES..).unwrap_or_default()) {
        true => Ok(cursor),
        false => Err(FormatError::Checksum),
    }
}

fn end(cursor: &Cursor<'_>) -> Result<(), FormatError> {
    match cursor.remaining() == 0 {
        true => Ok(()),
        false => Err(FormatError::Invalid("more than there is to be")),
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take_bytes<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], FormatError> {
    let length = usize::try_from(cursor.u64()?).map_err(|_| FormatError::Short)?;
    cursor.slice(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use streamkit_record::Timestamp;

    #[test]
    fn a_snapshot_is_what_its_bytes_say_and_no_other_bytes_say_it() {
        let store = StoreId(Uuid::from_u128(3));
        let extent = |number: u64| ArchivedExtent {
            header: ExtentHeader {
                begun: true,
                salt: 5,
                previous_end: 4096,
                state: LogState {
                    trx_number: number,
                    last_timestamp: Timestamp(-7),
                    ..LogState::default()
                },
                ..ExtentHeader::prepared(store, number, 65536)
            },
            used_bytes: 5000,
            checksum: 1,
            index_bytes: 4100,
            index_checksum: 2,
            index_head: vec![1, 2, 3],
        };
        let snapshot = Snapshot {
            store,
            checkpoint: vec![1; 10],
            open: vec![2; 20],
            sealed: vec![extent(1), extent(2)],
        };
        let bytes = snapshot.encode();
        assert_eq!(Snapshot::decode(&bytes), Ok(snapshot.clone()));
        assert_eq!(snapshot.files().count(), 4);
        for at in 0..bytes.len() {
            assert!(Snapshot::decode(&bytes[..at]).is_err());
            let mut other = bytes.clone();
            other[at] ^= 1;
            // An older version is read as well, and two bytes of the prefix say nothing.
            assert!(Snapshot::decode(&other).is_err() || (8..12).contains(&at), "{at}");
        }
        let impossible = ArchivedExtent {
            used_bytes: 65537,
            ..extent(1)
        };
        assert!(decode_list(&encode_list(store, &[impossible])).is_err());
    }
}
