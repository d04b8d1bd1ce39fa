//! Checks that the source and target of a copy are apart: neither stands in the other, under whatever names. Otherwise
//! the copy would become part of its source, and cleaning up one would remove the other.

use std::path::Path;

use crate::boundary::backup::BackupError;
use crate::directory::overlap::overlap;
use crate::directory::read_format;
use crate::disk::Disk;
use crate::error::StorageError;

/// Refuses to copy from one to the other.
pub(super) fn refuse_overlap(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), BackupError> {
    match overlap(disk, from, to).map_err(|e| StorageError::io("find", to, e))? {
        true => Err(BackupError::Refused(format!(
            "{} and {} must not stand in each other; choose another folder",
            to.display(),
            from.display()
        ))),
        false => Ok(()),
    }
}

/// Refuses a target that stands in any data directory, whoever that belongs to: a server may be asked for its own.
pub(super) fn refuse_within_data(disk: &dyn Disk, target: &Path) -> Result<(), BackupError> {
    let resolved = disk.resolve(target).map_err(|e| StorageError::io("find", target, e))?;
    for above in resolved.ancestors().skip(1) {
        if let Ok(Some(said)) = read_format(disk, above)
            && said.starts_with("streamkit ")
        {
            return Err(BackupError::Refused(format!(
                "{} is in the data directory {}; choose another folder",
                target.display(),
                above.display()
            )));
        }
    }
    Ok(())
}
