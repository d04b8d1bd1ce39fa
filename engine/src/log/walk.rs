//! Walks the groups of one extent in order, and checks each against the one before. It reports what it finds and
//! decides nothing; [`super::verdict`] does.

use std::sync::Arc;

use super::verdict::Found;
use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::format::extent_header::LogState;
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader};
use crate::limits::BLOCK_BYTES;
use streamkit_record::LogPosition;

/// Bytes read at once.
const WINDOW_BYTES: usize = 4 << 20;

/// A walk through one extent.
pub(crate) struct Walk {
    file: Arc<dyn DiskFile>,
    extent: u64,
    salt: u32,
    limit: u64,
    at: u64,
    /// The log's state after the last group returned; the caller keeps the numbers of transactions in it.
    pub(crate) state: LogState,
    /// How far the log was durable when the last group returned was made.
    pub(crate) durable: Option<LogPosition>,
    window: Vec<u8>,
    window_at: u64,
}

/// One step.
pub(crate) enum Step<'a> {
    /// A whole group, and where it starts.
    Group {
        at: u32,
        header: GroupHeader,
        body: &'a [u8],
    },
    /// No whole group follows.
    End { at: u32, found: Found },
}

impl Walk {
    /// Starts at `at`, where the log's state was `state`. `salt` is the extent's.
    pub(crate) fn new(
        file: Arc<dyn DiskFile>,
        salt: u32,
        at: LogPosition,
        state: LogState,
    ) -> Result<Self, StorageError> {
        let limit = file
            .size()
            .map_err(|e| StorageError::io("read the size of", file.path(), e))?;
        let limit = limit.min(u64::from(u32::MAX));
        let (extent, at) = (at.extent, u64::from(at.byte));
        Ok(Self {
            file,
            extent,
            salt,
            limit,
            at,
            state,
            durable: None,
            window: Vec::new(),
            window_at: 0,
        })
    }

    /// The next whole group, or the end.
    pub(crate) fn step(&mut self) -> Result<Step<'_>, StorageError> {
        let direct = self.try_at(self.at)?;
        let fresh_block = self.at.next_multiple_of(BLOCK_BYTES as u64);
        let (at, header) = match direct {
            Ok(header) => (self.at, header),
            // A group that did not share its predecessor's last block starts on the next one.
            Err(found) => match self.try_at(fresh_block)? {
                Ok(header) => (fresh_block, header),
                Err(on_block) => {
                    let nothing = found == Found::Nothing && on_block == Found::Nothing;
                    let found = if nothing { Found::Nothing } else { Found::Broken };
                    return Ok(Step::End {
                        at: self.at as u32,
                        found,
                    });
                }
            },
        };
        self.state.chain = header.link;
        self.state.group_number = header.number;
        self.state.epoch = header.epoch;
        self.durable = Some(header.durable);
        self.at = at + header.span() as u64;
        let start = (at - self.window_at) as usize + GROUP_HEADER_BYTES;
        let body = &self.window[start..start + header.body_bytes as usize];
        Ok(Step::Group {
            at: at as u32,
            header,
            body,
        })
    }

    /// The place where the next group would start.
    pub(crate) fn at(&self) -> LogPosition {
        LogPosition {
            extent: self.extent,
            byte: self.at as u32,
        }
    }

    fn try_at(&mut self, at: u64) -> Result<Result<GroupHeader, Found>, StorageError> {
        let salt = self.salt;
        let Some(head) = self.load(at, GROUP_HEADER_BYTES)? else {
            return Ok(Err(Found::Nothing));
        };
        if head[..4] != GROUP_MAGIC {
            return Ok(Err(if head.iter().all(|&byte| byte == 0) {
                Found::Nothing
            } else {
                Found::Broken
            }));
        }
        let Ok(header) = GroupHeader::decode(salt, head) else {
            return Ok(Err(Found::Broken));
        };
        let follows = header.extent == self.extent as u32
            && header.number == self.state.group_number + 1
            && header.chain == self.state.chain
            && header.epoch >= self.state.epoch;
        if !follows {
            return Ok(Err(Found::Broken));
        }
        let Some(group) = self.load(at, GROUP_HEADER_BYTES + header.body_bytes as usize)? else {
            return Ok(Err(Found::Broken));
        };
        Ok(header
            .check_body(&group[GROUP_HEADER_BYTES..])
            .map(|()| header)
            .map_err(|_| Found::Broken))
    }

    /// Bytes of the extent; `None` beyond its end.
    fn load(&mut self, at: u64, length: usize) -> Result<Option<&[u8]>, StorageError> {
        if at + length as u64 > self.limit {
            return Ok(None);
        }
        let have = self.window_at <= at && at + length as u64 <= self.window_at + self.window.len() as u64;
        if !have {
            let wanted = (self.limit - at).min(length.max(WINDOW_BYTES) as u64) as usize;
            self.window.resize(wanted, 0);
            let read = self.file.read_at(at, &mut self.window);
            let read = read.map_err(|e| StorageError::io("read", self.file.path(), e))?;
            self.window.truncate(read);
            self.window_at = at;
            if read < length {
                return Ok(None);
            }
        }
        let start = (at - self.window_at) as usize;
        Ok(Some(&self.window[start..start + length]))
    }

    /// Searches after a bad group for proof that it was durable once: a later group of this log whose durable mark
    /// lies beyond it. Reads the rest of the extent at each byte, since a moved group may stand anywhere, even before
    /// the bytes its mark covers.
    pub(crate) fn durable_beyond(&mut self) -> Result<Option<LogPosition>, StorageError> {
        let end = self.at();
        let mut at = self.at;
        while at + GROUP_HEADER_BYTES as u64 <= self.limit {
            let length = (self.limit - at).min(WINDOW_BYTES as u64) as usize;
            let (extent, salt, number) = (self.extent, self.salt, self.state.group_number);
            let Some(bytes) = self.load(at, length)? else {
                return Ok(None);
            };
            for offset in memchr::memmem::find_iter(bytes, &GROUP_MAGIC) {
                // Under the salt of this extent, so it was written here and nowhere else.
                if let Ok(header) = GroupHeader::decode(salt, &bytes[offset..])
                    && header.extent == extent as u32
                    && header.number > number
                    && header.durable > end
                {
                    return Ok(Some(header.durable));
                }
            }
            // Headers that straddle two windows are found in the second.
            at += (length - GROUP_HEADER_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// The next whole header of a group of this extent at or after byte `from`, a multiple of 8, and its place.
    /// Considers only groups later than the last one returned, and ignores their bodies. Reads the rest of the extent,
    /// if there is none.
    pub(crate) fn next_header(&mut self, from: u32) -> Result<Option<(u32, GroupHeader)>, StorageError> {
        let mut at = u64::from(from).next_multiple_of(8);
        while at + GROUP_HEADER_BYTES as u64 <= self.limit {
            let length = (self.limit - at).min(WINDOW_BYTES as u64) as usize;
            let (extent, salt, state) = (self.extent, self.salt, self.state);
            let Some(bytes) = self.load(at, length)? else {
                return Ok(None);
            };
            for offset in memchr::memmem::find_iter(bytes, &GROUP_MAGIC) {
                if offset % 8 != 0 || offset + GROUP_HEADER_BYTES > length {
                    continue;
                }
                if let Ok(header) = GroupHeader::decode(salt, &bytes[offset..])
                    && header.extent == extent as u32
                    && header.number > state.group_number
                    && header.epoch >= state.epoch
                {
                    return Ok(Some(((at as usize + offset) as u32, header)));
                }
            }
            at += (length - GROUP_HEADER_BYTES + 8) as u64 & !7;
        }
        Ok(None)
    }

    /// Continues with the group whose header stands at `at`, whatever came before it.
    pub(crate) fn go_to(&mut self, at: u32, header: &GroupHeader) {
        self.at = u64::from(at);
        self.state.chain = header.chain;
        self.state.group_number = header.number.saturating_sub(1);
        self.state.epoch = header.epoch;
    }

    /// Continues after the group whose header stands at `at`, whatever became of its body.
    pub(crate) fn go_past(&mut self, at: u32, header: &GroupHeader) {
        self.at = (u64::from(at) + header.span() as u64).min(self.limit.next_multiple_of(8));
        self.state.chain = header.link;
        self.state.group_number = header.number;
        self.state.epoch = header.epoch;
    }

    /// The extent's bytes from `from` to `to`, as far as there are any.
    pub(crate) fn bytes(&mut self, from: u32, to: u64) -> Result<&[u8], StorageError> {
        let length = to.min(self.limit).saturating_sub(u64::from(from));
        Ok(self.load(u64::from(from), length as usize)?.unwrap_or_default())
    }

    /// The extent's file.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        &*self.file
    }

    /// The extent's salt.
    pub(crate) fn salt(&self) -> u32 {
        self.salt
    }

    /// Bytes of the file.
    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(test)]
mod tests;
