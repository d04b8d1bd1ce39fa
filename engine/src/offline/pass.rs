//! One pass through a store's log that continues past damage. It tells a [`Sink`] every whole group and transaction in
//! log order, and keeps [`Findings`] of everything else. The rules of where a log ends are those of an open
//! (`log/walk.rs`, `log/verdict.rs`). Where an open refuses, the pass notes the damage and looks for the next group.

use super::Damage;
use super::SequenceRange;
use super::evidence::Evidence;
use super::files::{ExtentFile, SealedEnd, StoreFiles};
use super::findings::Findings;
use super::headers::wrong_in_extent;
use super::ledger::Ledger;
use super::scattered::Scattered;
use crate::directory::names::FileName;
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, LogState};
use crate::log::end::place_in_open;
use crate::log::verdict::{Found, Verdict, verdict};
use crate::log::walk::{Step, Walk};
use crate::offline::sink::PassedExtent;
use crate::offline::sink::Sink;
use streamkit_record::LogPosition;

mod holes;
mod transactions;

/// Bytes between two calls of [`Sink::progress`], about.
const PROGRESS_BYTES: u32 = 8 << 20;

/// Goes through a store's log, writing nothing. What is lost is told only with a `ledger`, which costs time and memory: whoever
/// finds a hole without one goes again.
///
/// # Errors
/// [`StorageError::Io`], and what the sink returns.
pub(crate) fn pass(files: &StoreFiles, ledger: bool, sink: &mut dyn Sink) -> Result<Findings, StorageError> {
    let mut pass = Pass {
        files,
        sink,
        findings: Findings {
            ledger: ledger.then(Ledger::default),
            ..Findings::default()
        },
        state: LogState::default(),
        reported: 0,
        in_hole: false,
        evidence: None,
        scattered: None,
        compared: files.checkpoint.is_none(),
        open_end: None,
    };
    pass.findings.damage.clone_from(&files.damage);
    let mut missing = files.missing.iter().peekable();
    for (&number, extent) in &files.extents {
        while let Some(&(first, last)) = missing.next_if(|&&(first, _)| first < number) {
            pass.missing(first, last)?;
        }
        pass.extent(number, extent)?;
    }
    for &(first, last) in missing {
        pass.missing(first, last)?;
    }
    pass.compare();
    pass.sink.progress(files.prepared_bytes);
    pass.sink.end(&mut pass.findings)?;
    let (mut findings, open_end) = (pass.findings, pass.open_end);
    findings.settle();
    for place in files.unreadable.all() {
        findings.unreadable(files, place, open_end);
    }
    Ok(findings)
}

struct Pass<'a> {
    files: &'a StoreFiles,
    sink: &'a mut dyn Sink,
    findings: Findings,
    /// The log's state behind the last whole group; of transactions, behind the last whole one.
    state: LogState,
    /// Up to which byte of the extent progress was told.
    reported: u32,
    /// Whether transactions are taken from a hole: what is missing behind them may be in it, too.
    in_hole: bool,
    /// What there is about an extent, once something in it is not whole.
    evidence: Option<(u64, Option<Evidence>)>,
    /// The groups of the extent, once they do not simply follow each other.
    scattered: Option<Scattered>,
    /// Whether the log has come to the checkpoint.
    compared: bool,
    /// Where the log ends.
    open_end: Option<LogPosition>,
}

impl Pass<'_> {
    /// Extents whose files are not there. Their index files may be.
    fn missing(&mut self, first: u64, last: u64) -> Result<(), StorageError> {
        let dir = &self.files.dir;
        let names = self
            .files
            .disk
            .list(dir)
            .map_err(|e| StorageError::io("list", dir, e))?;
        let indexed = names.iter().filter_map(|name| match FileName::parse(name) {
            Some(FileName::Index(extent)) if (first..=last).contains(&extent) => Some(extent),
            _ => None,
        });
        let mut indexed: Vec<u64> = indexed.collect();
        let open = self.files.checkpoint.as_ref().map(|found| found.position.extent);
        indexed.extend(open.filter(|open| (first..=last).contains(open)));
        indexed.sort_unstable();
        indexed.dedup();
        let hole = self.findings.damage.len();
        self.findings.hole(self.files.missing_damage(first, last));
        let mut known = 0;
        for extent in indexed {
            if let Some(mut evidence) = Evidence::read(self.files, extent) {
                known += u64::from(evidence.until == u64::MAX);
                self.lost(extent, evidence.rest())?;
            }
        }
        self.findings.damage[hole].affected_is_all = known == last - first + 1;
        Ok(())
    }

    /// Entries that are missing in an extent, each where it stood.
    fn lost(&mut self, extent: u64, lost: Vec<(SequenceRange, u32)>) -> Result<(), StorageError> {
        for (range, byte) in lost {
            let checkpoint = self.files.checkpoint.as_ref();
            if checkpoint.is_some_and(|found| found.position <= LogPosition { extent, byte }) {
                self.compare();
            }
            let hole = self.findings.hole_at(extent, byte);
            if let Some((ledger, hole)) = self.findings.ledger.as_mut().zip(hole) {
                ledger.lost(&range, hole);
                self.sink.lost(&range)?;
            }
        }
        Ok(())
    }

    /// The log is where the checkpoint stands, or behind it: what that says was there, and was not found, is lost.
    fn compare(&mut self) {
        if std::mem::replace(&mut self.compared, true) || !self.findings.has_hole() {
            return;
        }
        let hole = self.findings.open_hole();
        if let (Some(ledger), Some(checkpoint), Some(hole)) =
            (self.findings.ledger.as_mut(), &self.files.checkpoint, hole)
        {
            ledger.compare(checkpoint, hole);
        }
    }

    fn extent(&mut self, number: u64, extent: &ExtentFile) -> Result<(), StorageError> {
        let start = LogPosition {
            extent: number,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        if let Some(header) = &extent.header {
            self.begin(number, &header.state);
        }
        let holes = self.findings.holes.len();
        let sealed_end = self.files.sealed_end(number);
        let is_last = self.files.extents.keys().next_back() == Some(&number)
            && self.files.known_durable.is_none_or(|known| known.extent <= number);
        self.reported = 0;
        (self.evidence, self.scattered) = (None, None);
        let end = match self.files.salt(number, &self.state)? {
            Some(salt) => {
                let mut walk = Walk::new(extent.file.clone(), salt, start, self.state)?;
                let end = self.walk(&mut walk, number, sealed_end, is_last)?;
                self.state = self.state_at(&walk);
                end
            }
            None => self.without_salt(number, extent, sealed_end)?,
        };
        self.end_scattered(extent, number, end)?;
        if let Some((_, Some(evidence))) = &mut self.evidence {
            let rest = evidence.rest();
            self.lost(number, rest)?;
        }
        let is_whole = holes == self.findings.holes.len();
        if let Some(found) = extent
            .header
            .as_ref()
            .filter(|_| is_whole)
            .and_then(|header| wrong_in_extent(header, end))
        {
            let path = self.files.path(FileName::Extent(number));
            self.findings.damage.push(Damage::without_loss(path, number, 0, found));
        }
        let ended = PassedExtent {
            extent: number,
            end,
            chain: self.state.chain,
            sealed: sealed_end.is_some() || !is_last,
            whole: is_whole && extent.header.is_some(),
        };
        self.open_end = (!ended.sealed).then_some(LogPosition {
            extent: number,
            byte: end,
        });
        self.sink.extent(ended, &mut self.findings)?;
        self.sink.progress(extent.size.saturating_sub(u64::from(self.reported)));
        Ok(())
    }

    /// Takes what the header of an extent says of the log before it, if that is not known; of transactions, what was read
    /// counts.
    fn begin(&mut self, number: u64, said: &LogState) {
        let is_first = self.files.extents.keys().next() == Some(&number);
        if is_first || self.findings.has_hole() {
            self.state = LogState {
                trx_number: self.state.trx_number,
                last_timestamp: self.state.last_timestamp,
                ..*said
            };
        } else if self.state != *said {
            let found = "a header that does not continue the extent before";
            let path = self.files.path(FileName::Extent(number));
            self.findings.damage.push(Damage::without_loss(path, number, 0, found));
        }
    }

    /// The log's state behind the last whole group.
    fn state_at(&self, walk: &Walk) -> LogState {
        LogState {
            trx_number: self.state.trx_number,
            last_timestamp: self.state.last_timestamp,
            ..walk.state
        }
    }

    /// Goes through an extent's groups; returns where they end.
    fn walk(
        &mut self,
        walk: &mut Walk,
        extent: u64,
        sealed_end: Option<SealedEnd>,
        is_last: bool,
    ) -> Result<u32, StorageError> {
        loop {
            let here = self
                .files
                .checkpoint
                .as_ref()
                .filter(|found| found.position == walk.at());
            if let Some(checkpoint) = here.filter(|_| !self.findings.has_hole()) {
                self.sink.checkpoint(checkpoint.crc, &self.state_at(walk));
            }
            let epoch = walk.state.epoch;
            let (at, found) = match walk.step()? {
                Step::End { at, found } => (at, found),
                Step::Group { at, header, body } => {
                    if let Some(scattered) = &mut self.scattered {
                        scattered.cover(at, at + header.span() as u32);
                    }
                    self.group(LogPosition { extent, byte: at }, &header, epoch, body)?;
                    if at.saturating_sub(self.reported) >= PROGRESS_BYTES {
                        self.sink.progress(u64::from(at - self.reported));
                        self.reported = at;
                    }
                    continue;
                }
            };
            let here = LogPosition { extent, byte: at };
            if self.scattered.as_ref().is_some_and(|scattered| scattered.displaced) {
                match self.behind_displaced(walk, here, sealed_end)? {
                    Some(end) => return Ok(end),
                    None => continue,
                }
            }
            let bound = match (sealed_end, is_last) {
                (Some((end, chain)), _) if end == at && chain == walk.state.chain => return Ok(at),
                (Some((end, _)), _) => u64::from(end),
                (None, true) => {
                    let (place, durable) = place_in_open(walk, self.files.known_durable)?;
                    match verdict(found, place) {
                        Verdict::Refuse => durable.map_or(at, |durable| durable.byte).into(),
                        Verdict::Cut => {
                            self.findings.torn_tail = Some(here);
                            return Ok(at);
                        }
                        Verdict::End => return Ok(at),
                    }
                }
                // Nobody says where it ends. If later groups are missing, the numbers of the next extent's will tell.
                (None, false) if found == Found::Nothing && walk.next_header(at)?.is_none() => return Ok(at),
                (None, false) => u64::from(at),
            };
            if let Some(end) = self.beyond(walk, here, bound, sealed_end.is_some())? {
                return Ok(end);
            }
        }
    }
}
