//! The first block of an extent: its log, and the state of that log when the extent began. A file gets its `.extent`
//! name with a header that marks it as prepared; the header that makes it part of the log overwrites that one. The two
//! differ in one sector, which a device writes whole or not at all. So an extent without a whole header is damage,
//! never a torn write.

use uuid::Uuid;

use super::log_start::LogStart;
use super::{Cursor, FormatError, file_prefix};
use crate::limits::{BLOCK_BYTES, FORMAT_VERSION};
use streamkit_record::{StoreId, Timestamp};

const MAGIC: [u8; 8] = *b"SKEXTENT";

/// Bytes the header takes; the first group stands right behind it.
pub const EXTENT_HEADER_BYTES: usize = BLOCK_BYTES;

/// The header's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtentHeader {
    /// The store whose log this is.
    pub store: StoreId,
    /// The extent's number, from 1.
    pub extent: u64,
    /// Whether the log has come to it. Until then the extent is only prepared, and nothing else here but `store`, `extent`
    /// and `capacity` means anything.
    pub begun: bool,
    /// Oldest extent that belonged to the log when this one was added.
    pub first_extent: u64,
    /// Bytes of the file.
    pub capacity: u64,
    /// Where the groups of the extent before end; 0 in extent 1.
    pub previous_end: u32,
    /// A random number in the checksum of each group here. Without it, a payload could hold what looks like a group's
    /// header, and be taken for one where a torn write makes the reader look for later groups.
    pub salt: u32,
    /// The log's state before the first group here.
    pub state: LogState,
    /// The durable mark: how far this extent was durable when a write to it failed; 0 if none did. A device that refuses a
    /// write may leave anything of the block that it was for, also of acknowledged groups that stood there before. What is
    /// missing before the mark is damage, however much it looks like a torn write.
    pub durable: u32,
}

/// What the next group must continue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogState {
    /// Raised at each open for writing.
    pub epoch: u64,
    /// Number of the last group; the next has one more.
    pub group_number: u64,
    /// Checksum of the last group's header.
    pub chain: u32,
    /// Number of the last transaction.
    pub trx_number: u64,
    /// Commit time of the last transaction.
    pub last_timestamp: Timestamp,
}

impl ExtentHeader {
    /// Of an extent that is prepared and waits for the log.
    pub fn prepared(store: StoreId, extent: u64, capacity: u64) -> Self {
        Self {
            store,
            extent,
            begun: false,
            first_extent: LogStart::WHOLE.extent(),
            capacity,
            previous_end: 0,
            salt: 0,
            state: LogState::default(),
            durable: 0,
        }
    }

    /// The block to write.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(EXTENT_HEADER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&u16::from(!self.begun).to_le_bytes());
        out.extend_from_slice(&[0; 4]); // the checksum's place
        out.extend_from_slice(self.store.0.as_bytes());
        out.extend_from_slice(&self.extent.to_le_bytes());
        out.extend_from_slice(&self.first_extent.to_le_bytes());
        out.extend_from_slice(&self.capacity.to_le_bytes());
        out.extend_from_slice(&self.previous_end.to_le_bytes());
        self.state.encode(&mut out);
        out.extend_from_slice(&self.salt.to_le_bytes());
        out.extend_from_slice(&self.durable.to_le_bytes());
        out.resize(EXTENT_HEADER_BYTES, 0);
        let crc = checksum(&out);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// What a block says whose checksum does not hold: store, extent and salt. Any of it may be what is damaged.
    ///
    /// # Errors
    /// [`FormatError`] where it is too short to say so.
    pub(crate) fn unchecked(block: &[u8]) -> Result<(StoreId, u64, u32), FormatError> {
        let mut cursor = Cursor::new(block);
        cursor.array::<16>()?; // magic, version, stage, checksum
        let (store, extent) = (StoreId(Uuid::from_bytes(cursor.array()?)), cursor.u64()?);
        cursor.array::<20>()?; // first extent, capacity, end of the one before
        LogState::decode(&mut cursor)?;
        Ok((store, extent, cursor.u32()?))
    }

    /// Reads a block.
    ///
    /// # Errors
    /// [`FormatError`]; a newer version is told apart before the checksum is looked at.
    pub fn decode(block: &[u8]) -> Result<Self, FormatError> {
        let block = block.get(..EXTENT_HEADER_BYTES).ok_or(FormatError::Short)?;
        let mut cursor = Cursor::new(block);
        let stage = file_prefix(&mut cursor, MAGIC)?;
        if cursor.u32()? != checksum(block) {
            return Err(FormatError::Checksum);
        }
        let header = Self {
            store: StoreId(Uuid::from_bytes(cursor.array()?)),
            extent: cursor.u64()?,
            begun: match stage {
                0 => true,
                1 => false,
                _ => {
                    return Err(FormatError::Invalid(
                        "an extent in a stage that this version does not know",
                    ));
                }
            },
            first_extent: cursor.u64()?,
            capacity: cursor.u64()?,
            previous_end: cursor.u32()?,
            state: LogState::decode(&mut cursor)?,
            salt: cursor.u32()?,
            durable: cursor.u32()?,
        };
        // Zero stands for none, and the last number must have a next.
        if header.extent == 0 || header.extent >= u64::from(u32::MAX) || header.first_extent > header.extent {
            return Err(FormatError::Invalid("an extent number out of range"));
        }
        Ok(header)
    }
}

/// The salt of an extent that other hosts make, too, each by itself: it follows from what stands before. Whoever knows all of that
/// could write what passes for a group of the extent into an entry, and make a host that loses its power at the wrong time take a torn write for damage;
/// what is acknowledged stands elsewhere, too.
pub(crate) fn common_salt(store: StoreId, extent: u64, state: &LogState) -> u32 {
    let mut known = store.0.as_bytes().to_vec();
    known.extend_from_slice(&extent.to_le_bytes());
    state.encode(&mut known);
    crc32fast::hash(&known)
}

impl LogState {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.chain.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.group_number.to_le_bytes());
        out.extend_from_slice(&self.trx_number.to_le_bytes());
        out.extend_from_slice(&self.last_timestamp.0.to_le_bytes());
    }

    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            chain: cursor.u32()?,
            epoch: cursor.u64()?,
            group_number: cursor.u64()?,
            trx_number: cursor.u64()?,
            last_timestamp: Timestamp(cursor.i64()?),
        })
    }
}

/// Over the whole block but the checksum itself.
fn checksum(block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&block[..12]);
    hasher.update(&block[16..]);
    hasher.finalize()
}
