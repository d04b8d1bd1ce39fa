//! Compares the index file of an extent with its groups, in parallel with the pass, which continues with the next
//! extent.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::Damage;
use super::evidence::check_index;
use super::files::StoreFiles;
use super::sink::PassedExtent;
use super::sizes::read_index;
use crate::directory::names::FileName;
use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::error::is_nothing;
use crate::format::index::{IndexSegment, encode};
use crate::index::runs::ExtentRuns;
use crate::index::sealed::IndexFile;
use crate::index::segments::Segments;
use crate::log::recovery::index_segments;
use streamkit_record::StoreId;

/// What to do with what is derived from the log.
pub(crate) const AGAIN: &str = "remove the file, it is made anew";

/// A comparison under way.
pub(crate) struct Comparison(Result<JoinHandle<Result<Option<Damage>, StorageError>>, Damage>);

/// What an extent's groups say.
struct ExpectedIndex {
    store: StoreId,
    ended: PassedExtent,
    segments: Segments,
    runs: ExtentRuns,
    over_holes: bool,
}

impl Comparison {
    /// Begins one; `None` where there is no index file: a crash came before it was written, and the next open makes it.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) fn begin(
        files: &StoreFiles,
        ended: PassedExtent,
        segments: Segments,
        runs: ExtentRuns,
        over_holes: bool,
    ) -> Result<Option<Self>, StorageError> {
        let name = FileName::Index(ended.extent);
        let file = match files.open_file(name) {
            Err(_) if !files.lists(name) => return Ok(None),
            Err(error) if is_nothing(&error) => {
                let path = files.path(name);
                let damage = Damage::without_loss(path, ended.extent, 0, format!("{error}; {AGAIN}"));
                return Ok(Some(Self(Err(damage))));
            }
            file => file.map_err(|e| StorageError::io("open", files.path(name), e))?,
        };
        let expected = ExpectedIndex {
            store: files.store,
            ended,
            segments,
            runs,
            over_holes,
        };
        let compare = std::thread::Builder::new().spawn(move || expected.compare(file));
        let thread = compare.map_err(|e| StorageError::io("start a thread for", files.path(name), e))?;
        Ok(Some(Self(Ok(thread))))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub(crate) fn end(self) -> Result<Option<Damage>, StorageError> {
        match self.0 {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(damage) => Ok(Some(damage)),
        }
    }
}

impl ExpectedIndex {
    fn compare(self, file: Arc<dyn DiskFile>) -> Result<Option<Damage>, StorageError> {
        let path = file.path().clone();
        let bytes = match read_index(&*file) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                let found = format!("an index file: {error}; {AGAIN}");
                return Ok(Some(Damage::without_loss(path, self.ended.extent, 0, found)));
            }
            bytes => bytes.map_err(|e| StorageError::io("read", &path, e))?,
        };
        let PassedExtent {
            extent,
            end,
            chain,
            whole,
            ..
        } = self.ended;
        let note = |byte, found| Damage::without_loss(path, extent, byte, format!("{found}; {AGAIN}"));
        match check_index(&bytes) {
            Err(error) => return Ok(Some(note(0, format!("an index file: {error}")))),
            Ok(header) if (header.store, header.extent) != (self.store, extent) => {
                let found = format!("the index file of extent {} of store {}", header.extent, header.store);
                return Ok(Some(note(0, found)));
            }
            Ok(_) => {}
        }
        if !whole {
            return Ok(None);
        }
        let mut segments = index_segments(|segment| self.segments.path(segment), &self.runs);
        if self.over_holes {
            borrow_previous(&mut segments, file)?;
        }
        let expected = encode(self.store, extent, end, chain, segments);
        if bytes == expected {
            return Ok(None);
        }
        let same = bytes.iter().zip(&expected).take_while(|(a, b)| a == b).count() as u64;
        Ok(Some(note(same, "an index that disagrees with its extent".to_owned())))
    }
}

/// Behind a hole, nothing but the index file says in which extent before each segment stands.
fn borrow_previous(segments: &mut [IndexSegment], file: Arc<dyn DiskFile>) -> Result<(), StorageError> {
    let Ok(index) = IndexFile::open(file)? else {
        return Ok(());
    };
    for segment in segments {
        if let Ok(Some(row)) = index.segment(&segment.path) {
            segment.previous_extent = row.previous_extent;
        }
    }
    Ok(())
}
