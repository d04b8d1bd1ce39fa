//! Reads a file from its start, piece by piece.

use std::io;

use super::traits::DiskFile;

/// Bytes asked of the file at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Where in a file the next byte is read.
pub(crate) struct FileReader<'a> {
    file: &'a dyn DiskFile,
    /// Of what stands behind `piece`.
    at: u64,
    piece: Vec<u8>,
    taken: usize,
}

impl<'a> FileReader<'a> {
    /// At its start.
    pub(crate) fn new(file: &'a dyn DiskFile) -> Self {
        let (at, piece, taken) = (0, Vec::new(), 0);
        Self { file, at, piece, taken }
    }
}

impl io::Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            self.piece.resize(PIECE_BYTES, 0);
            let read = self.file.read_at(self.at, &mut self.piece)?;
            self.piece.truncate(read);
            (self.at, self.taken) = (self.at + read as u64, 0);
        }
        let length = buffer.len().min(self.piece.len() - self.taken);
        buffer[..length].copy_from_slice(&self.piece[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::path::Path;

    use super::*;
    use crate::disk::traits::{Disk as _, OpenMode};
    use crate::simulation::Simulated;

    #[test]
    fn all_of_a_file_is_read_and_nothing_behind_it() {
        let disk = Simulated::default();
        for size in [0, 1, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES + 7] {
            let bytes: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            let file = disk.open(Path::new("/file"), OpenMode::Create).unwrap();
            file.write_at(0, &bytes).unwrap();
            let mut read = Vec::new();
            FileReader::new(&*file).read_to_end(&mut read).unwrap();
            assert!(read == bytes, "{size}");
        }
    }
}
