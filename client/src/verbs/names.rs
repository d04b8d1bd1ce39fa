//! Names as callers give them.

use streamkit_record::{Name, SegmentPath, Wanted};

use crate::error::Error;

/// A segment's names.
pub(crate) fn segment_path(space: &str, segment: &str) -> Result<SegmentPath, Error> {
    Ok(SegmentPath {
        space: name(space, "space")?,
        segment: name(segment, "segment")?,
    })
}

/// A whole space.
pub(crate) fn part(space: &str) -> Result<Wanted, Error> {
    name(space, "space").map(Wanted::Space)
}

/// A name of such a thing.
pub(crate) fn name(text: &str, of: &str) -> Result<Name, Error> {
    Name::new(text).map_err(|error| Error::Invalid(format!("invalid {of}: {error}")))
}
