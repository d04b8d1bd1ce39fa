//! With what a replica begins on another host, and the files that an archive is to have for it.

use std::sync::Arc;

use super::replica::Replica;
use crate::directory::names::FileName;
use crate::disk::{Disk, DiskFile, OpenMode, read_all, replace};
use crate::error::{StorageError, corrupt};
use crate::format::archive::{ArchivedExtent, ArchivedFile, FilePart, Snapshot, decode_list, encode_list};
use crate::format::extent_header::ExtentHeader;
use crate::format::log_start::LogStart;
use crate::index::checkpoint::{self, position};
use crate::limits::BLOCK_BYTES;
use crate::log::opened::StoreLog;
use streamkit_record::LogPosition;

impl Replica {
    /// With what another host begins where this replica is now; `None` while nothing is landed. It is of use once an archive has its
    /// files ([`Snapshot::files`]). Blocks while it reads what is sealed and not known to be archived.
    ///
    /// # Errors
    /// [`StorageError`]: an index file cannot be written yet, or a file cannot be read.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, StorageError> {
        let log = self.store.log();
        // Taken between two groups, and written down beside them.
        let (disk, position, header, state, segments, leases, runs) = {
            let writer = log.writer();
            writer.folder.latch.check()?;
            let Some(open) = &writer.open else { return Ok(None) };
            let catalog = log.catalog();
            let (segments, leases, runs) = (catalog.segments().clone(), catalog.leases.clone(), catalog.open.clone());
            let disk = Arc::clone(&writer.folder.disk);
            (disk, writer.tail(), open.header, writer.state, segments, leases, runs)
        };
        log.write_indexes(&*disk, position.extent)?;
        let mut sealed = archived(&*disk, log)?;
        let known = sealed.len() as u64;
        for extent in LogStart::WHOLE.extent() + known..position.extent {
            sealed.push(seal(&*disk, log, extent)?);
        }
        sealed.retain(|archived| archived.header.extent < position.extent);
        let file = log.extents.file(position.extent)?;
        Ok(Some(Snapshot {
            store: log.id,
            checkpoint: checkpoint::encode(log.id, position, &state, &segments, &leases, &runs),
            open: groups(log, &*file, &header, position)?,
            sealed,
        }))
    }

    /// Those files of a snapshot that are not known to be archived.
    ///
    /// # Errors
    /// [`StorageError`].
    pub fn unarchived(&self, snapshot: &Snapshot) -> Result<Vec<ArchivedFile>, StorageError> {
        let log = self.store.log();
        let disk = Arc::clone(&log.writer().folder.disk);
        let known = archived(&*disk, log)?.len() as u64;
        let last = LogStart::WHOLE.extent() + known;
        Ok(snapshot.files().filter(|file| file.extent >= last).collect())
    }

    /// The bytes of a file for the archive.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`]: they are not those of the snapshot.
    pub fn archive_bytes(&self, file: &ArchivedFile) -> Result<Vec<u8>, StorageError> {
        let log = self.store.log();
        let disk = Arc::clone(&log.writer().folder.disk);
        let bytes = match file.part {
            FilePart::Groups => {
                let (on_disk, header) = log.extents.header(file.extent)?;
                let end = LogPosition {
                    extent: file.extent,
                    byte: file.bytes,
                };
                groups(log, &*on_disk, &header, end)?
            }
            FilePart::Index => index(&*disk, log, file.extent)?,
        };
        match bytes.len() == file.bytes as usize && crc32fast::hash(&bytes) == file.checksum {
            true => Ok(bytes),
            false => Err(corrupt(log.id, file.extent, 0, "other bytes than when it was sealed")),
        }
    }

    /// An archive has all files of a snapshot of this replica: from now on, they may be removed here, where the disk is an
    /// [`ArchivedDisk`](crate::archive::ArchivedDisk). The next open begins with the checkpoint of the snapshot, or a later one.
    ///
    /// # Errors
    /// [`StorageError`]: the list of what is archived is the one of before.
    pub fn archived(&self, snapshot: &Snapshot) -> Result<(), StorageError> {
        let log = self.store.log();
        let disk = Arc::clone(&log.writer().folder.disk);
        if archived(&*disk, log)?.len() >= snapshot.sealed.len() {
            return Ok(());
        }
        let at = position(&snapshot.checkpoint).map_err(|error| corrupt(log.id, 0, 0, error.to_string()))?;
        // First, so that no open walks through what may be removed.
        log.write_checkpoint(&*disk, at, &snapshot.checkpoint)?;
        let path = FileName::Archived.in_dir(&log.dir);
        let written = replace(&*disk, &path, &encode_list(log.id, &snapshot.sealed));
        written.map_err(|error| StorageError::io("write", path, error))?;
        // What is open as a file of its own would stay on the disk after its removal.
        log.extents.close();
        Ok(())
    }
}

/// What is known to be archived, from the first extent on.
fn archived(disk: &dyn Disk, log: &StoreLog) -> Result<Vec<ArchivedExtent>, StorageError> {
    let path = FileName::Archived.in_dir(&log.dir);
    let bytes = match disk.open(&path, OpenMode::Read).and_then(|file| read_all(&*file)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io("read", path, error)),
    };
    match decode_list(&bytes) {
        Ok((store, extents)) if store == log.id => Ok(extents),
        Ok(_) => Err(corrupt(log.id, 0, 0, "the list of another store's archived files")),
        Err(error) => Err(corrupt(log.id, 0, 0, format!("{}: {error}", path.display()))),
    }
}

/// A sealed extent as it is to be archived.
fn seal(disk: &dyn Disk, log: &StoreLog, extent: u64) -> Result<ArchivedExtent, StorageError> {
    let (_, next) = log.extents.header(extent + 1)?; // numbers stay below 2^32
    let (file, header) = log.extents.header(extent)?;
    let end = LogPosition {
        extent,
        byte: next.previous_end,
    };
    let groups = groups(log, &*file, &header, end)?;
    let index = index(disk, log, extent)?;
    let mut index_head = index[..index.len().min(BLOCK_BYTES)].to_vec();
    index_head.truncate(
        index_head
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |last| last + 1),
    );
    Ok(ArchivedExtent {
        header: ExtentHeader { durable: 0, ..header },
        used_bytes: end.byte,
        checksum: crc32fast::hash(&groups),
        index_bytes: index.len() as u32, // of an extent of 1 GiB: below 4 GiB
        index_checksum: crc32fast::hash(&index),
        index_head,
    })
}

/// An extent up to where its groups end. A durable mark is of one host alone.
fn groups(
    log: &StoreLog,
    file: &dyn DiskFile,
    header: &ExtentHeader,
    end: LogPosition,
) -> Result<Vec<u8>, StorageError> {
    let mut bytes = vec![0; end.byte as usize];
    let read = file.read_at(0, &mut bytes);
    let read = read.map_err(|error| StorageError::io("read", file.path(), error))?;
    if read < bytes.len() || read < BLOCK_BYTES {
        return Err(corrupt(log.id, end.extent, read as u32, "the end of the file")); // shorter than an extent
    }
    let block = ExtentHeader { durable: 0, ..*header }.encode();
    bytes[..block.len()].copy_from_slice(&block);
    Ok(bytes)
}

fn index(disk: &dyn Disk, log: &StoreLog, extent: u64) -> Result<Vec<u8>, StorageError> {
    let path = FileName::Index(extent).in_dir(&log.dir);
    let read = disk.open(&path, OpenMode::Read).and_then(|file| read_all(&*file));
    read.map_err(|error| StorageError::io("read", path, error))
}
