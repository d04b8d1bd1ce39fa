//! One pass through a store's log that goes on behind damage: it tells a [`Sink`] every whole group and transaction in log
//! order, and keeps [`Findings`] of what is not whole. The rules of where a log ends are those of an open
//! (`log/walk.rs`, `log/verdict.rs`); what an open refuses, this notes, and it looks for the next group behind it.

use super::Damage;
use super::affected::IndexedRuns;
use super::files::{ExtentFile, SealedEnd, StoreFiles};
use super::findings::Findings;
use super::headers::{Body, wrong_in_extent, wrong_in_group};
use super::salvage::{salvage, whole_transaction};
use crate::error::StorageError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, LogState};
use crate::format::group::{GROUP_HEADER_BYTES, GroupHeader};
use crate::format::transaction::{Kind, TransactionHeader, sections, take_transaction};
use crate::limits::BLOCK_BYTES;
use crate::log::end::place_in_open;
use crate::log::names::FileName;
use crate::log::verdict::{Found, Verdict, verdict};
use crate::log::walk::{Step, Walk};
use crate::model::LogPosition;

/// Bytes between two calls of [`Sink::progress`], about.
const PROGRESS_BYTES: u32 = 8 << 20;

/// Who wants to know what stands in a log.
pub(crate) trait Sink {
    /// A whole group; its transactions follow.
    fn group(&mut self, _at: LogPosition, _header: &GroupHeader) -> Result<(), StorageError> {
        Ok(())
    }
    /// A whole transaction, also one of a group that is not whole. Behind a hole, its number may be more than one higher than
    /// the last one's.
    fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
        findings: &mut Findings,
    ) -> Result<(), StorageError>;
    /// The checkpoint stands here, where this is the log's state; nothing before is missing.
    fn checkpoint(&mut self, _crc: u32, _state: &LogState) {}
    /// The end of an extent.
    fn extent(&mut self, _ended: Ended, _findings: &mut Findings) -> Result<(), StorageError> {
        Ok(())
    }
    /// The end of the log.
    fn end(&mut self, _findings: &mut Findings) -> Result<(), StorageError> {
        Ok(())
    }
    /// So many more bytes of extents are done.
    fn progress(&mut self, _bytes: u64) {}
}

/// An extent that was gone through.
pub(crate) struct Ended {
    pub(crate) extent: u64,
    /// Where its last group ends.
    pub(crate) end: u32,
    /// That group's link.
    pub(crate) chain: u32,
    /// Whether the log goes on in another.
    pub(crate) sealed: bool,
    /// Whether all its groups are whole, as far as can be told.
    pub(crate) whole: bool,
}

/// Goes through a store's log, writing nothing.
///
/// # Errors
/// [`StorageError::Io`], and what the sink returns.
pub(crate) fn pass(files: &StoreFiles, sink: &mut dyn Sink) -> Result<Findings, StorageError> {
    let mut pass = Pass {
        files,
        sink,
        findings: Findings::default(),
        state: LogState::default(),
        reported: 0,
        in_hole: false,
        indexed: None,
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
    /// What the index file says of the extent that the last hole is in.
    indexed: Option<(u64, Option<IndexedRuns>)>,
    /// Where the log ends.
    open_end: Option<LogPosition>,
}

impl Pass<'_> {
    /// Extents whose files are not there. Their index files may be.
    fn missing(&mut self, first: u64, last: u64) -> Result<(), StorageError> {
        let mut damage = self.files.missing_damage(first, last);
        let dir = &self.files.dir;
        let names = self
            .files
            .disk
            .list(dir)
            .map_err(|e| StorageError::io("list", dir, e))?;
        let mut indexed = 0;
        for name in names {
            if let Some(FileName::Index(extent)) = FileName::parse(&name)
                && (first..=last).contains(&extent)
                && let Some(runs) = IndexedRuns::read(self.files, extent)
            {
                damage.affected.extend(runs.entries(0, u64::MAX, &[]));
                indexed += 1;
            }
        }
        damage.affected_is_all = indexed == last - first + 1;
        self.findings.hole(damage);
        Ok(())
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
        let end = match self.files.salt(number, &self.state)? {
            Some(salt) => {
                let mut walk = Walk::new(extent.file.clone(), salt, start, self.state)?;
                let end = self.walk(&mut walk, number, sealed_end, is_last)?;
                self.state = self.state_at(&walk);
                end
            }
            None => self.without_salt(number, extent, sealed_end)?,
        };
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
        let ended = Ended {
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
                    self.group(LogPosition { extent, byte: at }, &header, epoch, body)?;
                    if at - self.reported >= PROGRESS_BYTES {
                        self.sink.progress(u64::from(at - self.reported));
                        self.reported = at;
                    }
                    continue;
                }
            };
            let here = LogPosition { extent, byte: at };
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

    /// Notes that no whole group is at `here`, and goes on behind it; returns where the extent ends if nothing follows.
    /// `bound` is where the groups that were durable end, as far as that is known.
    fn beyond(
        &mut self,
        walk: &mut Walk,
        here: LogPosition,
        bound: u64,
        sealed: bool,
    ) -> Result<Option<u32>, StorageError> {
        let LogPosition { extent, byte } = here;
        let next = walk.next_header(byte)?;
        let Some((at, header)) = next.filter(|&(at, _)| !sealed || u64::from(at) < bound) else {
            let end = bound.max(u64::from(byte)).min(u64::from(u32::MAX));
            self.hole(walk, here, end, "a group that is not whole")?;
            return Ok(Some((end as u32).min(walk.limit() as u32).max(byte)));
        };
        let follows = header.number == walk.state.group_number + 1 && header.chain == walk.state.chain;
        if !follows {
            let lost = header.number - walk.state.group_number - 1;
            let found = match lost {
                0 => "a group that does not continue the one before".to_owned(),
                1 => format!("group {} is not whole", header.number - 1),
                _ => format!(
                    "groups {} to {} are not whole",
                    walk.state.group_number + 1,
                    header.number - 1
                ),
            };
            self.hole(walk, here, u64::from(at), &found)?;
        }
        let body_at = at + GROUP_HEADER_BYTES as u32;
        let end = u64::from(body_at) + u64::from(header.body_bytes);
        let is_whole = header.check_body(walk.bytes(body_at, end)?).is_ok();
        if is_whole {
            walk.go_to(at, &header);
        } else {
            let found = format!("the transactions of group {} are not whole", header.number);
            let place = LogPosition { extent, byte: at };
            self.hole(walk, place, end, &found)?;
            walk.go_past(at, &header);
        }
        Ok(None)
    }

    /// Notes a hole of the log from `here` to `end`, and takes from it the transactions that are whole.
    fn hole(&mut self, walk: &mut Walk, here: LogPosition, end: u64, found: &str) -> Result<(), StorageError> {
        let LogPosition { extent, byte } = here;
        if self.indexed.as_ref().is_none_or(|&(of, _)| of != extent) {
            self.indexed = Some((extent, IndexedRuns::read(self.files, extent)));
        }
        let indexed = self.indexed.as_ref().and_then(|(_, runs)| runs.as_ref());
        let last_number = self.state.trx_number;
        let bytes = walk.bytes(byte, end)?;
        let block = byte.next_multiple_of(BLOCK_BYTES as u32);
        let mut starts = vec![byte + GROUP_HEADER_BYTES as u32, block + GROUP_HEADER_BYTES as u32];
        starts.extend(indexed.iter().flat_map(|runs| runs.starts(byte, end)));
        starts.sort_unstable();
        starts.dedup();
        let whole = salvage(bytes, byte, &starts, last_number);
        let places: Vec<u32> = whole.iter().map(|&(at, _)| at).collect();
        let path = self.files.path(FileName::Extent(extent));
        let mut damage = Damage::without_loss(path, extent, u64::from(byte), found);
        damage.end = end;
        damage.whole_transactions = whole.len() as u64;
        damage.affected_is_all = indexed.is_some();
        if let Some(runs) = indexed {
            damage.affected = runs.entries(byte, end, &places);
        }
        self.findings.hole(damage);
        self.in_hole = true;
        for (at, length) in whole {
            let start = (at - byte) as usize;
            let Some(bytes) = bytes.get(start..start + length as usize) else {
                continue;
            };
            if let Ok((header, transaction)) = take_transaction(bytes) {
                let at = LogPosition { extent, byte: at };
                self.transaction(at, &header, transaction)?;
            }
        }
        self.in_hole = false;
        Ok(())
    }

    /// Nothing tells the salt of an extent: none of its groups can be known.
    fn without_salt(
        &mut self,
        number: u64,
        extent: &ExtentFile,
        sealed_end: Option<SealedEnd>,
    ) -> Result<u32, StorageError> {
        let here = LogPosition {
            extent: number,
            byte: EXTENT_HEADER_BYTES as u32,
        };
        let known = self.files.known_durable.filter(|&known| known > here);
        let durable = known
            .filter(|known| known.extent == number)
            .map_or(0, |known| u64::from(known.byte));
        let end = sealed_end.map_or(extent.size.max(durable), |(end, _)| u64::from(end));
        let end = end.max(u64::from(here.byte)).min(u64::from(u32::MAX));
        let mut walk = Walk::new(extent.file.clone(), 0, here, self.state)?;
        // One that is only prepared holds nothing; but that is all that can be said.
        if sealed_end.is_none() && known.is_none() && is_zero(&mut walk, here.byte, end)? {
            let damage = self.findings.damage.iter_mut();
            damage
                .filter(|damage| damage.extent == number)
                .for_each(|damage| damage.affected_is_all = false);
            return Ok(here.byte);
        }
        self.hole(
            &mut walk,
            here,
            end,
            "groups that nobody can check: the extent's header and its first group are damaged",
        )?;
        Ok(end as u32)
    }

    /// A whole group, behind one of `epoch_before`.
    fn group(
        &mut self,
        at: LogPosition,
        header: &GroupHeader,
        epoch_before: u64,
        body: &[u8],
    ) -> Result<(), StorageError> {
        let epoch_before = (!self.findings.has_hole()).then_some(epoch_before);
        self.sink.group(at, header)?;
        let byte = at.byte + GROUP_HEADER_BYTES as u32;
        let read = self.body(LogPosition { byte, ..at }, body)?;
        for found in wrong_in_group(at, header, epoch_before, read) {
            if header.transaction_count > read.transactions {
                self.findings.broken(self.files, at, header.span() as u64, found);
            } else {
                let path = self.files.path(FileName::Extent(at.extent));
                let damage = Damage::without_loss(path, at.extent, at.byte.into(), found);
                self.findings.damage.push(damage);
            }
        }
        Ok(())
    }

    /// The transactions of a whole group.
    fn body(&mut self, start: LogPosition, body: &[u8]) -> Result<Body, StorageError> {
        let mut read = Body::default();
        let mut offset = 0;
        while offset < body.len() {
            let at = LogPosition {
                byte: start.byte + offset as u32,
                ..start
            };
            match whole_transaction(&body[offset..]) {
                Ok((header, transaction)) => {
                    read.opens |= offset == 0 && header.kind == Kind::Open;
                    offset += transaction.len();
                    self.transaction(at, &header, transaction)?;
                }
                Err(error) => {
                    self.findings.broken(
                        self.files,
                        at,
                        (body.len() - offset) as u64,
                        format!("a transaction: {error}"),
                    );
                    match take_transaction(&body[offset..]) {
                        Ok((_, transaction)) => offset += transaction.len(),
                        Err(_) => return Ok(read),
                    }
                }
            }
            read.transactions += 1;
        }
        Ok(read)
    }

    fn transaction(
        &mut self,
        at: LogPosition,
        header: &TransactionHeader,
        transaction: &[u8],
    ) -> Result<(), StorageError> {
        let expected = self.state.trx_number.saturating_add(1);
        if header.number < expected {
            self.findings.broken(
                self.files,
                at,
                transaction.len() as u64,
                "a transaction out of order".to_owned(),
            );
            return Ok(());
        }
        let lost = header.number - expected;
        if lost > 0 && self.findings.pending.is_empty() {
            let found = format!("transactions {expected} to {} are missing before it", header.number - 1);
            self.findings.broken(self.files, at, 0, found);
        }
        if self.in_hole {
            self.findings.pending_lost = self.findings.pending_lost.saturating_add(lost);
        } else if !self.findings.pending.is_empty() {
            self.findings.resume(lost);
        }
        self.state.trx_number = header.number;
        self.state.last_timestamp = header.timestamp;
        if self.findings.has_hole() && matches!(header.kind, Kind::Trim | Kind::Delete) {
            for section in sections(header, transaction).flatten() {
                let Ok(path) = section.path() else { continue };
                match header.kind {
                    Kind::Trim => self.findings.trimmed(&path, section.first_sequence, self.in_hole),
                    _ => self.findings.deleted(&path, self.in_hole),
                }
            }
        }
        self.sink.transaction(at, header, transaction, &mut self.findings)
    }
}

fn is_zero(walk: &mut Walk, from: u32, to: u64) -> Result<bool, StorageError> {
    const STEP: u64 = 1 << 20;
    let mut at = u64::from(from);
    while at < to {
        let bytes = walk.bytes(at as u32, to.min(at + STEP))?;
        if bytes.is_empty() {
            break;
        }
        if bytes.iter().any(|&byte| byte != 0) {
            return Ok(false);
        }
        at += bytes.len() as u64;
    }
    Ok(true)
}
