//! Numbers and texts of the wire, as the document's second paragraph has them: written behind others, and read strictly.

use uuid::Uuid;

/// Reads what a body holds, from its start to its end.
pub struct Reader<'a>(&'a [u8]);

/// What was expected, and not there.
pub type Read<T> = Result<T, String>;

impl<'a> Reader<'a> {
    /// At the start of a body.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next so many bytes.
    pub fn bytes(&mut self, count: usize) -> Read<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(count).ok_or_else(|| {
            let left = self.0.len();
            format!("a body ends after {left} bytes of something that has {count}")
        })?;
        self.0 = rest;
        Ok(front)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.bytes(N)?;
        Ok(bytes.try_into().expect("as many as asked for"))
    }

    /// A `u8`.
    pub fn u8(&mut self) -> Read<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A `u16`.
    pub fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// A `u32`.
    pub fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A `u64`.
    pub fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A time.
    pub fn time(&mut self) -> Read<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A uuid.
    pub fn uuid(&mut self) -> Read<Uuid> {
        self.array().map(Uuid::from_bytes)
    }

    /// A `u8` that says yes or no.
    pub fn flag(&mut self) -> Read<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(format!("{other} where only 0 or 1 may stand")),
        }
    }

    /// Bytes behind a `u16` length.
    pub fn bytes16(&mut self) -> Read<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    /// A text behind a `u16` length.
    pub fn text(&mut self) -> Read<String> {
        let bytes = self.bytes16()?;
        let text = std::str::from_utf8(bytes).map_err(|_| format!("a text that is no UTF-8: {bytes:?}"))?;
        Ok(text.to_owned())
    }

    /// A name: 1 to 512 bytes of UTF-8 without NUL.
    pub fn name(&mut self) -> Read<String> {
        let name = self.text()?;
        match (1..=512).contains(&name.len()) && !name.contains('\0') {
            true => Ok(name),
            false => Err(format!("a name against the rules: {name:?}")),
        }
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left.
    pub fn end(self) -> Read<()> {
        match self.0.len() {
            0 => Ok(()),
            more => Err(format!("a body has {more} bytes more than the document says")),
        }
    }
}

/// Writes what a body holds, each value behind the last.
#[derive(Clone, Default, Debug)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// Bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A `u8`.
    #[must_use]
    pub fn u8(self, value: u8) -> Self {
        self.bytes(&[value])
    }

    /// A `u16`.
    #[must_use]
    pub fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A `u32`.
    #[must_use]
    pub fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A `u64`.
    #[must_use]
    pub fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A time.
    #[must_use]
    pub fn time(self, value: i64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    /// A uuid.
    #[must_use]
    pub fn uuid(self, value: Uuid) -> Self {
        self.bytes(value.as_bytes())
    }

    /// Bytes behind their `u16` length; a name, too.
    #[must_use]
    pub fn bytes16(self, bytes: &[u8]) -> Self {
        self.u16(length16(bytes)).bytes(bytes)
    }

    /// A text behind its `u16` length; a name, too.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes16(text.as_bytes())
    }
}

/// The length of what a check made up, which is never longer.
pub fn length16<T>(items: &[T]) -> u16 {
    u16::try_from(items.len()).expect("checks write short lists and texts")
}

/// The same of longer ones.
pub fn length32<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("checks write less than 4 GiB")
}
