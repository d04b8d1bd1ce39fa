//! Reads a store's log and decides what it holds, without writing: the checkpoint, the groups of its extent, and all
//! later ones. An open uses it, and `verify` uses it to say what an open would.
//!
//! The checkpoint is derived, so it counts only if the log agrees: the replay walks its extent from the header, and
//! must reach the checkpoint's position in the checkpoint's state.

use std::path::Path;

use super::end::{LogEnd, end_of, known_durable};
use super::headers::{Headers, read_headers};
use super::shown::Newest;
use super::walk::{Step, Walk};
use crate::directory::names::FileName;
use crate::disk::{Disk, OpenMode, read_all};
use crate::error::corrupt;
use crate::error::{OpenError, StorageError};
use crate::format::FormatError;
use crate::format::extent_header::{EXTENT_HEADER_BYTES, ExtentHeader, LogState};
use crate::format::group::GROUP_HEADER_BYTES;
use crate::format::log_start::LogStart;
use crate::format::transaction::{Kind, TransactionHeader, check_structure, open_transaction, take_transaction};
use crate::index::catalog::Catalog;
use crate::index::checkpoint::{self, Checkpoint};
use crate::index::runs::ExtentRuns;
use crate::limits::FORMAT_VERSION;
use streamkit_record::{LogPosition, StoreId};

/// A store's log, read.
pub(crate) struct Replayed {
    pub(crate) headers: Headers,
    pub(crate) catalog: Catalog,
    pub(crate) state: LogState,
    pub(crate) end: LogEnd,
    /// The last transaction of the extents that it went through.
    pub(crate) newest: Option<Newest>,
    /// How far the log is known to be durable; later bytes may be only in the page cache.
    pub(crate) durable: LogPosition,
    /// Bytes of groups applied.
    pub(crate) applied_bytes: u64,
    /// The position of the checkpoint it began with.
    pub(crate) checkpointed: LogPosition,
}

/// A sealed extent, with its groups applied.
pub(crate) struct Sealed<'a> {
    pub(crate) extent: u64,
    /// The newest extent of the log.
    pub(crate) newest: u64,
    /// The end of its groups.
    pub(crate) end: u32,
    /// Link of the last one.
    pub(crate) chain: u32,
    pub(crate) runs: ExtentRuns,
    /// As it is behind this extent.
    pub(crate) catalog: &'a Catalog,
}

/// What stands where a checkpoint tells of something else.
pub(crate) const ANOTHER_LOG: &str = "another log than the checkpoint was made of";

/// Where a checkpoint stands, and the log's state there as it says.
#[derive(Clone, Copy)]
struct Checkpointed {
    position: LogPosition,
    state: LogState,
}

/// Reads a store's log and calls `sealed` for each sealed extent it went through.
///
/// # Errors
/// [`OpenError::Storage`] with [`StorageError::Corrupt`] where something that was durable is not whole, or files contradict
/// each other; what `sealed` returns.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    sealed: &mut dyn FnMut(Sealed<'_>) -> Result<(), StorageError>,
) -> Result<Replayed, OpenError> {
    let headers = read_headers(disk, dir, store)?;
    let checkpoint = read_checkpoint(disk, dir, store, &headers)?;
    let known_durable = known_durable(store, checkpoint.as_ref(), &headers)?;
    let marker = checkpoint.as_ref().map(|checkpoint| Checkpointed {
        position: checkpoint.position,
        state: checkpoint.state,
    });
    let usable = checkpoint.filter(|checkpoint| {
        let mut before = headers.log.range(..checkpoint.position.extent);
        before.all(|(number, _)| headers.indexed.contains(number))
    });
    let nowhere = LogPosition { extent: 0, byte: 0 };
    let checkpointed = usable.as_ref().map_or(nowhere, |checkpoint| checkpoint.position);
    let Some(&newest) = headers.log.keys().next_back() else {
        return Ok(Replayed {
            headers,
            catalog: Catalog::default(),
            state: LogState::default(),
            end: LogEnd::at(LogStart::WHOLE.position()),
            newest: None,
            durable: nowhere,
            applied_bytes: 0,
            checkpointed,
        });
    };
    let (mut catalog, from) = match usable {
        Some(checkpoint) => (checkpoint.catalog, checkpoint.position),
        None => (Catalog::starting_at(1), start_of(1)),
    };
    let Some(mut state) = headers.log.get(&from.extent).map(|header| header.state) else {
        let found = "a checkpoint that stands in no extent";
        return Err(corrupt(store, from.extent, from.byte, found).into());
    };
    let mut end = LogEnd::at(from);
    let (mut durable, mut applied_bytes, mut newest_transaction) = (from, 0, None);
    for (&extent, header) in headers.log.range(from.extent..) {
        let path = FileName::Extent(extent).in_dir(dir);
        let file = disk.open(&path, OpenMode::Read);
        let file = file.map_err(|e| StorageError::io("open", &path, e))?;
        let mut extent_replay = ExtentReplay {
            walk: Walk::new(file, header.salt, start_of(extent), state)?,
            catalog: &mut catalog,
            store,
            from,
            marker: marker.filter(|marker| marker.position.extent == extent),
            next: headers.log.get(&(extent + 1)), // numbers stay below 2^32
            known_durable,
            newest: newest_transaction,
        };
        end = extent_replay.run()?;
        newest_transaction = extent_replay.newest;
        let walk = extent_replay.walk;
        // Not what lies behind the end: it is looked through at each open, whatever the checkpoint says.
        applied_bytes += u64::from(end.tail.byte - start_of(extent).max(from).byte);
        state = walk.state;
        durable = walk.durable.map_or(durable, |mark| durable.max(mark));
        if extent < newest {
            let runs = catalog.roll(extent + 1);
            sealed(Sealed {
                extent,
                newest,
                end: end.tail.byte,
                chain: state.chain,
                runs,
                catalog: &catalog,
            })?;
        }
    }
    Ok(Replayed {
        headers,
        catalog,
        state,
        end,
        newest: newest_transaction,
        durable,
        applied_bytes,
        checkpointed,
    })
}

/// Where the first group of an extent stands.
fn start_of(extent: u64) -> LogPosition {
    LogPosition {
        extent,
        byte: EXTENT_HEADER_BYTES as u32,
    }
}

/// One extent on its way into the catalog.
struct ExtentReplay<'a> {
    walk: Walk,
    catalog: &'a mut Catalog,
    store: StoreId,
    /// What stands before is in the catalog already, and is only checked.
    from: LogPosition,
    /// The checkpoint, if it stands in this extent.
    marker: Option<Checkpointed>,
    next: Option<&'a ExtentHeader>,
    known_durable: Option<LogPosition>,
    /// The last transaction so far.
    newest: Option<Newest>,
}

impl ExtentReplay<'_> {
    /// Goes through the groups and decides what their end means.
    fn run(&mut self) -> Result<LogEnd, StorageError> {
        loop {
            let here = self.walk.at();
            self.compare_marker(here)?;
            let mut numbers = self.walk.state;
            let found = match self.walk.step()? {
                Step::End { found, .. } => found,
                Step::Group { at, body, .. } => {
                    let body_at = at + GROUP_HEADER_BYTES as u32;
                    let taken = if here < self.from {
                        count_group(&mut numbers, body_at, body)
                    } else {
                        apply_group(self.catalog, &mut numbers, here.extent, body_at, body)
                    };
                    let damage =
                        |(byte, error): (u32, FormatError)| corrupt(self.store, here.extent, byte, error.to_string());
                    if let Some((byte, header)) = taken.map_err(damage)? {
                        let at = LogPosition { byte, ..here };
                        self.newest = Some(Newest { at, header });
                    }
                    self.walk.state.trx_number = numbers.trx_number;
                    self.walk.state.last_timestamp = numbers.last_timestamp;
                    continue;
                }
            };
            let end = end_of(&mut self.walk, found, self.store, self.next, self.known_durable)?;
            if self.marker.is_some() {
                let found = "the end of the extent, and the checkpoint stands behind it";
                return Err(corrupt(self.store, here.extent, here.byte, found));
            }
            if let Some(next) = self.next
                && next.state != self.walk.state
            {
                let found = "a header that does not continue the extent before";
                return Err(corrupt(self.store, next.extent, 0, found));
            }
            return Ok(end);
        }
    }

    /// Where the checkpoint stands, the log must be what it was when that was made.
    fn compare_marker(&mut self, here: LogPosition) -> Result<(), StorageError> {
        let Some(marker) = self.marker.take_if(|marker| marker.position <= here) else {
            return Ok(());
        };
        let Checkpointed { position, state } = marker;
        if position == here && state == self.walk.state {
            return Ok(());
        }
        let found = match position == here {
            true => ANOTHER_LOG,
            false => "a checkpoint that stands where no group ends",
        };
        Err(corrupt(self.store, position.extent, position.byte, found))
    }
}

/// The last transaction of a group, and its byte of the extent.
type Last = Option<(u32, TransactionHeader)>;

/// Applies one whole group's transactions, and returns the last one. An error names the byte of the extent.
pub(crate) fn apply_group(
    catalog: &mut Catalog,
    state: &mut LogState,
    extent: u64,
    body_at: u32,
    body: &[u8],
) -> Result<Last, (u32, FormatError)> {
    each_transaction(state, body_at, body, open_transaction, |header, transaction, byte| {
        check_structure(header, transaction)?;
        if header.kind != Kind::Open {
            catalog.apply(header, transaction, LogPosition { extent, byte })?;
        }
        Ok(())
    })
}

/// Counts one whole group's transactions, which are in the catalog, and returns the last one.
fn count_group(state: &mut LogState, body_at: u32, body: &[u8]) -> Result<Last, (u32, FormatError)> {
    // The checksum of the group holds for all of them.
    each_transaction(state, body_at, body, take_transaction, |_, _, _| Ok(()))
}

fn each_transaction(
    state: &mut LogState,
    body_at: u32,
    body: &[u8],
    take: impl Fn(&[u8]) -> Result<(TransactionHeader, &[u8]), FormatError>,
    mut then: impl FnMut(&TransactionHeader, &[u8], u32) -> Result<(), FormatError>,
) -> Result<Last, (u32, FormatError)> {
    let (mut at, mut last) = (0, None);
    while at < body.len() {
        let byte = body_at + at as u32;
        let fail = |error| (byte, error);
        let (header, transaction) = take(&body[at..]).map_err(fail)?;
        if header.number != state.trx_number + 1 {
            return Err(fail(FormatError::Invalid("a transaction out of order")));
        }
        then(&header, transaction, byte).map_err(fail)?;
        state.trx_number = header.number;
        state.last_timestamp = header.timestamp;
        at += transaction.len();
        last = Some((byte, header));
    }
    Ok(last)
}

/// A store's checkpoint; `None` also if it is damaged, since the log says all that it does.
pub(crate) fn read_checkpoint(
    disk: &dyn Disk,
    dir: &Path,
    store: StoreId,
    headers: &Headers,
) -> Result<Option<Checkpoint>, OpenError> {
    let path = FileName::Checkpoint.in_dir(dir);
    let file = match disk.open(&path, OpenMode::Read) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|e| StorageError::io("open", &path, e))?,
    };
    let refused = |found| corrupt(store, 0, 0, format!("{}: {found}", path.display()));
    let size = file
        .size()
        .map_err(|e| StorageError::io("read the size of", &path, e))?;
    if size > bytes_max(headers) {
        return Err(refused(format!("a checkpoint of {size} bytes, more than its log can need")).into());
    }
    let bytes = match read_all(&*file) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the checkpoint cannot be read: replaying the whole log");
            return Ok(None);
        }
    };
    match checkpoint::decode(&bytes) {
        Ok(checkpoint) if checkpoint.store == store => Ok(Some(checkpoint)),
        Ok(_) => Err(refused("the checkpoint of another store".to_owned()).into()),
        Err(FormatError::Version(found)) => Err(OpenError::NewerFormat {
            path,
            found,
            supported: FORMAT_VERSION,
        }),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the checkpoint is damaged: replaying the whole log");
            Ok(None)
        }
    }
}

/// Bytes that a checkpoint of this log has at most. Each segment, run and deletion in it comes from a section of the log,
/// which takes 30 bytes and the names at least, where a segment takes 40 and the names and a run 36.
fn bytes_max(headers: &Headers) -> u64 {
    let log: u64 = headers.log.values().map(|header| header.capacity).sum();
    log.saturating_mul(4).saturating_add(4096)
}
