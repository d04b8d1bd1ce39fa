//! Names of spaces and segments.

use std::fmt;
use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;

/// Why a text cannot name a space or a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no bytes.
    #[error("a name must not be empty")]
    Empty,
    /// The name is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// The name contains a NUL byte, which separates names in cursors.
    #[error("a name must not contain NUL")]
    Nul,
    /// The bytes are not UTF-8.
    #[error("a name must be UTF-8")]
    NotUtf8,
}

/// The name of a space or a segment: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8 without NUL. Cheap to clone. Names order
/// by bytes and match exactly: `order-1` never stands for `order-12`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks a text.
    ///
    /// # Errors
    /// [`NameError`], one variant per broken rule.
    pub fn new(text: &str) -> Result<Self, NameError> {
        Self::check(text.as_bytes()).map(|text| Self(text.into()))
    }

    /// The text that bytes are, if it can name something.
    ///
    /// # Errors
    /// [`NameError`], one variant per broken rule.
    pub fn check(bytes: &[u8]) -> Result<&str, NameError> {
        if bytes.is_empty() {
            Err(NameError::Empty)
        } else if bytes.len() > NAME_BYTES_MAX {
            Err(NameError::TooLong(bytes.len()))
        } else if bytes.contains(&0) {
            Err(NameError::Nul)
        } else {
            std::str::from_utf8(bytes).map_err(|_| NameError::NotUtf8)
        }
    }

    /// Checks bytes, from disk or from a cursor.
    ///
    /// # Errors
    /// [`NameError`], one variant per broken rule.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        Self::check(bytes).map(|text| Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The full name of a segment.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SegmentPath {
    /// The space.
    pub space: Name,
    /// The segment in that space.
    pub segment: Name,
}

impl SegmentPath {
    /// Checks both names.
    ///
    /// # Errors
    /// The first [`NameError`] found.
    pub fn new(space: &str, segment: &str) -> Result<Self, NameError> {
        Ok(Self {
            space: Name::new(space)?,
            segment: Name::new(segment)?,
        })
    }

    /// The names of the space and of the segment.
    pub fn names(&self) -> (&str, &str) {
        (self.space.as_str(), self.segment.as_str())
    }
}

impl fmt::Display for SegmentPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.space, self.segment)
    }
}
