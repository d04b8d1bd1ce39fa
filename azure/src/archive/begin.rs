//! Begins the copy of a store on a host that has none, with the last checkpoint of the log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use streamkit_engine::{Busy, DamagedPlace, Engine, OpenError, SegmentsHit, StorageError, StoreId};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::ledger::{Bookmark, Content};
use crate::log::{Call, Checkpoint, CheckpointAt, Said, StoreRoot, is_tombstone};
use crate::medium::{Medium, Unanswered};

/// How often a call is made before whoever opens the store is told to come again.
const ATTEMPTS: u32 = 4;
/// Between the first two attempts; then twice as long.
const PAUSE: Duration = Duration::from_millis(50);
/// How often in a row a checkpoint may be gone when it is read, since another one took its place.
const ROUNDS: u32 = 8;

/// Makes a copy where this host has none that it knows the place of, and returns whether it did. Where the log has no checkpoint, there is nothing to
/// do: it is read from its begin. The store must not be open.
///
/// # Errors
/// [`OpenError::Busy`]: the storage has not answered; others as for an open.
pub(crate) async fn begin(
    engine: &Engine,
    bookmarks: &Path,
    medium: &dyn Medium,
    store: StoreId,
) -> Result<bool, OpenError> {
    let (own, folder) = (engine.clone(), bookmarks.to_owned());
    let is_here = move || Ok(Bookmark::read(&folder, store).is_some() && own.holds(store)?);
    if may_wait(is_here).await? {
        return Ok(false);
    }
    let mut missing = None;
    for _ in 0..ROUNDS {
        let Some(at) = last_checkpoint(medium, store).await? else {
            return Ok(false);
        };
        if let Some(bytes) = blob(medium, store, at).await? {
            install(engine, bookmarks.to_owned(), at, bytes, store).await?;
            return Ok(true);
        }
        // Another one took its place, or the root says the same again.
        if missing.replace(at.blob) == Some(at.blob) {
            let place = format!("blob {} of store {store}", at.blob_name());
            return Err(damaged(store, place, "it is not there, and the root names it"));
        }
    }
    Err(away("its checkpoint is replaced again and again"))
}

async fn last_checkpoint(medium: &dyn Medium, store: StoreId) -> Result<Option<CheckpointAt>, OpenError> {
    let Said::Root(root) = answer(medium, store, Call::ReadRoot).await? else {
        unreachable!("calls are answered by their kind");
    };
    let Some(root) = root else { return Ok(None) };
    if is_tombstone(&root.bytes) {
        return Err(StorageError::StoreDeleted(store).into());
    }
    let root = StoreRoot::decode(&root.bytes).map_err(|why| damaged(store, "root".to_owned(), &why.to_string()))?;
    Ok(root.checkpoint)
}

async fn blob(medium: &dyn Medium, store: StoreId, at: CheckpointAt) -> Result<Option<Bytes>, OpenError> {
    match answer(medium, store, Call::GetBlob(at.blob_name())).await? {
        Said::Blob(blob) => Ok(blob),
        _ => unreachable!("calls are answered by their kind"),
    }
}

async fn install(
    engine: &Engine,
    bookmarks: PathBuf,
    at: CheckpointAt,
    bytes: Bytes,
    store: StoreId,
) -> Result<(), OpenError> {
    let place = format!("blob {} of store {store}", at.blob_name());
    let wrong = |why: &str| damaged(store, place.clone(), why);
    let checkpoint = Checkpoint::decode(&bytes).map_err(|why| wrong(&why.to_string()))?;
    let content = Content::decode(&checkpoint.ledger).map_err(|why| wrong(&why.to_string()))?;
    if checkpoint.place != at.place || content.snapshot.store != store {
        return Err(wrong("the checkpoint of another place"));
    }
    let engine = engine.clone();
    may_wait(move || {
        engine.install(&content.snapshot)?;
        let bookmark = Bookmark {
            place: checkpoint.place,
            last: checkpoint.last,
            time: checkpoint.time,
            applied: content.applied,
        };
        // Without it, the copy is made anew.
        let written = bookmark.write(&bookmarks, store);
        written.map_err(|error| away(&format!("a bookmark cannot be written: {error}")))
    })
    .await
}

/// The answer to a call that changes nothing.
async fn answer(medium: &dyn Medium, store: StoreId, call: Call) -> Result<Said, OpenError> {
    let (mut pause, mut why) = (PAUSE, String::new());
    for _ in 0..ATTEMPTS {
        match timeout(call.patience(), call.clone().of(medium)).await {
            Ok(Ok(said)) => return Ok(said),
            Ok(Err(Unanswered::Damaged(found))) => {
                let place = "its log in the storage account".to_owned();
                return Err(damaged(store, place, &found));
            }
            Ok(Err(error)) => why = error.to_string(),
            Err(_) => "the storage does not answer".clone_into(&mut why),
        }
        sleep(pause).await;
        pause *= 2;
    }
    Err(away(&why))
}

async fn may_wait<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or(Err(StorageError::Interrupted.into()))
}

fn away(why: &str) -> OpenError {
    OpenError::Busy(Busy {
        why: format!("the copy of a shared store cannot begin: {why}"),
        retry_after: Duration::from_secs(1),
    })
}

fn damaged(store: StoreId, place: String, found: &str) -> OpenError {
    let (place, found) = (DamagedPlace::Named(place), found.to_owned());
    let segments = SegmentsHit::InAccount;
    StorageError::Corrupt {
        store,
        place,
        found,
        segments,
    }
    .into()
}
