//! Fields of the documents of a shared log as bytes: little-endian, each document with a mark of what it is and a checksum over the rest.

use bytes::Bytes;
use uuid::Uuid;

/// Bytes of a mark.
const MARK: usize = 4;
/// Bytes before the fields: the mark and the checksum.
const HEAD: usize = MARK + 4;

/// Writes the fields of one document.
pub(crate) struct FieldWriter(Vec<u8>);

impl FieldWriter {
    /// A document with this mark.
    pub fn new(mark: [u8; MARK]) -> Self {
        let mut bytes = mark.to_vec();
        bytes.extend([0; HEAD - MARK]);
        Self(bytes)
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn i64(&mut self, value: i64) -> &mut Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.0.extend(value.as_bytes());
        self
    }

    /// A length and as many bytes.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.u64(value.len() as u64);
        self.0.extend(value);
        self
    }

    /// Whether there is a value, and the value.
    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.u8(value.is_some().into());
        if let Some(value) = value {
            put(self, value);
        }
        self
    }

    /// How many values there are, and each of them.
    pub fn list<T>(&mut self, values: &[T], mut put: impl FnMut(&mut Self, &T)) -> &mut Self {
        self.u64(values.len() as u64);
        for value in values {
            put(self, value);
        }
        self
    }

    /// The document.
    pub fn done(mut self) -> Bytes {
        let checksum = crc32fast::hash(&self.0[HEAD..]);
        self.0[MARK..HEAD].copy_from_slice(&checksum.to_le_bytes());
        self.0.into()
    }
}

/// Bytes that are not a document of the kind looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a whole {0}")]
pub struct Malformed(pub &'static str);

/// Reads the fields of one document. It takes any bytes, never panics, and allocates no more than they are.
pub(crate) struct FieldReader<'a> {
    all: &'a Bytes,
    at: usize,
    what: &'static str,
}

impl<'a> FieldReader<'a> {
    /// A document with this mark, whose checksum is right.
    pub fn new(all: &'a Bytes, mark: [u8; MARK], what: &'static str) -> Result<Self, Malformed> {
        let is_whole =
            all.len() >= HEAD && all[..MARK] == mark && all[MARK..HEAD] == crc32fast::hash(&all[HEAD..]).to_le_bytes();
        match is_whole {
            true => Ok(Self { all, at: HEAD, what }),
            false => Err(Malformed(what)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.all.len());
        let end = end.ok_or(Malformed(self.what))?;
        let taken = &self.all[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn uuid(&mut self) -> Result<Uuid, Malformed> {
        Ok(Uuid::from_bytes(self.array()?))
    }

    /// Shares the bytes.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let count = usize::try_from(self.u64()?).map_err(|_| Malformed(self.what))?;
        Ok(self.all.slice_ref(self.take(count)?))
    }

    pub fn option<T>(&mut self, get: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<Option<T>, Malformed> {
        match self.u8()? {
            0 => Ok(None),
            1 => get(self).map(Some),
            _ => Err(self.malformed()),
        }
    }

    pub fn list<T>(&mut self, mut get: impl FnMut(&mut Self) -> Result<T, Malformed>) -> Result<Vec<T>, Malformed> {
        // Each value has a byte at least, or the count is no count.
        let count = usize::try_from(self.u64()?).map_err(|_| self.malformed())?;
        let mut values = Vec::with_capacity(count.min(self.all.len() - self.at).min(1024));
        for _ in 0..count {
            values.push(get(self)?);
        }
        Ok(values)
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Malformed> {
        match self.at == self.all.len() {
            true => Ok(()),
            false => Err(self.malformed()),
        }
    }

    pub fn malformed(&self) -> Malformed {
        Malformed(self.what)
    }
}
