//! Checks a whole log: root, history and live extents, each group and its body, what the checkpoint says of its place, and the archived files
//! that it lists.

use std::collections::BTreeMap;

use streamkit_engine::Timestamp;

use super::damage::{LogDamage, LogPlace};
use super::history::whole_history;
use super::patience::patiently;
use super::report::{Bodies, LogReport, LogUnread, VerifyProgress};
use super::walk::{Last, SlotSays, Walk};
use crate::log::{Checkpoint, CheckpointAt, HistoryExtent, Place, SealedExtent, StoreRoot, is_tombstone};
use crate::medium::{ExtentId, Medium, RowsEnd, SlotNumber, Unanswered};

/// Bytes that a read of an extent asks for.
const READ: usize = 4 << 20;
/// Slots behind one that cannot be read at which reading is tried again.
const SKIPS: u64 = 64;
/// How often collectors may move the extent that is being read to the history.
const MOVES: u32 = 16;

/// What comes behind the slots of an extent.
enum Behind {
    Extent(ExtentId),
    End,
    /// It is gone: a collector made it history meanwhile.
    Gone(ExtentId, SlotNumber),
}

/// Checks the whole log of a store and the archived files of its copies, also while hosts write it and collectors move it: what is behind the last
/// group of now is not looked at. `depth` is the [`Settings::depth`](crate::log::Settings::depth) of the hosts that wrote it, which is written nowhere: it tells which slots may
/// be missing for a while, and which groups may be void.
///
/// # Errors
/// [`LogUnread`]; damage is no error, and stands in the report.
///
/// # Cancel safety
/// It only reads.
pub async fn verify(
    medium: &dyn Medium,
    depth: usize,
    bodies: &mut dyn Bodies,
    progress: &mut (dyn FnMut(VerifyProgress) + Send),
) -> Result<LogReport, LogUnread> {
    let mut walk = Walk {
        medium,
        bodies,
        depth,
        report: LogReport::default(),
        last: Last::Known(None),
        unproven: Vec::new(),
        time: Timestamp(i64::MIN),
        archived: Vec::new(),
    };
    if let Some(root) = walk.root().await? {
        let checkpoint = walk.checkpoint(&root).await?;
        if let Some((at, checkpoint)) = &checkpoint {
            walk.list_archive(*at, checkpoint);
        }
        let mut wanted = checkpoint.map(|(at, checkpoint)| Wanted {
            at,
            checkpoint,
            is_met: false,
        });
        walk.log(root, &mut wanted, progress).await?;
        if let Some(wanted) = wanted.filter(|wanted| !wanted.is_met) {
            walk.damage(
                LogPlace::Checkpoint(wanted.at.blob),
                "it is of a place that the log does not have",
            );
        }
        walk.archive(progress).await?;
    }
    walk.report.count = walk.bodies.count();
    Ok(walk.report)
}

/// A checkpoint of which the place is still to come.
struct Wanted {
    at: CheckpointAt,
    checkpoint: Checkpoint,
    is_met: bool,
}

impl Walk<'_> {
    async fn root(&mut self) -> Result<Option<StoreRoot>, LogUnread> {
        let root = match patiently(|| self.medium.read_root()).await {
            Ok(root) => root.ok_or(LogUnread::NoStore)?,
            Err(Unanswered::Refused(why) | Unanswered::Damaged(why)) => {
                self.damage(LogPlace::Root, why);
                return Ok(None);
            }
            Err(why) => return Err(why.into()),
        };
        if is_tombstone(&root.bytes) {
            return Err(LogUnread::Deleted);
        }
        match StoreRoot::decode(&root.bytes) {
            Ok(root) if root.live.ordinal > 0 => Ok(Some(root)),
            Ok(_) => {
                self.damage(LogPlace::Root, "its live extent has the number 0");
                Ok(None)
            }
            Err(why) => {
                self.damage(LogPlace::Root, why.to_string());
                Ok(None)
            }
        }
    }

    async fn checkpoint(&mut self, root: &StoreRoot) -> Result<Option<(CheckpointAt, Checkpoint)>, Unanswered> {
        let Some(mut at) = root.checkpoint else { return Ok(None) };
        self.report.has_checkpoint = true;
        for _ in 0..MOVES {
            let Some(bytes) = patiently(|| self.medium.get_blob(at.blob_name())).await? else {
                // Perhaps a collector has made a newer one, and removed this.
                let now = patiently(|| self.medium.read_root()).await?;
                let now = now.and_then(|now| StoreRoot::decode(&now.bytes).ok());
                match now.and_then(|now| now.checkpoint).filter(|now| now.blob != at.blob) {
                    Some(newer) => at = newer,
                    None => {
                        self.damage(LogPlace::Checkpoint(at.blob), "it is not there");
                        return Ok(None);
                    }
                }
                continue;
            };
            let place = LogPlace::Checkpoint(at.blob);
            match Checkpoint::decode(&bytes) {
                Ok(checkpoint) if checkpoint.place == at.place => return Ok(Some((at, checkpoint))),
                Ok(_) => self.damage(place, "it is of another place than the root says"),
                Err(why) => self.damage(place, why.to_string()),
            }
            return Ok(None);
        }
        Ok(None)
    }

    async fn log(
        &mut self,
        root: StoreRoot,
        wanted: &mut Option<Wanted>,
        progress: &mut (dyn FnMut(VerifyProgress) + Send),
    ) -> Result<(), Unanswered> {
        let mut root = root;
        let mut history = self.history(&root).await?;
        // The first extent is found by the number 1, each next one by the seal before it.
        let (mut ordinal, mut named, mut from, mut moves) = (1, None, SlotNumber::FIRST, 0);
        loop {
            let of = root.live.ordinal;
            progress(VerifyProgress {
                checked: ordinal - 1,
                of: of.max(ordinal) + self.archived.len() as u64,
                bytes: self.report.bytes,
            });
            let behind = match ordinal < of {
                true => match history.get(&ordinal) {
                    Some(extent) => self.sealed(*extent, named, from, wanted).await?,
                    // The list of the history was told to be damaged.
                    None => {
                        self.lose_chain();
                        Behind::End
                    }
                },
                false => {
                    let extent = match ordinal == of {
                        true => self.first_live(&root, named, from),
                        false => named.unwrap_or(root.live.extent),
                    };
                    self.live(ordinal, extent, from, wanted).await?
                }
            };
            let is_history = ordinal < of;
            match behind {
                Behind::Gone(extent, at) if moves < MOVES => {
                    moves += 1;
                    let Some(now) = self.moved(extent, ordinal).await? else {
                        return Ok(());
                    };
                    root = now;
                    history = self.history(&root).await?;
                    from = at;
                    continue;
                }
                Behind::Gone(..) => return Ok(()),
                Behind::Extent(next) => named = Some(next),
                // Whatever is wrong with one extent of the history, the next one has a number.
                Behind::End if is_history => named = None,
                Behind::End => {
                    self.report.extents += 1;
                    return Ok(());
                }
            }
            self.report.extents += 1;
            self.report.history_extents += u64::from(is_history);
            (ordinal, from) = (ordinal + 1, SlotNumber::FIRST);
        }
    }

    /// The root behind a move of the extent that was being read; `None`: it did not move, and is told to be damaged.
    async fn moved(&mut self, extent: ExtentId, ordinal: u64) -> Result<Option<StoreRoot>, Unanswered> {
        let now = patiently(|| self.medium.read_root()).await?;
        let now = now.and_then(|now| StoreRoot::decode(&now.bytes).ok());
        if let Some(now) = now.filter(|now| now.live.ordinal > ordinal) {
            return Ok(Some(now));
        }
        let place = LogPlace::Live {
            ordinal,
            extent,
            slot: None,
        };
        self.damage(place, "its header is missing, and it is not in the history");
        Ok(None)
    }

    async fn history(&mut self, root: &StoreRoot) -> Result<BTreeMap<u64, HistoryExtent>, Unanswered> {
        let whole = whole_history(self.medium, root).await?;
        self.report.manifest_pages = whole.pages;
        for LogDamage { place, what } in whole.damage {
            // It is read again when the log moves.
            if !self
                .report
                .damage
                .iter()
                .any(|told| told.place == place && told.what == what)
            {
                self.damage(place, what);
            }
        }
        Ok(whole
            .extents
            .into_iter()
            .map(|extent| (extent.ordinal, extent))
            .collect())
    }

    /// What the root says of the first live extent is what the last of the history said.
    fn first_live(&mut self, root: &StoreRoot, named: Option<ExtentId>, from: SlotNumber) -> ExtentId {
        let live = root.live;
        if named.is_some_and(|named| named != live.extent) {
            self.damage(
                LogPlace::Root,
                "its live extent is not the one that the last of the history names",
            );
        }
        if from == SlotNumber::FIRST && matches!(self.last, Last::Known(last) if last != live.predecessor) {
            self.damage(
                LogPlace::Root,
                "its live extent follows another group than the last of the history",
            );
        }
        if self.last == Last::Hidden {
            self.last = Last::Known(live.predecessor);
        }
        live.extent
    }

    async fn sealed(
        &mut self,
        listed: HistoryExtent,
        named: Option<ExtentId>,
        from: SlotNumber,
        wanted: &mut Option<Wanted>,
    ) -> Result<Behind, Unanswered> {
        let HistoryExtent {
            ordinal,
            extent,
            blob,
            checksum,
        } = listed;
        let place = |slot| LogPlace::History { ordinal, blob, slot };
        if named.is_some_and(|named| named != extent) {
            self.damage(
                place(None),
                format!("it is extent {extent}, which the one before it does not name"),
            );
        }
        let Some(bytes) = patiently(|| self.medium.get_blob(listed.blob_name())).await? else {
            self.hide(place(None), "its blob is not there");
            return Ok(Behind::End);
        };
        if crc32fast::hash(&bytes) != checksum {
            self.hide(place(None), "its blob has another checksum than its list says");
        }
        let sealed = match SealedExtent::decode(&bytes, extent) {
            Ok(sealed) => sealed,
            Err(why) => {
                self.hide(place(None), why.to_string());
                return Ok(Behind::End);
            }
        };
        let count = sealed.slots.len() as u64;
        for (slot, bytes) in sealed.rows(from) {
            self.meet(ordinal, extent, slot, wanted);
            match self.slot(place(Some(slot)), extent, slot, &bytes).await? {
                SlotSays::Sealed(next) => {
                    if slot.0 != count {
                        self.damage(place(Some(slot)), "it seals the extent, and more slots follow");
                    }
                    return Ok(Behind::Extent(next));
                }
                SlotSays::PerhapsSealed(next) if slot.0 == count => return Ok(Behind::Extent(next)),
                SlotSays::PerhapsSealed(_) | SlotSays::GoOn => {}
            }
        }
        self.hide(place(None), "no group seals it");
        Ok(Behind::End)
    }

    async fn live(
        &mut self,
        ordinal: u64,
        extent: ExtentId,
        from: SlotNumber,
        wanted: &mut Option<Wanted>,
    ) -> Result<Behind, Unanswered> {
        let place = |slot| LogPlace::Live { ordinal, extent, slot };
        let (mut next, mut skipped, mut perhaps, mut hole) = (from, 0, None, None);
        loop {
            let rows = match patiently(|| self.medium.read_from(extent, next, READ)).await {
                Ok(rows) => rows,
                // What is damaged is told by the storage's own checks; reading goes on behind it.
                Err(Unanswered::Refused(why) | Unanswered::Damaged(why)) => {
                    if skipped == 0 {
                        self.hide(place(Some(next)), why);
                    }
                    skipped += 1;
                    if skipped > SKIPS {
                        self.damage(place(Some(next)), "from here on nothing was read");
                        return Ok(Behind::End);
                    }
                    next = next.next();
                    continue;
                }
                Err(why) => return Err(why),
            };
            if skipped > 0 && rows.rows.is_empty() && rows.end == RowsEnd::Header {
                return Ok(perhaps.map_or(Behind::End, Behind::Extent));
            }
            skipped = 0;
            let before = next;
            let mut is_missed = false;
            for (slot, bytes) in rows.rows {
                // So few slots behind a missing one are not part of the log yet; more are never sent before it is there.
                if slot != next && slot.0 - next.0 < self.depth as u64 {
                    break;
                }
                if slot != next {
                    is_missed = true;
                    // A read that begins now finds it, or nobody ever will.
                    if hole.replace(next) != Some(next) {
                        break;
                    }
                    self.hide(place(Some(next)), format!("it is not there, and slot {slot} is"));
                    next = slot;
                    is_missed = false;
                }
                self.meet(ordinal, extent, slot, wanted);
                next = next.next();
                perhaps = None;
                match self.slot(place(Some(slot)), extent, slot, &bytes).await? {
                    SlotSays::Sealed(sealed) => return Ok(Behind::Extent(sealed)),
                    SlotSays::PerhapsSealed(sealed) => perhaps = Some(sealed),
                    SlotSays::GoOn => {}
                }
            }
            match rows.end {
                _ if is_missed => {}
                RowsEnd::Early if next > before => {}
                RowsEnd::Nothing => return Ok(Behind::Gone(extent, next)),
                RowsEnd::Header | RowsEnd::Early => {
                    self.meet(ordinal, extent, next, wanted);
                    return Ok(perhaps.map_or(Behind::End, Behind::Extent));
                }
            }
        }
    }

    /// The walk has come to a place: the checkpoint may be of it.
    fn meet(&mut self, ordinal: u64, extent: ExtentId, slot: SlotNumber, wanted: &mut Option<Wanted>) {
        let Some(Wanted { at, checkpoint, is_met }) = wanted else {
            return;
        };
        if at.place != (Place { ordinal, slot, extent }) || *is_met {
            return;
        }
        *is_met = true;
        let place = LogPlace::Checkpoint(at.blob);
        let Last::Known(last) = self.last else { return };
        if last != checkpoint.last {
            self.damage(place, "it names another group than the last one before its place");
        } else if self.report.groups > 0 && last.is_some() && checkpoint.time != self.time {
            self.damage(place, "it has another commit time than the last group before its place");
        }
    }
}
