//! All stores of an account at this host.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use streamkit_engine::boundary::figures::{Figures, SharedFigures};
use streamkit_engine::clock::{Clock, SystemClock};
use streamkit_engine::{Dice, Engine, OpenError, ReadError, StorageError, Store, StoreId, Stores};
use uuid::Uuid;

use super::at_hand::AtHand;
use super::health::Health;
use super::shared::SharedStore;
use super::told;
use crate::archive::{ArchiveMeter, Archiver, Archiving, begin};
use crate::ledger::{CopyHome, Turns};
use crate::log::{LogMeter, Settings};
use crate::medium::{Media, MediumMeter};

/// How often a store that somebody follows is looked at, beside what others tell of it.
const LOOK: Duration = Duration::from_secs(1);
/// A log that is not left by then is left behind: the storage is away.
const LEAVE: Duration = Duration::from_secs(20);

/// What may be chosen.
#[derive(Clone)]
pub struct SharedConfig {
    /// This host: the same at each start.
    pub host: Uuid,
    /// The bounds of each log.
    pub log: Settings,
    /// How long an append waits for its answer.
    pub append_patience: Duration,
    /// How long a read waits until it begins.
    pub read_patience: Duration,
    /// Stores open at a time, if nobody follows more.
    pub open_stores: usize,
    /// When what is sealed is archived. The engine then needs a disk that is a [cache](crate::archive::cache) of the archive, and every host has to archive, or
    /// none. `None`: never; then each host keeps whole copies.
    pub archive: Option<Archiving>,
    /// What counts the calls of the media, if anything does: a [`MeteredMedium`](crate::medium::MeteredMedium) has it, too.
    pub meter: Arc<MediumMeter>,
    /// The clock of this host.
    pub clock: Arc<dyn Clock>,
}

impl SharedConfig {
    /// The defaults.
    pub fn new(host: Uuid) -> Self {
        Self {
            host,
            log: Settings::default(),
            append_patience: Duration::from_secs(20),
            read_patience: Duration::from_secs(10),
            open_stores: 1_000,
            archive: None,
            meter: Arc::default(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Stores whose logs several hosts share. Cheap to clone.
#[derive(Clone)]
pub struct SharedStores {
    inner: Arc<Inner>,
}

struct Inner {
    config: SharedConfig,
    /// Keeps the copies.
    engine: Engine,
    bookmarks: PathBuf,
    media: Media,
    turns: Turns,
    health: Arc<Health>,
    logs: Arc<LogMeter>,
    archive: Arc<ArchiveMeter>,
    open: Mutex<Open>,
    /// Openings under way: one after the other of each store.
    opening: Mutex<HashMap<StoreId, Weak<tokio::sync::Mutex<()>>>>,
}

#[derive(Default)]
struct Open {
    stores: HashMap<StoreId, Opened>,
    uses: u64,
    is_closed: bool,
    evicted: u64,
}

struct Opened {
    store: Arc<SharedStore>,
    last_used: u64,
}

impl SharedStores {
    /// Over an account. `engine` keeps the copies and nothing else; `bookmarks` is a folder of this host beside it.
    ///
    /// # Errors
    /// The folder cannot be made, or the engine is not one for copies ([`EngineConfig::copies`](streamkit_engine::EngineConfig)).
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(config: SharedConfig, engine: Engine, bookmarks: PathBuf, media: Media) -> std::io::Result<Self> {
        if !engine.holds_copies() {
            let why = "the engine is not one for copies: set EngineConfig::copies";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, why));
        }
        std::fs::create_dir_all(&bookmarks)?;
        let health = Health::new();
        health.watch(media(StoreId(Uuid::nil())));
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                engine,
                bookmarks,
                media,
                turns: Turns::default(),
                health,
                logs: Arc::default(),
                archive: Arc::default(),
                open: Mutex::default(),
                opening: Mutex::default(),
            }),
        })
    }

    fn opened(&self, id: StoreId) -> Result<Option<Arc<SharedStore>>, OpenError> {
        let mut open = self.open();
        if open.is_closed {
            return Err(StorageError::Closed.into());
        }
        open.uses += 1;
        let uses = open.uses;
        Ok(open.stores.get_mut(&id).map(|opened| {
            opened.last_used = uses;
            opened.store.clone()
        }))
    }

    async fn open_store(&self, id: StoreId) -> Result<Arc<SharedStore>, OpenError> {
        if let Some(store) = self.opened(id)? {
            return Ok(store);
        }
        let turn = self.opening(id);
        let _one = turn.lock().await;
        if let Some(store) = self.opened(id)? {
            return Ok(store);
        }
        self.make_room().await?;
        let engine = self.inner.engine.clone();
        let begun = match self.inner.config.archive {
            Some(_) => begin(&engine, &self.inner.bookmarks, &*(self.inner.media)(id), id).await?,
            None => false,
        };
        let copy = tokio::task::spawn_blocking(move || engine.open_store(id));
        let copy = copy.await.unwrap_or(Err(StorageError::Interrupted.into()))?;
        let config = &self.inner.config;
        let home = CopyHome {
            copy: copy.clone(),
            bookmarks: self.inner.bookmarks.clone(),
            turns: self.inner.turns.clone(),
            is_of_log: Arc::new(AtomicBool::new(begun || copy.is_new())),
        };
        let log = AtHand::new(
            config.host,
            (self.inner.media)(id),
            config.log,
            home,
            config.clock.clone(),
            (config.append_patience, config.read_patience),
            self.inner.logs.clone(),
        );
        let store = Arc::new(SharedStore {
            log: Arc::new(log),
            copy,
        });
        let mut open = self.open();
        if open.is_closed {
            return Err(StorageError::Closed.into());
        }
        let last_used = open.uses;
        let opened = Opened {
            store: store.clone(),
            last_used,
        };
        open.stores.insert(id, opened);
        drop(open);
        watch(&store);
        if let Some(archiver) = self.archiver() {
            archive(&store, archiver);
        }
        Ok(store)
    }

    /// The turn of those who open a store.
    fn opening(&self, id: StoreId) -> Arc<tokio::sync::Mutex<()>> {
        let mut opening = self.inner.opening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = opening.get(&id).and_then(Weak::upgrade) {
            return turn;
        }
        opening.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        opening.insert(id, Arc::downgrade(&turn));
        turn
    }

    fn archiver(&self) -> Option<Archiver> {
        let (config, bookmarks) = (&self.inner.config, self.inner.bookmarks.clone());
        let archiving = config.archive?;
        let meter = self.inner.archive.clone();
        Some(Archiver::new(
            config.host,
            bookmarks,
            archiving,
            config.clock.clone(),
            meter,
        ))
    }

    /// Archives what there is to archive of a store, now. Whether that was anything.
    ///
    /// # Errors
    /// Why it is not done, in words; what is done stays.
    pub async fn archive(&self, id: StoreId) -> Result<bool, String> {
        let Some(mut archiver) = self.archiver() else {
            return Ok(false);
        };
        let store = self.open_store(id).await.map_err(|error| error.to_string())?;
        archiver.round(&store.copy, &*store.log.medium).await
    }

    /// Closes the store that nobody has used for the longest time, if as many are open as may be.
    async fn make_room(&self) -> Result<(), OpenError> {
        let most = self.inner.config.open_stores;
        let gone = {
            let mut open = self.open();
            if open.stores.len() < most {
                return Ok(());
            }
            let idle = open.stores.iter().filter(|(_, opened)| is_idle(&opened.store));
            let oldest = idle.min_by_key(|(_, opened)| opened.last_used).map(|(id, _)| *id);
            let oldest = oldest.ok_or(OpenError::TooManyStores(most))?;
            open.evicted += 1;
            open.stores.remove(&oldest)
        };
        if let Some(gone) = gone {
            let _ = tokio::time::timeout(LEAVE, gone.store.log.close()).await;
        }
        Ok(())
    }

    /// Leaves all logs: what is pinned is resolved, and nothing else is taken. Waits for so long as a storage that answers takes.
    pub async fn leave(&self) {
        let stores: Vec<_> = {
            let mut open = self.open();
            open.is_closed = true;
            open.stores.drain().map(|(_, opened)| opened.store).collect()
        };
        let leave = stores.iter().map(|store| store.log.close());
        let left = tokio::time::timeout(LEAVE, futures_util::future::join_all(leave)).await;
        if left.is_err() {
            tracing::warn!("the storage did not answer: what was under way is known when it is asked for again");
        }
    }

    fn shared_figures(&self) -> SharedFigures {
        let config = &self.inner.config;
        SharedFigures {
            calls: config.meter.now().calls.into(),
            logs: self.inner.logs.now(),
            archive: config.archive.map(|_| self.inner.archive.now(config.clock.uptime())),
            // Whoever forwards stands above.
            forwarding: None,
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, Open> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether nobody holds it, or follows it.
fn is_idle(store: &Arc<SharedStore>) -> bool {
    Arc::strong_count(store) == 1 && Arc::strong_count(&store.log) == 1 && !store.copy.is_followed()
}

/// Looks at a store for as long as somebody follows it: what others tell of it may be lost.
fn watch(store: &Arc<SharedStore>) {
    let store = Arc::downgrade(store);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(store) = store.upgrade() else { return };
            // What this host could not do is tried again, also if nobody asks one that is not ready.
            if (store.copy.is_followed() || store.log.host_failure().is_some())
                && let Err(error) = store.catch_up().await
            {
                tracing::debug!(%error, "a look at a shared log failed");
                // Others go on, or nobody does. They look, and are told.
                if matches!(error, ReadError::Storage(_)) || store.log.host_failure().is_some() {
                    store.copy.wake_followers();
                }
            }
        }
    });
}

/// Archives what is new in a store now and then, as long as it is open. Other hosts do the same, at other times.
fn archive(store: &Arc<SharedStore>, mut archiver: Archiver) {
    let (store, mut dice) = (Arc::downgrade(store), Dice::new(Uuid::new_v4().as_u64_pair().0));
    let period = archiver.settings.period;
    let archived = archiver.meter.begins(archiver.clock.uptime());
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(period / 2 + period.mul_f64(dice.below(1_000) as f64 / 1_000.0)).await;
            let Some(store) = store.upgrade() else { return };
            match archiver.round(&store.copy, &*store.log.medium).await {
                Ok(_) => archived.is_well(archiver.clock.uptime()),
                Err(error) => {
                    tracing::warn!(store = %store.log.store, %error, "a shared store could not be archived; it is tried again");
                }
            }
        }
    });
}

#[async_trait]
impl Stores for SharedStores {
    async fn store(&self, id: StoreId) -> Result<Arc<dyn Store>, OpenError> {
        let store = self.open_store(id).await?;
        Ok(store)
    }

    fn commit_method(&self) -> Option<&'static str> {
        Some("shared")
    }

    fn queued_bytes(&self) -> Option<usize> {
        self.inner.engine.queued_bytes()
    }

    fn figures(&self) -> Option<Figures> {
        let (open_stores, evicted_stores) = {
            let open = self.open();
            (open.stores.len(), open.evicted)
        };
        // The copies have all that the log has, and nobody waits for them alone.
        Some(Figures {
            commit_nanos: self.inner.logs.commits(),
            open_stores,
            evicted_stores,
            shared: Some(self.shared_figures()),
            ..self.inner.engine.figures()?
        })
    }

    fn ready(&self) -> Result<(), StorageError> {
        if self.open().is_closed {
            return Err(StorageError::Closed);
        }
        self.inner.health.check()?;
        let failed = |opened: &Opened| {
            let log = &opened.store.log;
            log.host_failure().map(|failure| told::failed(log.store, &failure))
        };
        match self.open().stores.values().find_map(failed) {
            Some(error) => Err(error),
            None => self.inner.engine.ready(),
        }
    }

    async fn close(&self) {
        self.leave().await;
        self.inner.engine.close().await;
    }
}
