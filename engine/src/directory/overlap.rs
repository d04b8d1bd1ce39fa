//! Whether two folders are the same, or one stands in the other, under whatever names.

use std::io;
use std::path::Path;

use crate::disk::Disk;

/// Whether two folders are one, or one stands in the other.
pub(crate) fn overlap(disk: &dyn Disk, one: &Path, other: &Path) -> io::Result<bool> {
    Ok(is_within(disk, one, other)? || is_within(disk, other, one)?)
}

fn is_within(disk: &dyn Disk, inner: &Path, outer: &Path) -> io::Result<bool> {
    let (inner, outer) = (disk.resolve(inner)?, disk.resolve(outer)?);
    for above in inner.ancestors() {
        if above == outer || disk.is_same(above, &outer)? {
            return Ok(true);
        }
    }
    Ok(false)
}
