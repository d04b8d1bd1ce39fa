//! The way to the tail: the root says where the log begins, or where it goes on; a checkpoint and history blobs bring the ledger there.
//!
//! A host that was at work when its extent was retired goes the same way from its own place. What it has pinned is found, or not, in the
//! history of that extent.

use super::blobs::{Checkpoint, SealedExtent};
use super::call::{Call, CallId, Said};
use super::codec::Malformed;
use super::errand::Errand;
use super::event::Failure;
use super::group::first_slot;
use super::ledger::Ledger;
use super::look::BacklogEnd;
use super::machine::{Phase, Purpose, SharedLog};
use super::place::Place;
use super::root::{CheckpointAt, HistoryExtent, ManifestPage, StoreRoot, Whereabouts};
use super::stage::{Opening, Stage};
use super::tail::Tail;
use super::tombstone::is_tombstone;
use crate::medium::{ExtentId, Root, Rows, RowsEnd, SlotNumber, Swapped, Unanswered};

/// How often in a row the root may name an extent without a header. A collector names another one before it takes the header away.
const ROUNDS_MOST: u32 = 8;

impl<L: Ledger> SharedLog<L> {
    pub(super) fn open(&mut self) {
        if let Phase::Closed = self.phase {
            self.phase = Phase::Opening(Box::new(Opening::new(Stage::Root, 0)));
        }
    }

    /// The extent of this host is retired, or it seems so: the root tells.
    pub(super) fn reopen(&mut self) {
        let rounds = match &self.phase {
            Phase::Opening(opening) if opening.is_live() => opening.rounds + 1,
            // The look of an open log, or an insert.
            Phase::Open => 0,
            // On the way already.
            Phase::Opening(_) | Phase::Closed | Phase::Failed(_) | Phase::Left => return,
        };
        self.looking.stop();
        let mut opening = Opening::new(Stage::Root, rounds);
        if rounds > 0 {
            let unknown = Unanswered::Unknown("an extent is not where the root says".to_owned());
            for _ in 0..rounds.min(8) {
                opening.errand.failed(self.now.uptime, &unknown, &mut self.dice);
            }
        }
        self.phase = Phase::Opening(Box::new(opening));
        if rounds == ROUNDS_MOST {
            let extent = self
                .tail
                .as_ref()
                .map(|tail| tail.place.extent.to_string())
                .unwrap_or_default();
            self.fail(Failure::Damaged(format!(
                "the header of extent {extent} is not there, and the root does not say that it is history"
            )));
        }
    }

    /// Groups were applied: the root leads somewhere.
    pub(super) fn progressed(&mut self) {
        if let Phase::Opening(opening) = &mut self.phase {
            opening.rounds = 0;
        }
    }

    pub(super) fn pump_opening(&mut self) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        if !opening.errand.is_due(self.now.uptime) {
            return;
        }
        let call = match &opening.stage {
            Stage::Root | Stage::Beaten(_) => Call::ReadRoot,
            Stage::Extent(extent) => Call::CreateExtent(*extent, first_slot(self.boot)),
            Stage::First(_, root) => Call::SwapRoot(None, root.encode()),
            Stage::Abandon(extent) => Call::RetireExtent(*extent),
            Stage::Checkpoint(_, at) => Call::GetBlob(at.blob_name()),
            Stage::Page(_, page) => Call::GetBlob(page.blob_name()),
            Stage::Replay(_, extent) => Call::GetBlob(extent.blob_name()),
            Stage::Replaying(_) | Stage::Live => return,
        };
        let call = self.call(Purpose::Open, call);
        if let Phase::Opening(opening) = &mut self.phase {
            opening.errand.made(call);
        }
    }

    pub(super) fn opening_said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        let now = self.now.uptime;
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        if !opening.errand.is_answered_by(call) {
            return;
        }
        let said = match said {
            Ok(said) => said,
            Err(why) => return opening.errand.failed(now, &why, &mut self.dice),
        };
        let stage = std::mem::replace(&mut opening.stage, Stage::Root);
        let next = match (stage, said) {
            (Stage::Root, Said::Root(root)) => self.root_read(root),
            (Stage::Extent(extent), Said::Created(_)) => {
                let root = StoreRoot::first(self.name(), extent);
                Ok(Stage::First(extent, root))
            }
            (Stage::First(_, root), Said::Swapped(Swapped::Done(_))) => self.route(root),
            (Stage::First(extent, _), Said::Swapped(Swapped::Lost)) => Ok(Stage::Beaten(extent)),
            (Stage::Beaten(extent), Said::Root(root)) => beaten(extent, root),
            (Stage::Abandon(_), Said::Retired) => Ok(Stage::Root),
            (Stage::Checkpoint(root, at), Said::Blob(blob)) => self.checkpoint_read(root, at, blob),
            (Stage::Page(root, _), Said::Blob(blob)) => self.page_read(root, blob),
            (Stage::Replay(root, extent), Said::Blob(blob)) => return self.history_read(root, extent, blob),
            _ => unreachable!("calls are answered by their kind"),
        };
        self.go_on(next);
    }

    fn go_on(&mut self, next: Result<Stage, Failure>) {
        match (next, &mut self.phase) {
            (Ok(stage), Phase::Opening(opening)) => {
                (opening.stage, opening.errand) = (stage, Errand::default());
            }
            (Ok(_), _) => {}
            (Err(failure), _) => self.fail(failure),
        }
    }

    fn root_read(&mut self, root: Option<Root>) -> Result<Stage, Failure> {
        let Some(root) = root else {
            return match (self.tail.is_some() || L::is_kept(&self.home), self.settings.creates) {
                (true, _) => Err(Failure::WentBack),
                (false, true) => Ok(Stage::Extent(ExtentId(self.name()))),
                (false, false) => Err(Failure::NoStore),
            };
        };
        if is_tombstone(&root.bytes) {
            return Err(Failure::Deleted);
        }
        let root = StoreRoot::decode(&root.bytes).map_err(damaged)?;
        if self.tail.is_none() {
            self.tail = Tail::found(&self.home)?;
        }
        match (&self.tail, root.checkpoint) {
            (None, Some(at)) => Ok(Stage::Checkpoint(root, at)),
            (None, None) | (Some(_), _) => self.route(root),
        }
    }

    /// From the place of this host, or the begin of the log, to where the root says that this extent is.
    fn route(&mut self, root: StoreRoot) -> Result<Stage, Failure> {
        let ordinal = self.tail.as_ref().map_or(1, |tail| tail.place.ordinal);
        match root.whereabouts(ordinal) {
            Whereabouts::Live => {
                let begin = Place::begin(root.live.ordinal, root.live.extent);
                let place = self.tail_or_begin(begin)?.place;
                match place.ordinal > begin.ordinal || place.extent == begin.extent {
                    true => Ok(Stage::Live),
                    false => Err(Failure::Damaged("the root names another extent".to_owned())),
                }
            }
            Whereabouts::History(extent) => Ok(Stage::Replay(root, extent)),
            Whereabouts::Older(page) => Ok(Stage::Page(root, page)),
            Whereabouts::Nowhere => Err(Failure::Damaged(format!(
                "the root does not say where extent {ordinal} is"
            ))),
        }
    }

    fn tail_or_begin(&mut self, begin: Place) -> Result<&mut Tail<L>, Failure> {
        if self.tail.is_none() {
            self.tail = Some(Tail::begin(&self.home, begin)?);
        }
        Ok(self.tail.as_mut().expect("it is there now"))
    }

    fn checkpoint_read(
        &mut self,
        root: StoreRoot,
        at: CheckpointAt,
        blob: Option<bytes::Bytes>,
    ) -> Result<Stage, Failure> {
        let Some(blob) = blob else {
            // Another one took its place meanwhile, or the root says the same again.
            return match self.missing.replace(at.blob) {
                Some(missing) if missing == at.blob => Err(gone("checkpoint")),
                _ => Ok(Stage::Root),
            };
        };
        let checkpoint = Checkpoint::decode(&blob).map_err(damaged)?;
        if checkpoint.place != at.place {
            return Err(Failure::Damaged("the checkpoint is of another place".to_owned()));
        }
        self.tail = Tail::restore(&self.home, checkpoint)?;
        self.route(root)
    }

    fn page_read(&mut self, root: StoreRoot, blob: Option<bytes::Bytes>) -> Result<Stage, Failure> {
        let blob = blob.ok_or_else(|| gone("page of the manifest"))?;
        let page = ManifestPage::decode(&blob).map_err(damaged)?;
        let ordinal = self.tail.as_ref().map_or(1, |tail| tail.place.ordinal);
        match page.whereabouts(ordinal) {
            Whereabouts::History(extent) => Ok(Stage::Replay(root, extent)),
            Whereabouts::Older(page) => Ok(Stage::Page(root, page)),
            Whereabouts::Live | Whereabouts::Nowhere => Err(gone("extent in the manifest")),
        }
    }

    fn history_read(&mut self, root: StoreRoot, extent: HistoryExtent, blob: Option<bytes::Bytes>) {
        let sealed =
            blob.ok_or_else(|| gone("history blob"))
                .and_then(|blob| match crc32fast::hash(&blob) == extent.checksum {
                    true => SealedExtent::decode(&blob, extent.extent).map_err(damaged),
                    false => Err(Failure::Damaged("a history blob has another checksum".to_owned())),
                });
        let sealed = match sealed {
            Ok(sealed) => sealed,
            Err(failure) => return self.fail(failure),
        };
        let begin = Place::begin(extent.ordinal, extent.extent);
        let tail = match self.tail_or_begin(begin) {
            Ok(tail) => tail,
            Err(failure) => return self.fail(failure),
        };
        if tail.place.extent != extent.extent {
            return self.fail(Failure::Damaged("the history is of another extent".to_owned()));
        }
        let slot_before = SlotNumber(tail.place.slot.0 - 1);
        tail.is_unproven = false;
        if slot_before.0 > sealed.slots.len() as u64 {
            return self.fail(Failure::WentBack);
        }
        let rows = Rows {
            rows: sealed.rows(tail.place.slot).collect(),
            end: RowsEnd::Nothing,
        };
        self.go_on(Ok(Stage::Replaying(root)));
        self.take_up(extent.extent, rows, BacklogEnd::History);
    }

    /// An extent of the history is applied.
    pub(super) fn replayed(&mut self) {
        let Phase::Opening(opening) = &mut self.phase else {
            return;
        };
        let stage = std::mem::replace(&mut opening.stage, Stage::Root);
        let next = match stage {
            Stage::Replaying(root) => self.route(root),
            _ => Ok(Stage::Root),
        };
        self.go_on(next);
        self.pump_opening();
    }
}

/// Who made the first root. Once it is there, no late call can make another.
fn beaten(extent: ExtentId, root: Option<Root>) -> Result<Stage, Failure> {
    let root = root.ok_or(Failure::NoStore)?;
    if is_tombstone(&root.bytes) {
        return Ok(Stage::Abandon(extent));
    }
    let root = StoreRoot::decode(&root.bytes).map_err(damaged)?;
    match root.live.extent == extent {
        true => Ok(Stage::Root),
        // If it was ours after all, it is history by now, and to be retired anyway.
        false => Ok(Stage::Abandon(extent)),
    }
}

fn damaged(why: Malformed) -> Failure {
    Failure::Damaged(why.to_string())
}

fn gone(what: &str) -> Failure {
    Failure::Damaged(format!("a {what} is not there"))
}
