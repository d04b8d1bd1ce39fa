//! The contents of a store's folder, as far as they can be understood. Unlike an open, this refuses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Damage;
use super::sizes;
use super::unreadable::{Patient, UnreadablePlaces};
use super::up_to::UpTo;
use crate::directory::extent_file::read_header;
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode};
use crate::error::StorageError;
use crate::error::is_nothing;
use crate::format::checkpoint::Gist;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::group::{GROUP_HEADER_BYTES, GROUP_MAGIC, GroupHeader, salt_of};
use crate::format::index::IndexHeader;
use crate::format::log_start::LogStart;
use crate::index::catalog::Catalog;
use crate::index::checkpoint::{self, Checkpoint};
use crate::limits::BLOCK_BYTES;
use crate::log::end::durable_by;
use crate::log::headers::has_groups;
use streamkit_record::{LogPosition, StoreId};

/// One extent's file.
pub(crate) struct ExtentFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) size: u64,
    /// `None` if it is damaged, or another extent's: then it vouches for nothing.
    pub(crate) header: Option<ExtentHeader>,
    /// The salt that stands in a header which is not whole, and still names this store and this number.
    said_salt: Option<u32>,
}

/// Where the groups of a sealed extent end, and the link of the last one.
pub(crate) type SealedEnd = (u32, u32);

/// A checkpoint that is whole.
pub(crate) struct FoundCheckpoint {
    pub(crate) position: LogPosition,
    /// The log's state there, as the checkpoint says.
    pub(crate) state: LogState,
    /// The segments there.
    pub(crate) catalog: Catalog,
    /// Of the whole file.
    pub(crate) crc: u32,
    pub(crate) gist: Gist,
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
    /// Extents whose names lead to nothing that can be read, with the reason.
    no_files: BTreeMap<u64, String>,
    /// Extents that are not there, each from the first to the last.
    pub(crate) missing: Vec<(u64, u64)>,
    /// What has a name there.
    listed: BTreeSet<FileName>,
    /// What cannot be read.
    pub(crate) unreadable: UnreadablePlaces,
    /// Whether transactions count of which no group says that they are this store's.
    pub(super) take_unproven: bool,
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
            listed: BTreeSet::new(),
            extents: BTreeMap::new(),
            prepared_bytes: 0,
            known_durable: None,
            checkpoint: None,
            damage: Vec::new(),
            no_files: BTreeMap::new(),
            missing: Vec::new(),
            unreadable: UnreadablePlaces::default(),
            take_unproven: false,
        };
        let (mut prepared, mut indexed) = (Vec::new(), Vec::new());
        let names = match disk.list(dir) {
            Err(error) if is_nothing(&error) => {
                let found = format!("no folder that can be read ({error}): nothing of the store is there");
                files.damage.push(Damage {
                    affected_is_all: false,
                    ..Damage::without_loss(dir.to_owned(), 0, 0, found)
                });
                return Ok(files);
            }
            names => names.map_err(|e| StorageError::io("list", dir, e))?,
        };
        for name in names {
            let name = FileName::parse(&name);
            files.listed.extend(name);
            match name {
                Some(FileName::Extent(number)) => files.read_extent(number, &mut prepared)?,
                Some(FileName::Index(number)) => indexed.push(number),
                _ => {}
            }
        }
        files.damage.sort_by_key(|damage| damage.extent);
        let next = LogStart::WHOLE.next_behind(files.extents.keys().next_back().copied());
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
        let file = match self.open_file(name) {
            Err(error) if is_nothing(&error) => {
                // As if it were missing: nothing stands there that could be read.
                self.no_files.insert(number, error.to_string());
                return Ok(());
            }
            file => file.map_err(|e| StorageError::io("open", self.path(name), e))?,
        };
        let header = read_header(&*file)?;
        let mut said_salt = None;
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
                said_salt = self.said_salt(number, &*file)?;
                None
            }
        };
        let bytes = sizes::extent_bytes(size, header.map(|header| header.capacity));
        if header.is_none() && bytes < size {
            let found = format!("a file of {size} bytes, which no extent has; no more than {bytes} are looked at");
            self.note(number, bytes, found);
        }
        if let Some(found) = header {
            if size != found.capacity {
                let text = format!("a file of {size} bytes; it was made with {}", found.capacity);
                self.note(number, size.min(found.capacity), text);
            }
            if !found.begun && !has_groups(&*file)? {
                prepared.push(number);
                self.prepared_bytes += bytes;
                return Ok(());
            }
            if !found.begun {
                self.note(number, 0, "a header of before the log came to this extent");
                header = None;
            }
        }
        let size = bytes;
        let file: Arc<dyn DiskFile> = Arc::new(UpTo { file, size });
        self.extents.insert(
            number,
            ExtentFile {
                file,
                size,
                header,
                said_salt,
            },
        );
        Ok(())
    }

    /// Whether a file's name is there, whatever it leads to.
    pub(crate) fn lists(&self, name: FileName) -> bool {
        self.listed.contains(&name)
    }

    /// The salt that stands in the place of a header that is not whole, where that still holds this store's id and the extent's number.
    fn said_salt(&self, number: u64, file: &dyn DiskFile) -> Result<Option<u32>, StorageError> {
        let mut block = vec![0; EXTENT_HEADER_BYTES];
        let read = file.read_at(0, &mut block);
        let read = read.map_err(|e| StorageError::io("read", file.path(), e))?;
        Ok(match ExtentHeader::unchecked(&block[..read]) {
            Ok((store, extent, salt)) if (store, extent) == (self.store, number) => Some(salt),
            _ => None,
        })
    }

    fn read_checkpoint(&mut self) -> Result<(), StorageError> {
        let path = self.path(FileName::Checkpoint);
        let file = match self.open_file(FileName::Checkpoint) {
            Err(_) if !self.listed.contains(&FileName::Checkpoint) => return Ok(()),
            Err(error) if is_nothing(&error) => {
                let found = format!("{error}; remove it, the checkpoint is made anew");
                self.damage.push(Damage::without_loss(path, 0, 0, found));
                return Ok(());
            }
            other => other.map_err(|e| StorageError::io("open", &path, e))?,
        };
        let bytes = match sizes::read_checkpoint(&*file) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                let found = format!("{error}; remove the file, it is made anew");
                self.damage.push(Damage::without_loss(path, 0, 0, found));
                return Ok(());
            }
            bytes => bytes.map_err(|e| StorageError::io("read", &path, e))?,
        };
        let found = match checkpoint::decode(&bytes) {
            Ok(Checkpoint {
                store,
                position,
                state,
                catalog,
                gist,
            }) if store == self.store => {
                self.known_durable = Some(position);
                let crc = crc32fast::hash(&bytes);
                self.checkpoint = Some(FoundCheckpoint {
                    position,
                    state,
                    catalog,
                    crc,
                    gist,
                });
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
        let mut next = LogStart::WHOLE.extent();
        for &number in self.extents.keys() {
            if number > next {
                self.missing.push((next, number - 1));
            }
            next = number.saturating_add(1);
        }
        let known = self.known_durable.map_or(0, |known| known.extent);
        let last = known.max(self.no_files.keys().next_back().copied().unwrap_or(0));
        if last >= next {
            self.missing.push((next, last));
        }
    }

    /// The file that is not there.
    pub(crate) fn missing_damage(&self, first: u64, last: u64) -> Damage {
        let no_file = self.no_files.get(&first).filter(|_| first == last);
        let found = match no_file {
            Some(why) => format!("{why}: nothing of the extent is there"),
            None if first == last => "nothing: the extent's file is missing".to_owned(),
            None => format!("nothing: the files of extents {first} to {last} are missing"),
        };
        let path = self.path(FileName::Extent(first));
        Damage {
            affected_is_all: false,
            ..Damage::without_loss(path, first, 0, found)
        }
    }

    /// Where the groups of an extent end, as the next extent's header says, or its own index file.
    pub(crate) fn sealed_end(&self, extent: u64) -> Option<SealedEnd> {
        if let Some(said) = self.next_says(extent) {
            return Some(said);
        }
        let is_last = self.extents.range(extent.saturating_add(1)..).next().is_none();
        let is_sealed = !is_last || self.known_durable.is_some_and(|known| known.extent > extent);
        let index = is_sealed.then(|| self.index_header(extent)).flatten()?;
        Some((index.end, index.chain))
    }

    /// Where the groups of an extent end, as the next extent's header says.
    pub(crate) fn next_says(&self, extent: u64) -> Option<SealedEnd> {
        let next = self.next_header(extent)?;
        Some((next.previous_end, next.state.chain))
    }

    /// The header of the extent behind this one.
    pub(crate) fn next_header(&self, extent: u64) -> Option<&ExtentHeader> {
        self.extents.get(&extent.saturating_add(1))?.header.as_ref()
    }

    /// All of an index file.
    pub(crate) fn read_index(&self, extent: u64) -> std::io::Result<Vec<u8>> {
        sizes::read_index(&*self.open_file(FileName::Index(extent))?)
    }

    fn index_header(&self, extent: u64) -> Option<IndexHeader> {
        let file = self.open_file(FileName::Index(extent)).ok()?;
        let mut page = vec![0; BLOCK_BYTES];
        let read = file.read_at(0, &mut page).ok()?;
        let (header, _) = IndexHeader::decode(&page[..read]).ok()?;
        (header.store == self.store && header.extent == extent).then_some(header)
    }

    /// The salt of an extent that does not say it any more, or whose header is another's. A group tells it that is proved to be of
    /// this log: by its link, which the next extent's header knows, the index file or the checkpoint; as the first one by
    /// `before`, the log's state where the extent begins, which it continues; or by what is left of a header that still names
    /// this store and number, and the group's own salt. A payload that poses as a group, and another store's groups, are none of them.
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
            // Each log begins with the same state: there, it proves nothing.
            let follows = is_first
                && before.group_number > 0
                && header.chain == before.chain
                && header.number == before.group_number + 1;
            if follows || links.contains(&header.link) {
                return Ok(Some(salt));
            }
            let body = read(at + GROUP_HEADER_BYTES as u64, header.body_bytes as usize)?;
            Ok((found.said_salt == Some(salt) && header.check_body(&body).is_ok()).then_some(salt))
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
