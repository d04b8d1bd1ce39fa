//! Checks the archived files of the copies that the last checkpoint lists.

use streamkit_engine::archive::ArchivedFile;

use super::damage::LogPlace;
use super::patience::patiently;
use super::report::VerifyProgress;
use super::walk::Walk;
use crate::ledger::blob_name;
use crate::log::{Checkpoint, CheckpointAt};
use crate::medium::Unanswered;

impl Walk<'_> {
    /// Takes the list of archived files that a checkpoint holds.
    pub fn list_archive(&mut self, at: CheckpointAt, checkpoint: &Checkpoint) {
        match self.bodies.archived(&checkpoint.ledger) {
            Ok(files) => self.archived = files,
            Err(why) => self.damage(LogPlace::Checkpoint(at.blob), why),
        }
    }

    /// Reads each archived file, one at a time. None is ever removed, so that the list stays right when there is a newer one.
    pub async fn archive(&mut self, progress: &mut (dyn FnMut(VerifyProgress) + Send)) -> Result<(), Unanswered> {
        let files = std::mem::take(&mut self.archived);
        let extents = self.report.extents;
        for (at, file) in (0..).zip(&files) {
            progress(VerifyProgress {
                checked: extents + at,
                of: extents + files.len() as u64,
                bytes: self.report.bytes,
            });
            self.archived_file(file).await?;
            self.report.archived_files += 1;
        }
        Ok(())
    }

    async fn archived_file(&mut self, file: &ArchivedFile) -> Result<(), Unanswered> {
        let name = blob_name(file);
        let place = LogPlace::Archive(name);
        match patiently(|| self.medium.get_blob(name)).await {
            Ok(None) => self.damage(place, "it is not there"),
            Ok(Some(bytes)) => {
                self.report.bytes += bytes.len() as u64;
                if bytes.len() as u64 != u64::from(file.bytes) {
                    let (length, wanted) = (bytes.len(), file.bytes);
                    self.damage(
                        place,
                        format!("it has {length} bytes, and the checkpoint lists {wanted}"),
                    );
                } else if crc32fast::hash(&bytes) != file.checksum {
                    self.damage(place, "it has another checksum than the checkpoint lists");
                }
            }
            Err(Unanswered::Damaged(why)) => self.damage(place, why),
            Err(why) => return Err(why),
        }
        Ok(())
    }
}
