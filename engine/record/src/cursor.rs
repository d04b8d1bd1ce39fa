//! Reads numbers and slices off bytes that nobody vouches for. All numbers are little-endian.

/// Why bytes are not what their place demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes end too early.
    #[error("it ends too early")]
    Short,
    /// Something else stands here, or nothing.
    #[error("the magic bytes are missing")]
    Magic,
    /// A newer version wrote it.
    #[error("it has format version {0}, which is newer than this program")]
    Version(u16),
    /// The checksum does not match.
    #[error("the checksum does not match")]
    Checksum,
    /// The checksum matches, but the bytes break the rules of the format.
    #[error("{0}")]
    Invalid(&'static str),
}

/// Takes numbers and slices off the front of bytes.
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Takes from the front of these.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes taken.
    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// So many bytes.
    ///
    /// # Errors
    /// [`FormatError::Short`]; likewise below.
    #[inline]
    pub fn slice(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        let end = self.at.checked_add(length).ok_or(FormatError::Short)?;
        let slice = self.bytes.get(self.at..end).ok_or(FormatError::Short)?;
        self.at = end;
        Ok(slice)
    }

    /// As many bytes as an array has.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let slice = self.slice(N)?;
        slice.try_into().map_err(|_| FormatError::Short)
    }

    /// A number.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    /// A number.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A number.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A number.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number.
    #[inline]
    pub fn i64(&mut self) -> Result<i64, FormatError> {
        Ok(i64::from_le_bytes(self.array()?))
    }
}
