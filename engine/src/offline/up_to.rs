//! A file of which only the beginning counts.

use crate::disk::DiskFile;
use crate::offline::Arc;
use crate::offline::PathBuf;
/// The first bytes of a file, as if it had no more.
pub(super) struct UpTo {
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) size: u64,
}

impl DiskFile for UpTo {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.size.saturating_sub(offset).min(buffer.len() as u64);
        self.file.read_at(offset, &mut buffer[..left as usize])
    }

    fn write_at(&self, _offset: u64, _bytes: &[u8]) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn sync_data(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> std::io::Result<()> {
        Ok(())
    }
}
