//! Hosts of the same stores, on the emulator.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use streamkit_azure::account::Account;
use streamkit_azure::log::Settings;
use streamkit_azure::medium::azure::AzureMedium;
use streamkit_azure::store::{SharedConfig, SharedStores};
use streamkit_engine::{Engine, EngineConfig};
use uuid::Uuid;

/// One host, with its copies in a folder of its own.
pub struct Host {
    pub stores: SharedStores,
    pub dir: tempfile::TempDir,
}

impl Host {
    pub fn start(account: &Arc<Account>, log: Settings) -> Self {
        Self::again(account, log, tempfile::tempdir().unwrap())
    }

    /// A host that was there before.
    pub fn again(account: &Arc<Account>, log: Settings, dir: tempfile::TempDir) -> Self {
        Self::on(account, log, dir, |_| {})
    }

    /// A host with an engine of its own kind.
    pub fn with(account: &Arc<Account>, dir: tempfile::TempDir, change: impl FnOnce(&mut EngineConfig)) -> Self {
        Self::on(account, Settings::default(), dir, change)
    }

    fn on(
        account: &Arc<Account>,
        log: Settings,
        dir: tempfile::TempDir,
        change: impl FnOnce(&mut EngineConfig),
    ) -> Self {
        let mut engine = EngineConfig {
            copies: true,
            ..EngineConfig::new(dir.path().join("copies"))
        };
        change(&mut engine);
        let engine = Engine::open(engine).unwrap();
        let account = account.clone();
        let media = Arc::new(move |store| Arc::new(AzureMedium::new(account.clone(), store)) as Arc<_>);
        let config = SharedConfig {
            log,
            ..SharedConfig::new(Uuid::new_v4())
        };
        let stores = SharedStores::new(config, engine, dir.path().join("bookmarks"), media).unwrap();
        Self { stores, dir }
    }
}

/// Turns of several hosts.
#[derive(Default)]
pub struct Turns(AtomicUsize);

impl Turns {
    pub fn next(&self, of: usize) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed) % of
    }
}
