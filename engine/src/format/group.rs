//! A group: the transactions made durable by one write. Its header chains it to the group before, so that bytes from
//! an earlier life of the file never pass for it. It also states what was known durable when it was made, which tells
//! damage from a torn write.

use uuid::Uuid;

use super::{Cursor, FormatError, align_group};
use streamkit_record::LogPosition;

/// First bytes of each group.
pub const GROUP_MAGIC: [u8; 4] = *b"SKGR";

/// Bytes of a group's header; its transactions follow, packed.
pub const GROUP_HEADER_BYTES: usize = 72;

const _: () = assert!(GROUP_HEADER_BYTES.is_multiple_of(8));

/// The header's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupHeader {
    /// Checksum of the transactions.
    pub body_crc: u32,
    /// Bytes of the transactions.
    pub body_bytes: u32,
    /// [`GroupHeader::link`] of the group before.
    pub chain: u32,
    /// Transactions in the body.
    pub transaction_count: u32,
    /// One more than the group before.
    pub number: u64,
    /// The epoch of the open that wrote it.
    pub epoch: u64,
    /// Everything before this position was durable when the group was written.
    pub durable: LogPosition,
    /// Low half of the extent's number: a group belongs to one place.
    pub extent: u32,
    /// The node that wrote it; nil in a store of one host.
    pub writer: Uuid,
    /// Checksum of the header; set by [`GroupHeader::decode`] and when the group is written.
    pub link: u32,
}

impl GroupHeader {
    /// Writes the header in front of a body that already stands behind it in `group`, and sets the checksums. `salt` is
    /// the extent's.
    ///
    /// # Panics
    /// If `group` is shorter than a header, or its body longer than 4 GiB: a caller's mistake.
    pub fn seal(mut self, salt: u32, group: &mut [u8]) -> GroupHeader {
        let (header, body) = group.split_at_mut(GROUP_HEADER_BYTES);
        self.body_crc = crc32fast::hash(body);
        self.body_bytes = u32::try_from(body.len()).expect("a group fits in an extent");
        header[..4].copy_from_slice(&GROUP_MAGIC);
        header[8..12].copy_from_slice(&self.body_crc.to_le_bytes());
        header[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        header[16..20].copy_from_slice(&self.chain.to_le_bytes());
        header[20..24].copy_from_slice(&self.transaction_count.to_le_bytes());
        header[24..32].copy_from_slice(&self.number.to_le_bytes());
        header[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        header[40..48].copy_from_slice(&self.durable.extent.to_le_bytes());
        header[48..52].copy_from_slice(&self.durable.byte.to_le_bytes());
        header[52..56].copy_from_slice(&self.extent.to_le_bytes());
        header[56..72].copy_from_slice(self.writer.as_bytes());
        self.link = link(salt, header);
        header[4..8].copy_from_slice(&self.link.to_le_bytes());
        self
    }

    /// Reads a header that stands in an extent with this salt. The body is the caller's to check, with [`GroupHeader::check_body`].
    ///
    /// # Errors
    /// [`FormatError`].
    pub fn decode(salt: u32, bytes: &[u8]) -> Result<Self, FormatError> {
        let header = bytes.get(..GROUP_HEADER_BYTES).ok_or(FormatError::Short)?;
        let mut cursor = Cursor::new(header);
        if cursor.array::<4>()? != GROUP_MAGIC {
            return Err(FormatError::Magic);
        }
        let found = cursor.u32()?;
        if found != link(salt, header) {
            return Err(FormatError::Checksum);
        }
        Ok(Self {
            link: found,
            body_crc: cursor.u32()?,
            body_bytes: cursor.u32()?,
            chain: cursor.u32()?,
            transaction_count: cursor.u32()?,
            number: cursor.u64()?,
            epoch: cursor.u64()?,
            durable: LogPosition {
                extent: cursor.u64()?,
                byte: cursor.u32()?,
            },
            extent: cursor.u32()?,
            writer: Uuid::from_bytes(cursor.array()?),
        })
    }

    /// Whether these are the transactions the header was written for.
    ///
    /// # Errors
    /// [`FormatError::Checksum`] or [`FormatError::Short`].
    pub fn check_body(&self, body: &[u8]) -> Result<(), FormatError> {
        if body.len() != self.body_bytes as usize {
            Err(FormatError::Short)
        } else if crc32fast::hash(body) != self.body_crc {
            Err(FormatError::Checksum)
        } else {
            Ok(())
        }
    }

    /// Bytes from this group's start to where the next may start.
    pub fn span(&self) -> usize {
        align_group(GROUP_HEADER_BYTES + self.body_bytes as usize)
    }
}

/// The checksum of a header's bytes, all but the magic and the checksum itself.
fn link(salt: u32, header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&header[8..GROUP_HEADER_BYTES]);
    hasher.finalize()
}

/// The one salt under which a header's checksum is right, whatever the header is: for an extent that does not say its salt
/// any more. `None` if these are no [`GROUP_HEADER_BYTES`] bytes.
///
/// A checksum over a number and bytes behind it is linear in the number: the checksum over zero, and for each bit of the
/// number one more value that does not depend on the bytes.
pub(crate) fn salt_of(header: &[u8]) -> Option<u32> {
    let header = header.get(..GROUP_HEADER_BYTES)?;
    let found = u32::from_le_bytes(header[4..8].try_into().ok()?);
    let zeros = [0; GROUP_HEADER_BYTES];
    let mut wanted = found ^ link(0, header);
    // Gauss: each row is what some bits of the salt change; afterwards each has a leading bit that no other has.
    let mut rows: Vec<(u32, u32)> = (0..u32::BITS)
        .map(|bit| (link(1 << bit, &zeros) ^ link(0, &zeros), 1 << bit))
        .collect();
    for lead in 0..rows.len() {
        let (changes, bits) = rows[lead];
        let bit = changes & changes.wrapping_neg();
        for other in (0..rows.len()).filter(|&other| other != lead) {
            if rows[other].0 & bit != 0 {
                rows[other].0 ^= changes;
                rows[other].1 ^= bits;
            }
        }
    }
    let mut salt = 0;
    for (changes, bits) in rows {
        if wanted & changes & changes.wrapping_neg() != 0 {
            wanted ^= changes;
            salt ^= bits;
        }
    }
    (wanted == 0).then_some(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_of_a_header_is_found() {
        for salt in [0, 1, 0x5566_7788, u32::MAX] {
            let mut group = vec![7; GROUP_HEADER_BYTES + 100];
            let header = GroupHeader {
                body_crc: 0,
                body_bytes: 0,
                chain: salt.rotate_left(5),
                transaction_count: 1,
                number: 9,
                epoch: 2,
                durable: LogPosition::default(),
                extent: 4,
                writer: Uuid::nil(),
                link: 0,
            };
            header.seal(salt, &mut group);
            assert_eq!(salt_of(&group), Some(salt));
        }
    }
}
