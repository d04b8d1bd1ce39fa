//! One round after the other: what the root says, what is to be done, and in which order.

use std::time::Duration;

use streamkit_engine::Dice;
use streamkit_engine::boundary::figures::CollectorFigures;
use uuid::Uuid;

use super::task::{Change, Copied, Seen, Task, Written};
use crate::log::{Boot, Call, CallId, Checkpoint, CheckpointAt, Errand, Group, LiveExtent, Now, Said, StoreRoot};
use crate::medium::{Root, RootVersion, Rows, RowsEnd, SlotNumber, Swapped, Unanswered};

/// What happens to a collector.
#[derive(Debug)]
pub enum CollectorEvent {
    /// A round begins, with what the host's own log has come to. It becomes the store's checkpoint, if it is further than the last one.
    Begin(Checkpoint),
    /// The medium answered a call.
    Said(CallId, Result<Said, Unanswered>),
    /// The time came that [`Collector::wakes`] said.
    Tick,
}

/// What a collector does.
#[derive(Debug)]
pub enum CollectorAction {
    /// It makes a call of the medium.
    Call(CallId, Call),
    /// The round is over: nothing is left to do, other collectors were faster again and again, or what it found is not right, for the reason given.
    Over(Result<(), String>),
}

/// What may be chosen of a collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CollectorSettings {
    /// Bytes that a read of an extent asks for.
    pub read_bytes: usize,
    /// Extents of the history that the root lists before they go into a page of the manifest.
    pub listed: usize,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self {
            read_bytes: 8 << 20,
            listed: 64,
        }
    }
}

/// A collector of one store at one host.
pub struct Collector {
    settings: CollectorSettings,
    boot: Boot,
    dice: Dice,
    names: u128,
    last_call: u64,
    task: Task,
    errand: Errand,
    /// What is to be the store's checkpoint, if that is not further.
    checkpoint: Option<Checkpoint>,
    /// How far the host's log is.
    ordinal: u64,
    /// How often another collector was faster in this round.
    outrun: u32,
    done: CollectorFigures,
}

/// How often another collector may be faster before the round is over.
const OUTRUN_MOST: u32 = 8;

/// What comes next, or that the round is over.
type Next = Result<Task, String>;

impl Collector {
    /// One that has no round yet. `boot` is another one than that of the host's log; `seed` decides pauses.
    pub fn new(settings: CollectorSettings, boot: Boot, seed: u64) -> Self {
        Self {
            settings,
            boot,
            dice: Dice::new(seed),
            names: 0,
            last_call: 0,
            task: Task::Over,
            errand: Errand::default(),
            checkpoint: None,
            ordinal: 0,
            outrun: 0,
            done: CollectorFigures::default(),
        }
    }

    /// Something happens; what is to be done comes back.
    pub fn step(&mut self, now: Now, event: CollectorEvent) -> Vec<CollectorAction> {
        let mut over = None;
        match event {
            CollectorEvent::Begin(checkpoint) if matches!(self.task, Task::Over) => {
                self.ordinal = checkpoint.place.ordinal;
                self.checkpoint = Some(checkpoint);
                self.outrun = 0;
                self.task = Task::Root;
            }
            CollectorEvent::Begin(_) | CollectorEvent::Tick => {}
            CollectorEvent::Said(call, said) if self.errand.is_answered_by(call) => match said {
                Ok(said) => {
                    let task = std::mem::replace(&mut self.task, Task::Over);
                    self.errand = Errand::default();
                    match self.next(task, said) {
                        Ok(task) => {
                            over = matches!(task, Task::Over).then_some(Ok(()));
                            self.task = task;
                        }
                        Err(why) => over = Some(Err(why)),
                    }
                }
                Err(Unanswered::Refused(why) | Unanswered::Damaged(why)) => {
                    (self.task, self.errand) = (Task::Over, Errand::default());
                    over = Some(Err(why));
                }
                // The same again: a change of the root may have come to pass, or come to pass later.
                Err(why) => self.errand.failed(now.uptime, &why, &mut self.dice),
            },
            CollectorEvent::Said(..) => {}
        }
        if let Some(result) = over {
            return vec![CollectorAction::Over(result)];
        }
        let call = self.task.call(self.settings.read_bytes);
        match call.filter(|_| self.errand.is_due(now.uptime)) {
            Some(call) => {
                self.last_call += 1;
                self.errand.made(CallId(self.last_call));
                vec![CollectorAction::Call(CallId(self.last_call), call)]
            }
            None => Vec::new(),
        }
    }

    /// At which uptime the collector has to be told that it is time, if nothing else happens before.
    pub fn wakes(&self) -> Option<Duration> {
        self.errand.wakes()
    }

    /// Whether no round is under way.
    pub fn rests(&self) -> bool {
        matches!(self.task, Task::Over)
    }

    /// The changes of the root that it has made since this was asked for last.
    pub fn take_done(&mut self) -> CollectorFigures {
        std::mem::take(&mut self.done)
    }

    fn next(&mut self, task: Task, said: Said) -> Next {
        match (task, said) {
            (Task::Root, Said::Root(None)) => Ok(Task::Over),
            (Task::Root, Said::Root(Some(root))) => Ok(self.decide(see(root)?)),
            (Task::Retire(seen, extent), Said::Retired) => Ok(self.swap(seen, Change::Retired(vec![extent]))),
            (Task::Copy(seen, copied), Said::Rows(rows)) => self.copied(seen, copied, rows),
            (Task::Put(seen, written), Said::Put(_)) => Ok(Task::Verify(seen, written)),
            (Task::Verify(seen, written), Said::Blob(blob)) => match blob == Some(written.bytes) {
                true => Ok(self.swap(seen, written.change)),
                false => Err(format!("{} is not as it was written", written.name)),
            },
            (Task::Swap(before, root, change), Said::Swapped(Swapped::Done(version))) => {
                Ok(self.changed(before, root, change, version))
            }
            (Task::Swap(before, root, change), Said::Swapped(Swapped::Lost)) => Ok(Task::Lost(before, root, change)),
            (Task::Lost(..), Said::Root(None)) => Ok(Task::Over),
            (Task::Lost(before, root, change), Said::Root(Some(found))) => self.lost(before, root, change, see(found)?),
            (Task::Remove(_, then), Said::Deleted) => Ok(then.map_or(Task::Over, |seen| self.decide(seen))),
            _ => unreachable!("calls are answered by their kind"),
        }
    }

    /// What is to be done about this root.
    fn decide(&mut self, seen: Seen) -> Task {
        if let Some(extent) = seen.root.retiring.first().copied() {
            return Task::Retire(seen, extent);
        }
        if seen.root.history.len() >= self.settings.listed {
            let blob = self.name();
            let page = Written::page(&seen, blob);
            return Task::Put(seen, page);
        }
        // An extent that the host's log has left is sealed.
        if seen.root.live.ordinal < self.ordinal {
            let last = seen.root.live.predecessor;
            let slots = Vec::new();
            return Task::Copy(seen, Copied { slots, last });
        }
        let is_further = |checkpoint: &Checkpoint| seen.root.checkpoint.is_none_or(|at| at.place < checkpoint.place);
        match self.checkpoint.as_ref().filter(|&checkpoint| is_further(checkpoint)) {
            Some(checkpoint) => {
                let checkpoint = checkpoint.clone();
                let (blob, place) = (self.name(), checkpoint.place);
                let change = Change::Checkpoint(CheckpointAt { blob, place });
                Task::Put(seen, Written::of(checkpoint.encode(), change))
            }
            None => Task::Over,
        }
    }

    fn copied(&mut self, seen: Seen, mut copied: Copied, rows: Rows) -> Next {
        let live = seen.root.live;
        for (slot, bytes) in rows.rows {
            // None is missing before the seal that the host has read; whatever stands behind it is no history.
            if slot != SlotNumber(copied.slots.len() as u64 + 1) {
                break;
            }
            let group = Group::decode(&bytes, live.extent, slot).map_err(|why| why.to_string())?;
            copied.slots.push(bytes);
            if group.predecessor != copied.last {
                continue;
            }
            copied.last = Some(group.id);
            if let Some(next) = group.seal {
                let next = LiveExtent {
                    ordinal: live.ordinal + 1,
                    extent: next,
                    predecessor: Some(group.id),
                };
                let history = Written::history(&seen, copied.slots, next, self.name());
                return Ok(Task::Put(seen, history));
            }
        }
        match rows.end {
            RowsEnd::Early => Ok(Task::Copy(seen, copied)),
            // Another collector was faster.
            RowsEnd::Nothing if self.goes_on() => Ok(Task::Root),
            RowsEnd::Nothing => Ok(Task::Over),
            RowsEnd::Header => Err(format!("extent {} has no seal", live.extent)),
        }
    }

    fn swap(&mut self, seen: Seen, change: Change) -> Task {
        let root = change.made(&seen.root, self.name());
        Task::Swap(seen, root, change)
    }

    fn changed(&mut self, before: Seen, root: StoreRoot, change: Change, version: RootVersion) -> Task {
        let done = &mut self.done;
        match &change {
            Change::History(..) => done.history += 1,
            Change::Retired(extents) => done.retired += extents.len() as u64,
            Change::Checkpoint(_) => done.checkpoints += 1,
            Change::Page(_) => {}
        }
        let seen = Seen { root, version };
        match (change, before.root.checkpoint) {
            (Change::Checkpoint(_), Some(old)) => Task::Remove(old.blob_name(), Some(seen)),
            _ => self.decide(seen),
        }
    }

    /// The root is not of the version that was to be changed. Either an earlier call of the same change did that, or the change can never be
    /// carried out.
    fn lost(&mut self, before: Seen, root: StoreRoot, change: Change, found: Seen) -> Next {
        if found.root.change == root.change {
            return Ok(self.changed(before, root, change, found.version));
        }
        let blob = change.blob().filter(|_| change.is_unnamed_in(&found.root));
        let then = self.goes_on().then_some(found);
        Ok(match (blob, then) {
            (Some(blob), then) => Task::Remove(blob, then),
            (None, Some(found)) => self.decide(found),
            (None, None) => Task::Over,
        })
    }

    /// Whether to go on behind another collector that was faster. Who gave up at once would make no checkpoint where many collectors are at work:
    /// that comes last. Who never gave up might do the same as another one for ever.
    fn goes_on(&mut self) -> bool {
        self.outrun += 1;
        self.outrun <= OUTRUN_MOST
    }

    fn name(&mut self) -> Uuid {
        self.names += 1;
        Uuid::from_u128(self.boot.boot.as_u128() ^ self.names)
    }
}

fn see(root: Root) -> Result<Seen, String> {
    let version = root.version;
    let root = StoreRoot::decode(&root.bytes).map_err(|why| why.to_string())?;
    Ok(Seen { root, version })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use streamkit_engine::Timestamp;

    use super::*;
    use crate::log::{Place, StoreRoot};
    use crate::medium::{ExtentId, Put};

    const EXTENT: ExtentId = ExtentId(Uuid::from_u128(1));

    /// A storage of one root and one blob, at which another collector changes something before each of so many changes of ours.
    struct Contended {
        root: StoreRoot,
        version: u64,
        others: u32,
        blob: Option<Bytes>,
    }

    impl Contended {
        fn said(&mut self, call: Call) -> Said {
            let version = RootVersion(self.version.to_string());
            match call {
                Call::ReadRoot => Said::Root(Some(Root {
                    bytes: self.root.encode(),
                    version,
                })),
                Call::PutBlob(_, bytes) => {
                    self.blob = Some(bytes);
                    Said::Put(Put::Done)
                }
                Call::GetBlob(_) => Said::Blob(self.blob.clone()),
                Call::DeleteBlob(_) => {
                    self.blob = None;
                    Said::Deleted
                }
                Call::SwapRoot(expected, bytes) => {
                    self.version += 1;
                    match self.others {
                        0 if expected == Some(version) => {
                            self.root = StoreRoot::decode(&bytes).unwrap();
                            Said::Swapped(Swapped::Done(RootVersion(self.version.to_string())))
                        }
                        0 => Said::Swapped(Swapped::Lost),
                        _ => {
                            self.others -= 1;
                            self.root.change = Uuid::new_v4();
                            Said::Swapped(Swapped::Lost)
                        }
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// The checkpoint that a round makes.
    fn round(others: u32) -> Contended {
        let now = Now {
            uptime: Duration::ZERO,
            wall: Timestamp(0),
        };
        let boot = Boot {
            host: Uuid::from_u128(7),
            boot: Uuid::from_u128(8),
        };
        let mut collector = Collector::new(CollectorSettings::default(), boot, 1);
        let mut storage = Contended {
            root: StoreRoot::first(Uuid::from_u128(9), EXTENT),
            version: 1,
            others,
            blob: None,
        };
        let checkpoint = Checkpoint {
            place: Place::begin(1, EXTENT),
            last: None,
            time: Timestamp(0),
            ledger: Bytes::from_static(b"all"),
        };
        let mut event = CollectorEvent::Begin(checkpoint);
        loop {
            match collector.step(now, event).remove(0) {
                CollectorAction::Call(id, call) => event = CollectorEvent::Said(id, Ok(storage.said(call))),
                CollectorAction::Over(result) => {
                    result.unwrap();
                    return storage;
                }
            }
        }
    }

    #[test]
    fn a_checkpoint_is_made_although_others_are_faster_and_one_who_is_always_outrun_gives_up_and_leaves_nothing() {
        for others in [0, 1, OUTRUN_MOST] {
            let left = round(others);
            assert!(left.root.checkpoint.is_some() && left.blob.is_some(), "{others}");
        }
        let left = round(OUTRUN_MOST + 1);
        assert!(left.root.checkpoint.is_none() && left.blob.is_none());
    }
}
