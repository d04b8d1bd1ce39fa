//! Files and buffers of the bare loops: files prepared like extents, buffers that O_DIRECT takes.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::BLOCK_BYTES;
use crate::Outcome;

/// Files filled with zeros, removed when done.
pub(super) struct Prepared {
    pub(super) files: Vec<File>,
    paths: Vec<PathBuf>,
}

impl Prepared {
    pub(super) fn direct(dir: &Path, files: usize, bytes: usize) -> Outcome<Self> {
        Self::new(dir, files, bytes, (OFlags::DIRECT | OFlags::DSYNC).bits())
    }

    pub(super) fn new(dir: &Path, files: usize, bytes: usize, flags: u32) -> Outcome<Self> {
        let mut prepared = Self {
            files: Vec::with_capacity(files),
            paths: Vec::with_capacity(files),
        };
        let zeros = vec![0; bytes.min(1 << 20)];
        for number in 0..files {
            let path = dir.join(format!("floor-{number}"));
            let file = File::create(&path)?;
            prepared.paths.push(path.clone());
            let mut at = 0;
            while at < bytes {
                let piece = zeros.len().min(bytes - at);
                file.write_all_at(&zeros[..piece], at as u64)?;
                at += piece;
            }
            file.sync_all()?;
            prepared.files.push(
                OpenOptions::new()
                    .read(true)
                    .write(true)
                    .custom_flags(flags.cast_signed())
                    .open(path)?,
            );
        }
        File::open(dir)?.sync_all()?;
        Ok(prepared)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        for path in &self.paths {
            // What stays behind goes with the folder.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Bytes that start at a multiple of a block's size, as O_DIRECT wants them.
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub(super) fn new(length: usize) -> Self {
        let bytes = vec![b'x'; length + BLOCK_BYTES];
        let start = bytes.as_ptr().align_offset(BLOCK_BYTES);
        Self { bytes, start, length }
    }

    /// The bytes, and which part of them is aligned.
    pub(super) fn into_parts(self) -> (Vec<u8>, std::ops::Range<usize>) {
        let part = self.start..self.start + self.length;
        (self.bytes, part)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}
