//! A store in a storage account: this process is one more host of it, for as long as a command takes.

use std::sync::Arc;
use std::time::Duration;

use streamkit_azure::account::{Account, AccountSettings, ProbeError};
use streamkit_azure::archive::{self, Archiving};
use streamkit_azure::medium::Media;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_azure::tools::has_root;
use streamkit_client::StoreClient;
use streamkit_engine::{Engine, EngineConfig, OpenError, ReadError, StorageError, Store, StoreId, Stores as _};
use uuid::Uuid;

use super::InProcess;
use super::scratch::Scratch;
use crate::connect::reached;
use crate::failure::Failure;

/// How often an account is tried that does not answer.
const TRIALS: u32 = 5;
/// Between two trials.
const PAUSE: Duration = Duration::from_secs(1);
/// What is written is archived that often, so that the disk need not keep it.
const OFTEN: Duration = Duration::from_secs(5);

/// What a store is opened for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// It has to be there, and nothing in the account changes.
    Read,
    /// It is made if it is not there, and so are the table and the container.
    Write,
}

/// The store, and the copy of it that a host has.
pub(crate) struct InAccount {
    store: Uuid,
    what_for: Use,
    served: InProcess,
    shared: SharedStores,
    /// Dropped last.
    _scratch: Scratch,
}

impl InAccount {
    /// Opens it and waits until all is here that the account has. A call may be silent for `timeout`; of what is in the account's archive, at most
    /// `cache_bytes` are on the disk at a time.
    ///
    /// # Errors
    /// The account does not answer, lets nobody in, or has no such store to read; or the disk cannot be written to.
    pub(crate) async fn open(
        settings: &AccountSettings,
        store: Uuid,
        what_for: Use,
        timeout: Duration,
        cache_bytes: u64,
    ) -> Result<Self, Failure> {
        let account = reached::account(settings)?;
        if what_for == Use::Write {
            try_out(&account).await?;
        }
        let is_there = has_root(&account, StoreId(store)).await?;
        let scratch = Scratch::make().map_err(of_scratch)?;
        let of_media = account.clone();
        let media: Media = Arc::new(move |store| Arc::new(AzureMedium::new(of_media.clone(), store)) as Arc<_>);
        let config = EngineConfig::new(scratch.path().join("copies"));
        let config = archive::copies(config, media.clone(), cache_bytes).map_err(of_scratch)?;
        let engine = tokio::task::spawn_blocking(move || Engine::open(config)).await;
        let engine = engine.map_err(|error| Failure::new(error.to_string()))??;
        let archiving = Archiving {
            period: match what_for {
                Use::Read => Archiving::NEVER,
                Use::Write => OFTEN,
            },
            ..Archiving::default()
        };
        let config = SharedConfig {
            archive: Some(archiving),
            ..SharedConfig::new(Uuid::new_v4())
        };
        let bookmarks = scratch.path().join("bookmarks");
        let shared = SharedStores::new(config, engine, bookmarks, media).map_err(of_scratch)?;
        let opened = shared.store(StoreId(store)).await.map_err(not_opened)?;
        catch_up(&*opened).await.map_err(not_read)?;
        if what_for == Use::Read && !is_there {
            let account = &settings.endpoints.account;
            return Err(
                Failure::new(format!("there is no store {store} in the account {account}"))
                    .hint("`streamkit azure status` lists those that are there"),
            );
        }
        Ok(Self {
            store,
            what_for,
            served: InProcess::serve(Arc::new(shared.clone()), timeout)?,
            shared,
            _scratch: scratch,
        })
    }

    pub(crate) fn store(&self) -> StoreClient {
        self.served.store(self.store)
    }

    /// Leaves the store as a host does that is stopped. What was written is archived, if there is enough of it, so that the next host begins
    /// there; else that one does it.
    pub(crate) async fn close(self) {
        self.served.close().await;
        if self.what_for == Use::Write
            && let Err(error) = self.shared.archive(StoreId(self.store)).await
        {
            tracing::debug!(%error, "what was written is not archived yet; the next host does it");
        }
        self.shared.close().await;
    }
}

/// Makes the table and the container, and makes sure that the account does what is relied on.
async fn try_out(account: &Account) -> Result<(), Failure> {
    let mut trial = 1;
    loop {
        match account.probe().await {
            Err(ProbeError::Call(error)) if error.is_unknown() && trial < TRIALS => trial += 1,
            done => return Ok(done?),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for what is there, as long as more of it comes.
async fn catch_up(store: &dyn Store) -> Result<(), ReadError> {
    let mut at = store.position();
    loop {
        match store.catch_up().await {
            Err(ReadError::Busy(_)) if store.position() > at => at = store.position(),
            done => return done,
        }
    }
}

fn of_scratch(error: std::io::Error) -> Failure {
    Failure::from(error)
        .during("a temporary folder")
        .hint("TMPDIR names another place for it")
}

fn not_opened(error: OpenError) -> Failure {
    let said = error.to_string();
    match error {
        OpenError::Storage(StorageError::Corrupt { .. }) => Failure::damage(said),
        error if error.is_transient() => Failure::no_answer(said).hint("try again"),
        _ => Failure::new(said),
    }
}

fn not_read(error: ReadError) -> Failure {
    let said = error.to_string();
    match error {
        ReadError::Storage(StorageError::Corrupt { .. }) => Failure::damage(said),
        ReadError::Busy(_) => Failure::no_answer(said).hint("try again"),
        _ => Failure::new(said),
    }
}
