//! The ways to measure ours: backend and call. A line in [`VARIANTS`] adds one to every row it fits.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_engine::disk::files::Files;
use streamkit_engine::{Engine, EngineConfig, LocalStore, Stores as _};
use tokio::runtime::Runtime;

use crate::Outcome;
use crate::payload::store_id;

/// Through which call a writer appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Tasks of one runtime, each awaiting its append.
    Async,
    /// Threads without a runtime, each blocked until its append is durable.
    Blocking,
}

/// One way to run and call ours.
#[derive(Clone, Copy)]
pub struct Variant {
    /// What rows call it.
    pub name: &'static str,
    /// Chooses the backend.
    pub configure: fn(&mut EngineConfig),
    /// The call.
    pub call: Call,
}

/// All of them. The first is the one that rows about reading use.
pub const VARIANTS: &[Variant] = &[
    Variant {
        name: "best, async",
        configure: |_| (),
        call: Call::Async,
    },
    Variant {
        name: "best, blocking",
        configure: |_| (),
        call: Call::Blocking,
    },
    Variant {
        name: "portable, async",
        configure: |config| config.disk = Arc::new(Files),
        call: Call::Async,
    },
];

/// Those with the async call, which the rows with many stores or writers use.
pub fn async_variants() -> impl Iterator<Item = &'static Variant> {
    VARIANTS.iter().filter(|variant| variant.call == Call::Async)
}

/// Stores that are open.
#[derive(Clone)]
pub struct Ours {
    /// Writer `w` writes to store `w % stores.len()`.
    pub stores: Vec<Arc<LocalStore>>,
    /// The engine that holds them.
    pub engine: Engine,
    /// The call.
    pub call: Call,
}

/// The folder of a store, by number.
pub fn store_dir(dir: &Path, number: usize) -> PathBuf {
    dir.join("stores").join(store_id(number).to_string())
}

impl Variant {
    /// Opens a folder and some of its stores.
    ///
    /// # Errors
    /// Of the engine.
    pub fn open(&self, dir: &Path, stores: usize) -> Outcome<Ours> {
        self.open_with(dir, stores, |_| ())
    }

    /// The same, with other settings.
    ///
    /// # Errors
    /// Of the engine.
    pub fn open_with(&self, dir: &Path, stores: usize, tune: impl FnOnce(&mut EngineConfig)) -> Outcome<Ours> {
        let mut config = EngineConfig::new(dir);
        (self.configure)(&mut config);
        tune(&mut config);
        let engine = Engine::open(config)?;
        let stores = (0..stores).map(|number| engine.open_store(store_id(number)).map(Arc::new));
        Ok(Ours {
            stores: stores.collect::<Result<_, _>>()?,
            engine,
            call: self.call,
        })
    }
}

impl Ours {
    /// Closes the engine: a later open in this process finds the folder free.
    pub fn close(self, runtime: &Runtime) {
        runtime.block_on(self.engine.close());
    }
}
