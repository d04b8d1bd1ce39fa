//! Prints entries, and keeps how far standard output has taken them.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use streamkit_client::Entry;
use uuid::Uuid;

use super::offset_file;
use crate::failure::Failure;
use crate::output::Out;
use crate::output::format::Format;

/// How often an offset is kept while there is more to print at once.
const KEPT_EVERY: Duration = Duration::from_secs(1);

/// Prints entries as they come, or holds back the last ones.
pub(super) struct Printer<'a> {
    pub(super) out: Out,
    format: Format,
    /// The last one that was taken.
    pub(super) last: Option<Entry>,
    /// Entries to print at the end, at most so many.
    hold: Option<(usize, VecDeque<Entry>)>,
    /// Where the offset is kept, of which store.
    file: Option<(&'a Path, Uuid)>,
    /// Whether something was taken since it was kept.
    is_behind: bool,
    kept: Instant,
    has_begun: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(format: Format, hold: Option<usize>, file: Option<(&'a Path, Uuid)>) -> Self {
        Self {
            out: Out::new(),
            format,
            last: None,
            hold: hold.map(|most| (most, VecDeque::new())),
            file,
            is_behind: false,
            kept: Instant::now(),
            has_begun: false,
        }
    }

    pub(super) fn take(&mut self, entry: Entry) -> Result<(), Failure> {
        match &mut self.hold {
            None => self.print(&entry)?,
            Some((most, held)) => {
                if held.len() == *most {
                    held.pop_front();
                }
                held.push_back(entry.clone());
            }
        }
        self.last = Some(entry);
        self.is_behind = true;
        Ok(())
    }

    fn print(&mut self, entry: &Entry) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.format.begin(&mut self.out)?;
        }
        self.format.print(entry, &mut self.out)
    }

    /// Hands over what was printed, where nothing more comes at once; what `comes` only if the last time is a while ago.
    pub(super) fn hand_over(&mut self, comes: bool) -> Result<(), Failure> {
        if !self.is_behind || self.hold.is_some() || comes && self.kept.elapsed() < KEPT_EVERY {
            return Ok(());
        }
        self.out.flush()?;
        self.keep()
    }

    /// The end: everything is handed over, and the offset is that of the last entry that was.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        for entry in self.hold.take().into_iter().flat_map(|(_, held)| held) {
            self.print(&entry)?;
        }
        self.out.flush()?;
        self.keep()
    }

    /// Keeps the offset behind what standard output has taken. Where nobody reads any more it stays as it was: what came since is
    /// printed again next time.
    fn keep(&mut self) -> Result<(), Failure> {
        if let (Some((file, store)), Some(last), true, false) =
            (self.file, &self.last, self.is_behind, self.out.is_gone())
        {
            offset_file::write(file, store, &last.offset())?;
        }
        (self.is_behind, self.kept) = (false, Instant::now());
        Ok(())
    }
}
