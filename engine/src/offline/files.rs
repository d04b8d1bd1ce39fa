//! What stands in a store's folder, as far as it can be understood: unlike an open, this refuses nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Damage;
use super::unreadable::{Patient, Places};
use crate::disk::{Disk, DiskFile, OpenMode, read_all};
use crate::error::StorageError;
use crate::format::checkpoint::{self, Checkpoint};
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader, salt_of};
use crate::format::index::IndexHeader;
use crate::limits::BLOCK_BYTES;
use crate::log::end::durable_by;
use crate::log::headers::{has_groups, read_header};
use crate::log::names::FileName;
use crate::model::{LogPosition, StoreId};

/// One extent's file.
pub(crate) struct ExtentFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
    /// `None` if it is damaged.
    pub(crate) header: Option<ExtentHeader>,
}

/// Where the groups of a sealed extent end, and the link of the last one.
pub(crate) type SealedEnd = (u32, u32);

/// A checkpoint that is whole.
pub(crate) struct FoundCheckpoint {
    pub(crate) position: LogPosition,
    /// The log's state there, as the checkpoint says.
    pub(crate) state: LogState,
    /// Of the whole file.
    pub(crate) crc: u32,
}

/// The files of one store.
pub(crate) struct StoreFiles {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) store: StoreId,
    /// The extents the log has come to, and those that do not say.
    pub(crate) extents: BTreeMap<u64, ExtentFile>,
    /// Bytes of extents that are only prepared: there is nothing in them to go through.
    pub(crate) prepared_bytes: u64,
    /// Where the log was durable for sure.
    pub(crate) known_durable: Option<LogPosition>,
    pub(crate) checkpoint: Option<FoundCheckpoint>,
    /// What is wrong with headers, sizes and the checkpoint.
    pub(crate) damage: Vec<Damage>,
    /// Extents that are not there, each from the first to the last.
    pub(crate) missing: Vec<(u64, u64)>,
    /// What cannot be read.
    pub(crate) unreadable: Places,
}

impl StoreFiles {
    /// Looks at all of them.
    ///
    /// # Errors
    /// [`StorageError::Io`]. Damage is a finding.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, store: StoreId) -> Result<Self, StorageError> {
        let mut files = Self {
            disk: Arc::clone(disk),
            dir: dir.to_owned(),
            store,
            extents: BTreeMap::new(),
            prepared_bytes: 0,
            known_durable: None,
            checkpoint: None,
            damage: Vec::new(),
            missing: Vec::new(),
            unreadable: Places::default(),
        };
        let (mut prepared, mut indexed) = (Vec::new(), Vec::new());
        for name in disk.list(dir).map_err(|e| StorageError::io("list", dir, e))? {
            match FileName::parse(&name) {
                Some(FileName::Extent(number)) => files.read_extent(number, &mut prepared)?,
                Some(FileName::Index(number)) => indexed.push(number),
                _ => {}
            }
        }
        files.damage.sort_by_key(|damage| damage.extent);
        let next = files
            .extents
            .keys()
            .next_back()
            .map_or(1, |last| last.saturating_add(1));
        for number in prepared.into_iter().filter(|&number| number != next) {
            let found = "an extent that was never begun, though its number is not the log's next";
            files.note(number, 0, found);
        }
        files.read_checkpoint()?;
        let last = files.extents.values().next_back();
        files.known_durable = durable_by(
            files.known_durable,
            last.and_then(|file| file.header.as_ref()),
            indexed.into_iter().max(),
        );
        files.find_missing();
        Ok(files)
    }

    /// Opens a file of which some blocks may be unreadable.
    pub(crate) fn open_file(&self, name: FileName) -> std::io::Result<Arc<dyn DiskFile>> {
        let file = self.disk.open(&self.path(name), OpenMode::Read)?;
        let places = self.unreadable.clone();
        Ok(Arc::new(Patient { file, name, places }))
    }

    pub(crate) fn path(&self, name: FileName) -> PathBuf {
        name.in_dir(&self.dir)
    }

    fn note(&mut self, extent: u64, byte: u64, found: impl Into<String>) {
        let path = self.path(FileName::Extent(extent));
        self.damage.push(Damage::without_loss(path, extent, byte, found));
    }

    fn read_extent(&mut self, number: u64, prepared: &mut Vec<u64>) -> Result<(), StorageError> {
        let name = FileName::Extent(number);
        let file = self.open_file(name);
        let file = file.map_err(|e| StorageError::io("open", self.path(name), e))?;
        let header = read_header(&*file)?;
        let size = file.size();
        let size = size.map_err(|e| StorageError::io("read the size of", file.path(), e))?;
        let mut header = match header {
            Ok(header) if header.store == self.store && header.extent == number => Some(header),
            Ok(other) => {
                let found = format!("the header of extent {} of store {}", other.extent, other.store);
                self.note(number, 0, found);
                None
            }
            Err(error) => {
                self.note(number, 0, format!("the extent's header: {error}"));
                None
            }
        };
        if let Some(found) = header {
            if size != found.capacity {
                let text = format!("a file of {size} bytes; it was made with {}", found.capacity);
                self.note(number, size.min(found.capacity), text);
            }
            if !found.begun && !has_groups(&*file)? {
                prepared.push(number);
                self.prepared_bytes += size;
                return Ok(());
            }
            if !found.begun {
                self.note(number, 0, "a header of before the log came to this extent");
                header = None;
            }
        }
        self.extents.insert(number, ExtentFile { file, size, header });
        Ok(())
    }

    fn read_checkpoint(&mut self) -> Result<(), StorageError> {
        let path = self.path(FileName::Checkpoint);
        let file = match self.open_file(FileName::Checkpoint) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(|e| StorageError::io("open", &path, e))?,
        };
        let bytes = read_all(&*file).map_err(|e| StorageError::io("read", &path, e))?;
        let found = match checkpoint::decode(&bytes) {
            Ok(Checkpoint {
                store, position, state, ..
            }) if store == self.store => {
                self.known_durable = Some(position);
                let crc = crc32fast::hash(&bytes);
                self.checkpoint = Some(FoundCheckpoint { position, state, crc });
                return Ok(());
            }
            Ok(other) => format!(
                "the checkpoint of store {}; remove the file, it is made anew",
                other.store
            ),
            Err(error) => format!("{error}; remove the file, it is made anew"),
        };
        self.damage.push(Damage::without_loss(path, 0, 0, found));
        Ok(())
    }

    /// Each gap between the extents is one finding, however long it is.
    fn find_missing(&mut self) {
        let mut next = 1;
        for &number in self.extents.keys() {
            if number > next {
                self.missing.push((next, number - 1));
            }
            next = number.saturating_add(1);
        }
        if let Some(known) = self.known_durable
            && known.extent >= next
        {
            self.missing.push((next, known.extent));
        }
    }

    /// The file that is not there.
    pub(crate) fn missing_damage(&self, first: u64, last: u64) -> Damage {
        let found = match first == last {
            true => "nothing: the extent's file is missing".to_owned(),
            false => format!("nothing: the files of extents {first} to {last} are missing"),
        };
        let path = self.path(FileName::Extent(first));
        Damage {
            affected_is_all: false,
            ..Damage::without_loss(path, first, 0, found)
        }
    }

    /// Where the groups of an extent end, as the next extent's header says, or its own index file.
    pub(crate) fn sealed_end(&self, extent: u64) -> Option<SealedEnd> {
        if let Some(ExtentFile { header: Some(next), .. }) = self.extents.get(&(extent.saturating_add(1))) {
            return Some((next.previous_end, next.state.chain));
        }
        let is_last = self.extents.range(extent.saturating_add(1)..).next().is_none();
        let is_sealed = !is_last || self.known_durable.is_some_and(|known| known.extent > extent);
        let index = is_sealed.then(|| self.index_header(extent)).flatten()?;
        Some((index.end, index.chain))
    }

    fn index_header(&self, extent: u64) -> Option<IndexHeader> {
        let file = self.open_file(FileName::Index(extent)).ok()?;
        let mut page = vec![0; BLOCK_BYTES];
        let read = file.read_at(0, &mut page).ok()?;
        let (header, _) = IndexHeader::decode(&page[..read]).ok()?;
        (header.store == self.store && header.extent == extent).then_some(header)
    }

    /// The salt of an extent that does not say it any more. Its first group tells, if it is whole or continues `before`, the
    /// log's state where the extent begins; or the group whose link is known from elsewhere. A payload that poses as a group
    /// is none of them.
    pub(crate) fn salt(&self, extent: u64, before: &LogState) -> Result<Option<u32>, StorageError> {
        let Some(found) = self.extents.get(&extent) else {
            return Ok(None);
        };
        if let Some(header) = found.header {
            return Ok(Some(header.salt));
        }
        let mut links: Vec<u32> = self.sealed_end(extent).map(|(_, chain)| chain).into_iter().collect();
        let here = self.checkpoint.iter().filter(|found| found.position.extent == extent);
        links.extend(here.map(|found| found.state.chain));
        let read = |at: u64, length: usize| -> Result<Vec<u8>, StorageError> {
            let mut bytes = vec![0; length.min(found.size.saturating_sub(at) as usize)];
            let read = found.file.read_at(at, &mut bytes);
            let read = read.map_err(|e| StorageError::io("read", found.file.path(), e))?;
            bytes.truncate(read);
            Ok(bytes)
        };
        let check = |at: u64, head: &[u8]| -> Result<Option<u32>, StorageError> {
            let Some(salt) = salt_of(head) else { return Ok(None) };
            let Ok(header) = GroupHeader::decode(salt, head) else {
                return Ok(None);
            };
            let is_first = at == EXTENT_HEADER_BYTES as u64;
            if header.extent != extent as u32 || !(is_first || links.contains(&header.link)) {
                return Ok(None);
            }
            let follows = is_first && header.chain == before.chain && header.number == before.group_number + 1;
            let body = match follows {
                true => Vec::new(),
                false => read(at + GROUP_HEADER_BYTES as u64, header.body_bytes as usize)?,
            };
            Ok((follows || header.check_body(&body).is_ok()).then_some(salt))
        };
        const STEP: usize = 4 << 20;
        let mut at = EXTENT_HEADER_BYTES as u64;
        while at < found.size {
            let bytes = read(at, STEP)?;
            for offset in memchr::memmem::find_iter(&bytes, &GROUP_MAGIC).filter(|offset| offset % 8 == 0) {
                let head = read(at + offset as u64, GROUP_HEADER_BYTES)?;
                if let Some(salt) = check(at + offset as u64, &head)? {
                    return Ok(Some(salt));
                }
            }
            at += STEP as u64;
        }
        Ok(None)
    }
}
