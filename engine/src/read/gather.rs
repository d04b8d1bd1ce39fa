//! What a scan makes of the sections it finds: entries, or the bytes in which they stand.

use super::choice::Chosen;
use crate::format::FormatError;
use crate::format::transaction::{Section, entries};
use crate::log::window::Located;
use streamkit_record::{Entry, SegmentPath};

/// Bytes of payload and metadata after which a batch ends.
pub(crate) const BATCH_BYTES: usize = 256 << 10;
/// Entries after which a batch ends, so that empty ones stay bounded too.
pub(crate) const BATCH_ENTRIES: usize = 4096;

/// A batch in the making.
pub(crate) trait Gather: Default + Send + 'static {
    /// Most entries taken of a section at once.
    const SECTION_ENTRIES_MAX: u64;

    /// Takes entries of a section.
    fn take(&mut self, located: &Located, section: &Section<'_>, chosen: &Chosen) -> Result<(), FormatError>;
    /// Takes all that stands behind it.
    fn append(&mut self, behind: Self);
    /// How many entries it has.
    fn entries(&self) -> u64;
    /// Bytes that count for a batch.
    fn bytes(&self) -> usize;
    /// Whether it is a batch.
    fn is_full(&self) -> bool;
    /// Makes room for as many entries as the rest of a batch will have, if they are like the first: at most `left`.
    fn make_room(&mut self, _left: u64) {}
}

/// Entries, decoded.
#[derive(Default)]
pub(crate) struct Entries {
    pub(crate) all: Vec<Entry>,
    bytes: usize,
    /// Of the last section: the next one is often of the same segment.
    path: Option<SegmentPath>,
}

impl Gather for Entries {
    // A transaction of 10 000 records is handed out in parts, like everything else.
    const SECTION_ENTRIES_MAX: u64 = BATCH_ENTRIES as u64;

    fn take(&mut self, located: &Located, section: &Section<'_>, chosen: &Chosen) -> Result<(), FormatError> {
        let before = self.all.len();
        let (buffer, start, header) = (&located.buffer, located.start, &located.header);
        let is_of = |path: &SegmentPath| {
            let names = (path.segment.as_str().as_bytes(), path.space.as_str().as_bytes());
            names == (section.segment, section.space)
        };
        let path = match self.path.take().filter(is_of) {
            Some(path) => path,
            None => section.path()?,
        };
        let path = &*self.path.insert(path);
        entries(buffer, start, header, section, path, chosen.sequences(), &mut self.all)?;
        let new = &self.all[before..];
        self.bytes += new
            .iter()
            .map(|entry| entry.payload.len() + entry.metadata.encoded().len())
            .sum::<usize>();
        Ok(())
    }

    fn append(&mut self, behind: Self) {
        self.all.extend(behind.all);
        self.bytes += behind.bytes;
    }

    fn entries(&self) -> u64 {
        self.all.len() as u64
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.all.len() >= BATCH_ENTRIES
    }

    fn make_room(&mut self, left: u64) {
        let like_these = BATCH_BYTES.saturating_sub(self.bytes) * self.all.len() / self.bytes.max(1) + 1;
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let room = like_these.min(most).min(BATCH_ENTRIES.saturating_sub(self.all.len()));
        self.all.reserve_exact(room);
    }
}
