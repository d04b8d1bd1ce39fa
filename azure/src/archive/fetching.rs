//! Fetches archived files, for the engine's threads.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use streamkit_engine::EngineConfig;
use streamkit_engine::archive::{Archive, ArchivedDisk, ArchivedFile, FetchError};
use streamkit_engine::disk::Disk;
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::EXTENT_BYTES;
use crate::ledger::blob_name;
use crate::log::Call;
use crate::medium::{Media, Medium, Unanswered};

/// How long a read waits for one file, all attempts together.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a file is asked for in that time.
const ATTEMPTS: u32 = 4;
/// Between the first two attempts; then twice as long.
const PAUSE: Duration = Duration::from_millis(50);

/// The blobs of the sealed files of all stores.
pub struct BlobArchive {
    media: Media,
    runtime: Handle,
}

impl BlobArchive {
    /// Those of an account.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(media: Media) -> Self {
        Self {
            media,
            runtime: Handle::current(),
        }
    }
}

/// A disk for the engine that keeps the copies in the data directory `dir`: of the archived files of all stores it keeps at most `most` bytes, and fetches
/// them again. Blocks for some disk accesses.
///
/// # Errors
/// What the operating system says.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn cache(disk: Arc<dyn Disk>, dir: &Path, media: Media, most: u64) -> io::Result<ArchivedDisk> {
    ArchivedDisk::new(disk, Arc::new(BlobArchive::new(media)), dir, most)
}

/// The engine that keeps copies in the data directory of `config`, of archived files at most `most` bytes, as every host and whoever only looks needs it. Blocks
/// for some disk accesses.
///
/// # Errors
/// What the operating system says.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn copies(config: EngineConfig, media: Media, most: u64) -> io::Result<EngineConfig> {
    Ok(EngineConfig {
        disk: Arc::new(cache(config.disk.clone(), &config.dir, media, most)?),
        copies: true,
        extent_bytes: EXTENT_BYTES,
        ..config
    })
}

impl Archive for BlobArchive {
    fn fetch(&self, file: &ArchivedFile) -> Result<Vec<u8>, FetchError> {
        let (medium, file) = ((self.media)(file.store), *file);
        let (tell, told) = sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody may be waiting any more.
            let _ = tell.send(fetch(&*medium, &file).await);
        });
        let late = |_| FetchError::Away(format!("no answer within {} s", PATIENCE.as_secs()));
        told.recv_timeout(PATIENCE).map_err(late)?
    }

    fn place(&self, file: &ArchivedFile) -> String {
        format!("blob {} of store {}", blob_name(file), file.store)
    }
}

async fn fetch(medium: &dyn Medium, file: &ArchivedFile) -> Result<Vec<u8>, FetchError> {
    let name = blob_name(file);
    let (mut pause, mut why) = (PAUSE, String::new());
    for _ in 0..ATTEMPTS {
        let got = timeout(Call::GetBlob(name).patience(), medium.get_blob(name)).await;
        let wait = match got {
            Ok(Ok(Some(bytes))) => return Ok(bytes.into()),
            Ok(Ok(None)) => return Err(FetchError::Damaged("nothing: the blob is gone".to_owned())),
            Ok(Err(Unanswered::Refused(why))) => return Err(FetchError::Away(why)),
            Ok(Err(Unanswered::Damaged(why))) => return Err(FetchError::Damaged(why)),
            Ok(Err(error)) => {
                why = error.to_string();
                match error {
                    Unanswered::Throttled { after: Some(after) } => after.max(pause),
                    _ => pause,
                }
            }
            Err(_) => {
                "the storage does not answer".clone_into(&mut why);
                pause
            }
        };
        sleep(wait).await;
        pause *= 2;
    }
    Err(FetchError::Away(why))
}
