//! Blocks that a device cannot read any more. The tools read zeros in their place, which no checksum accepts, and note
//! the places: a bad sector costs only its own contents.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::directory::names::FileName;
use crate::disk::DiskFile;
use crate::limits::BLOCK_BYTES;

/// A place of a file that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unreadable {
    pub(crate) name: FileName,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) why: String,
}

/// All such places of a store's files.
#[derive(Clone, Default)]
pub(crate) struct UnreadablePlaces(Arc<Mutex<BTreeMap<(FileName, u64), Unreadable>>>);

impl UnreadablePlaces {
    fn note(&self, place: Unreadable) {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        places.insert((place.name, place.from), place);
    }

    /// Those found so far; blocks that follow each other are one.
    pub(crate) fn all(&self) -> Vec<Unreadable> {
        let places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Unreadable> = Vec::new();
        for place in places.values() {
            match all.last_mut() {
                Some(last) if last.name == place.name && last.to >= place.from => last.to = last.to.max(place.to),
                _ => all.push(place.clone()),
            }
        }
        all
    }
}

/// A file that is read as far as it can be.
pub(crate) struct Patient {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) name: FileName,
    pub(crate) places: UnreadablePlaces,
}

impl DiskFile for Patient {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Ok(read) = self.file.read_at(offset, buffer) {
            return Ok(read);
        }
        let left = self.file.size()?.saturating_sub(offset);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < wanted {
            let from = offset + done as u64;
            let block = BLOCK_BYTES - (from % BLOCK_BYTES as u64) as usize;
            let part = &mut buffer[done..wanted.min(done + block)];
            match self.file.read_at(from, part) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) => {
                    part.fill(0);
                    done += part.len();
                    self.places.note(Unreadable {
                        name: self.name,
                        from,
                        to: offset + done as u64,
                        why: error.to_string(),
                    });
                }
            }
        }
        Ok(done)
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }
}
