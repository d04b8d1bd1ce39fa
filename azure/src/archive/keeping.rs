//! Archives what is sealed in a copy, and moves the log's checkpoint and history on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::archive::{ArchivedFile, Snapshot};
use streamkit_engine::clock::Clock;
use streamkit_engine::{LocalStore, LogPosition, Replica, StorageError, Store as _};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::meter::ArchiveMeter;
use crate::collector::{Collector, CollectorAction, CollectorEvent, CollectorSettings};
use crate::ledger::{Bookmark, Content, blob_name};
use crate::log::{Boot, Call, Checkpoint, Now, Place, Said, StoreRoot, is_tombstone};
use crate::medium::{Medium, Unanswered};

/// A round that takes longer is given up; the next one begins anew.
const ROUND: Duration = Duration::from_secs(300);

/// What is said of a root that was replaced by an older one. Hosts that are at work go on, and those that start find neither history nor tail.
const WENT_BACK: &str = "the root of the store is one of before: somebody has put it back, and no host that starts can read the store; put \
                         the last one back, and keep a copy of this host's folder";

/// When a host archives what is new in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Archiving {
    /// How often it looks, in the mean.
    pub period: Duration,
    /// Groups behind the last checkpoint from which on there is another.
    pub groups: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Archiving {
    /// A period that does not end: of a host that only looks, and leaves archiving to others.
    pub const NEVER: Duration = Duration::from_secs(10 * 365 * 86_400);
}

impl Default for Archiving {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(60),
            groups: 512,
            bytes: 4 << 20,
        }
    }
}

/// What archives one store at one host. It keeps nothing open between rounds.
pub(crate) struct Archiver {
    pub host: Uuid,
    pub bookmarks: PathBuf,
    pub settings: Archiving,
    pub clock: Arc<dyn Clock>,
    pub meter: Arc<ArchiveMeter>,
    /// The place that the copy had at the last round.
    last: Option<Place>,
    /// A checkpoint of the log, and how far the copy was when this host saw it first.
    seen: Option<(Place, LogPosition)>,
    /// The live extent and the checkpoint of the last root.
    root: (u64, Option<Place>),
}

impl Archiver {
    pub(crate) fn new(
        host: Uuid,
        bookmarks: PathBuf,
        settings: Archiving,
        clock: Arc<dyn Clock>,
        meter: Arc<ArchiveMeter>,
    ) -> Self {
        Self {
            host,
            bookmarks,
            settings,
            clock,
            meter,
            last: None,
            seen: None,
            root: (0, None),
        }
    }

    /// Does what there is to do. Whether that was anything.
    ///
    /// # Errors
    /// Why it is not done, in words; what is done stays.
    pub(crate) async fn round(&mut self, copy: &LocalStore, medium: &dyn Medium) -> Result<bool, String> {
        let done = timeout(ROUND, self.archive(copy, medium)).await;
        let done = done.unwrap_or_else(|_| Err(format!("not done within {} s", ROUND.as_secs())));
        self.meter.ended(&done);
        done
    }

    async fn archive(&mut self, copy: &LocalStore, medium: &dyn Medium) -> Result<bool, String> {
        let (folder, store) = (self.bookmarks.clone(), copy.id());
        // It is of a place that the copy has passed: what is behind it is landed again by whoever begins here, and is there already.
        let bookmark = may_wait(move || Ok(Bookmark::read(&folder, store))).await?;
        let Some(bookmark) = bookmark.filter(|bookmark| self.last != Some(bookmark.place)) else {
            return Ok(false);
        };
        let replica = Arc::new(Replica::of(copy.clone()));
        let Said::Root(root) = call(medium, Call::ReadRoot).await? else {
            unreachable!("calls are answered by their kind");
        };
        let Some(root) = root else { return Ok(false) };
        if is_tombstone(&root.bytes) {
            return Ok(false);
        }
        let root = StoreRoot::decode(&root.bytes).map_err(|why| why.to_string())?;
        let now = (root.live.ordinal, root.checkpoint.map(|at| at.place));
        if now.0 < self.root.0 || now.1 < self.root.1 {
            return Err(WENT_BACK.to_owned());
        }
        self.root = now;
        if !self.is_due(&root, bookmark.place, replica.tail()) {
            self.last = Some(bookmark.place);
            return Ok(false);
        }
        let own = replica.clone();
        let Some((snapshot, files)) = may_wait(move || snapshot(&own)).await? else {
            return Ok(false);
        };
        for file in files {
            let bytes = put(&replica, medium, file).await?;
            self.meter.put(bytes);
        }
        let (own, archived) = (replica, snapshot.clone());
        may_wait(move || own.archived(&archived)).await?;
        let applied = bookmark.applied;
        let checkpoint = Checkpoint {
            place: bookmark.place,
            last: bookmark.last,
            time: bookmark.time,
            ledger: Content { applied, snapshot }.encode(),
        };
        self.collect(medium, checkpoint).await?;
        self.last = Some(bookmark.place);
        Ok(true)
    }

    /// Whether the checkpoint is far behind the copy, or an extent is sealed that is not history yet.
    fn is_due(&mut self, root: &StoreRoot, place: Place, tail: LogPosition) -> bool {
        let Some(at) = root.checkpoint else { return true };
        // One of another host stands about where this copy is now.
        let seen = self.seen.filter(|(seen, _)| *seen == at.place);
        let (_, was) = *self.seen.insert(seen.unwrap_or((at.place, tail)));
        let is_far = place.ordinal > at.place.ordinal
            || place.slot.0 >= at.place.slot.0.saturating_add(self.settings.groups)
            || tail.extent > was.extent
            || u64::from(tail.byte.saturating_sub(was.byte)) >= self.settings.bytes;
        root.live.ordinal < place.ordinal || !root.retiring.is_empty() || is_far && at.place < place
    }

    async fn collect(&self, medium: &dyn Medium, checkpoint: Checkpoint) -> Result<(), String> {
        let boot = Boot {
            host: self.host,
            boot: Uuid::new_v4(),
        };
        let mut collector = Collector::new(CollectorSettings::default(), boot, boot.boot.as_u64_pair().0);
        let mut event = CollectorEvent::Begin(checkpoint);
        loop {
            let now = Now {
                uptime: self.clock.uptime(),
                wall: self.clock.now(),
            };
            let mut next = None;
            let actions = collector.step(now, event);
            self.meter.changed(collector.take_done());
            for action in actions {
                match action {
                    CollectorAction::Call(id, call) => next = Some((id, call)),
                    CollectorAction::Over(result) => return result,
                }
            }
            event = match next {
                Some((id, call)) => CollectorEvent::Said(id, said(medium, call).await),
                None => {
                    let wakes = collector.wakes().unwrap_or_default();
                    sleep(wakes.saturating_sub(self.clock.uptime())).await;
                    CollectorEvent::Tick
                }
            };
        }
    }
}

/// A snapshot, with its files that are not known to be archived.
fn snapshot(replica: &Replica) -> Result<Option<(Snapshot, Vec<ArchivedFile>)>, StorageError> {
    let Some(snapshot) = replica.snapshot()? else {
        return Ok(None);
    };
    let files = replica.unarchived(&snapshot)?;
    Ok(Some((snapshot, files)))
}

/// Writes a file's blob and reads it back; whoever wrote it. Returns its size.
async fn put(replica: &Arc<Replica>, medium: &dyn Medium, file: ArchivedFile) -> Result<usize, String> {
    let own = replica.clone();
    let bytes: bytes::Bytes = may_wait(move || own.archive_bytes(&file)).await?.into();
    let name = blob_name(&file);
    call(medium, Call::PutBlob(name, bytes.clone())).await?;
    match call(medium, Call::GetBlob(name)).await? {
        Said::Blob(Some(found)) if found == bytes => Ok(bytes.len()),
        _ => Err(format!("blob {name} is not as it was written")),
    }
}

/// The answer to a call that may be made again and again.
async fn call(medium: &dyn Medium, call: Call) -> Result<Said, String> {
    const ATTEMPTS: u32 = 4;
    let (mut pause, mut why) = (Duration::from_millis(50), String::new());
    for _ in 0..ATTEMPTS {
        match said(medium, call.clone()).await {
            Ok(said) => return Ok(said),
            Err(error) => why = error.to_string(),
        }
        sleep(pause).await;
        pause *= 2;
    }
    Err(why)
}

async fn said(medium: &dyn Medium, call: Call) -> Result<Said, Unanswered> {
    let patience = call.patience();
    let said = timeout(patience, call.of(medium)).await;
    said.unwrap_or_else(|_| Err(Unanswered::Unknown(format!("no answer within {patience:?}"))))
}

async fn may_wait<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, String> {
    let done = spawn_blocking(work).await.unwrap_or(Err(StorageError::Interrupted));
    done.map_err(|error| error.to_string())
}
