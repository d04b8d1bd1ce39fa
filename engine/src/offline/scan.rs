//! Finds the groups of an extent wherever they stand in its file: blocks may have changed places or been doubled, and
//! bytes inserted or removed. The salt proves that a group was written for this extent, its number where it belongs.

use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::format::extent_header::EXTENT_HEADER_BYTES;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader};

/// Bytes read at once.
const WINDOW_BYTES: usize = 4 << 20;

/// A group whose header is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scanned {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    /// The link of the group before.
    pub(crate) chain: u32,
    /// Everything before this byte of the extent was durable when it was written.
    pub(crate) durable: u32,
    pub(crate) at: u32,
    /// Where it ends.
    pub(crate) end: u32,
    /// Whether its transactions are whole too.
    pub(crate) whole: bool,
}

/// The groups of an extent from a number on, in the order of their numbers. Of several with one number, that is the one to
/// believe: whole before broken; of the later epoch, since what a crash left of an earlier one was never acknowledged; the
/// first in the file.
///
/// # Errors
/// [`StorageError::Io`].
pub(crate) fn groups_from(
    file: &dyn DiskFile,
    limit: u64,
    (extent, salt): (u64, u32),
    (number, epoch): (u64, u64),
) -> Result<Vec<Scanned>, StorageError> {
    let mut found = Vec::new();
    let mut window = ScanWindow {
        file,
        limit,
        bytes: Vec::new(),
        at: 0,
    };
    let mut at = EXTENT_HEADER_BYTES as u64;
    while at + GROUP_HEADER_BYTES as u64 <= limit {
        let bytes = window.load(at, WINDOW_BYTES.min((limit - at) as usize))?;
        if bytes.len() < GROUP_HEADER_BYTES {
            break;
        }
        let length = bytes.len();
        let next = memchr::memmem::find_iter(bytes, &GROUP_MAGIC).find_map(|offset| {
            let header = GroupHeader::decode(salt, bytes.get(offset..offset + GROUP_HEADER_BYTES)?).ok()?;
            let is_later = header.number >= number && header.epoch >= epoch;
            (header.extent == extent as u32 && is_later).then_some((at + offset as u64, header))
        });
        let Some((place, header)) = next else {
            // A header that straddles two windows is found in the second.
            at += (length - GROUP_HEADER_BYTES + 1) as u64;
            continue;
        };
        let body = window.load(place + GROUP_HEADER_BYTES as u64, header.body_bytes as usize)?;
        let whole = header.check_body(body).is_ok();
        found.push(Scanned {
            number: header.number,
            epoch: header.epoch,
            chain: header.chain,
            durable: match header.durable.extent == extent {
                true => header.durable.byte,
                false => 0,
            },
            at: place as u32,
            end: (place + header.span() as u64).min(limit) as u32,
            whole,
        });
        // A whole one holds no other; in one that is not, another may stand.
        at = place + if whole { header.span() as u64 } else { 1 };
    }
    found.sort_by_key(|group| (group.number, !group.whole, u64::MAX - group.epoch, group.at));
    found.dedup_by_key(|group| group.number);
    Ok(found)
}

struct ScanWindow<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    bytes: Vec<u8>,
    at: u64,
}

impl ScanWindow<'_> {
    /// The bytes at `at`, as far as there are any.
    fn load(&mut self, at: u64, length: usize) -> Result<&[u8], StorageError> {
        let length = length.min(self.limit.saturating_sub(at) as usize);
        if at < self.at || at + length as u64 > self.at + self.bytes.len() as u64 {
            let wanted = length.max(WINDOW_BYTES).min(self.limit.saturating_sub(at) as usize);
            self.bytes.resize(wanted, 0);
            let read = self.file.read_at(at, &mut self.bytes);
            let read = read.map_err(|e| StorageError::io("read", self.file.path(), e))?;
            self.bytes.truncate(read);
            self.at = at;
        }
        let start = (at - self.at) as usize;
        let end = self.bytes.len().min(start + length);
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }
}
