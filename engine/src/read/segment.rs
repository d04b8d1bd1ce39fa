//! One segment in sequence order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{RUNS_PER_LOOKUP, SKIPPED_RUNS, Scan, full, read_ahead, weight};
use crate::boundary::{SegmentRead, TimeRange};
use crate::error::StorageError;
use crate::format::FormatError;
use crate::index::Run;
use crate::index::runs::SegmentNumber;
use crate::log::window::Window;
use crate::model::{Entry, SegmentPath, Sequence};
use crate::shared::Shared;

/// A scan of one segment, up to the head of the moment it was made.
pub(crate) struct SegmentScan {
    shared: Arc<Shared>,
    path: SegmentPath,
    number: SegmentNumber,
    next: Sequence,
    last: Sequence,
    time: TimeRange,
    left: u64,
    /// Extents still to read, the next one last; `None` until looked up.
    extents: Option<Vec<u64>>,
    newest: u64,
    runs: VecDeque<Run>,
    window: Option<Window>,
}

impl SegmentScan {
    pub(crate) fn new(shared: Arc<Shared>, read: SegmentRead) -> Self {
        let found = {
            let catalog = shared.catalog();
            catalog.find(&read.path).map(|(number, segment)| {
                (
                    number,
                    segment.first_sequence,
                    segment.head,
                    u64::from(segment.last_extent),
                )
            })
        };
        // Nothing there: a range that ends before it begins.
        let (number, first, head, newest) = found.unwrap_or((0, Sequence::FIRST, Sequence(0), 0));
        Self {
            shared,
            number,
            next: read.from.max(first),
            last: read.to.min(head),
            time: read.time,
            left: read.limit,
            extents: None,
            newest,
            runs: VecDeque::new(),
            window: None,
            path: read.path,
        }
    }

    /// The extents to read, newest first. Those that end before the wanted time are passed over.
    fn find_extents(&mut self) -> Result<Vec<u64>, StorageError> {
        let mut found = self
            .shared
            .extents_of(self.number, &self.path, self.newest, self.next)?;
        self.check_same_life()?;
        if self.time.after > TimeRange::ALL.after {
            let first = self.shared.extents.first_since(self.time.after, self.newest)?;
            let passed_over = found.iter().any(|&extent| extent < first);
            found.retain(|&extent| extent >= first);
            match found.last() {
                _ if !passed_over => {}
                Some(&extent) => {
                    let first = self.shared.first_in(extent, self.number, &self.path)?;
                    self.check_same_life()?;
                    self.next = first.map_or(self.next, |(_, first)| self.next.max(first));
                }
                None => self.left = 0,
            }
        }
        Ok(found)
    }

    /// Sealed extents are asked by name: after a delete and a new beginning, what they answer is of another segment.
    fn check_same_life(&self) -> Result<(), StorageError> {
        let same = {
            let catalog = self.shared.catalog();
            catalog
                .find(&self.path)
                .is_some_and(|(number, _)| number == self.number)
        };
        if same {
            Ok(())
        } else {
            Err(StorageError::Deleted(self.path.clone()))
        }
    }

    /// The next run, in whichever extent it is.
    fn refill(&mut self) -> Result<(), StorageError> {
        if self.extents.is_none() {
            self.extents = Some(self.find_extents()?);
        }
        while self.runs.is_empty() {
            let Some(&extent) = self.extents.as_ref().and_then(|extents| extents.last()) else {
                return Ok(());
            };
            let runs = self
                .shared
                .runs_in(extent, self.number, &self.path, self.next, RUNS_PER_LOOKUP)?;
            self.check_same_life()?;
            if runs.is_empty() {
                if let Some(extents) = &mut self.extents {
                    extents.pop();
                }
                continue;
            }
            if self.window.as_ref().is_none_or(|window| window.extent() != extent) {
                self.window = Some(Window::new(self.shared.id, extent, self.shared.extents.file(extent)?));
            }
            self.runs = runs.into();
        }
        Ok(())
    }
}

impl Scan for SegmentScan {
    fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, StorageError> {
        let mut out = Vec::new();
        let mut bytes = 0;
        let mut skipped = 0;
        while self.left > 0 && self.next <= self.last && !full(&out, bytes) {
            if self.runs.is_empty() {
                self.refill()?;
                if self.left == 0 {
                    break;
                }
            }
            let Some(run) = self.runs.front().copied() else {
                return Err(crate::log::recovery::corrupt(
                    self.shared.id,
                    self.newest,
                    0,
                    format!("no entry {} of {}, whose head is {}", self.next, self.path, self.last),
                ));
            };
            let window = self.window.as_mut().expect("runs come with their extent's window");
            if run.first_sequence > self.next {
                return Err(window.damage(
                    run.trx_byte,
                    FormatError::Invalid("a run that does not continue its segment"),
                ));
            }
            if run.timestamp > self.time.until {
                self.next = Sequence(u64::MAX); // times never go backwards: nothing later can pass
                break;
            }
            if self.time.contains(run.timestamp) {
                let runs = &self.runs;
                let ahead = || read_ahead(runs.iter().map(|run| run.trx_byte));
                let located = window.transaction(run.trx_byte, ahead)?;
                // A transaction of 10 000 records is handed out in parts, like everything else.
                let most = self.left.min(super::BATCH_ENTRIES as u64);
                let to = Sequence(self.next.0.saturating_add(most - 1)).min(self.last);
                let before = out.len();
                self.shared
                    .entries_of(window, &located, &run, &self.path, self.next..=to, &mut out)?;
                bytes += weight(&out[before..]);
                let got = (out.len() - before) as u64;
                self.left -= got;
                self.next = Sequence(self.next.0 + got);
            } else {
                self.next = run.last_sequence().next();
                skipped += 1;
            }
            if self.next > run.last_sequence() {
                self.runs.pop_front();
            }
            if skipped >= SKIPPED_RUNS {
                return Ok(Some(out));
            }
        }
        Ok((!out.is_empty()).then_some(out))
    }
}
