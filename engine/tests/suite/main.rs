//! The promises to users of the engine: those of every store, and those about this engine's files.

#![allow(clippy::duplicate_mod, reason = "one suite, run on two backends")]

use std::sync::Arc;

use streamkit_conformance::Fixture;
use streamkit_engine::disk::Disk;
use streamkit_engine::{Engine, EngineConfig, limits};

/// On the backend that this system gets.
#[path = "."]
mod best {
    use std::sync::Arc;

    pub(crate) fn disk() -> Arc<dyn streamkit_engine::disk::Disk> {
        streamkit_engine::disk::best()
    }

    fn fixture() -> streamkit_conformance::Fixture {
        crate::of_many_extents(disk())
    }

    mod conformance {
        streamkit_conformance::suite!(super::super::fixture);
    }

    #[path = "sizes.rs"]
    mod sizes;
}

/// On the backend that any system has.
#[path = "."]
mod portable {
    use std::sync::Arc;

    pub(crate) fn disk() -> Arc<dyn streamkit_engine::disk::Disk> {
        Arc::new(streamkit_engine::disk::files::Files)
    }

    fn fixture() -> streamkit_conformance::Fixture {
        crate::of_many_extents(disk())
    }

    mod conformance {
        streamkit_conformance::suite!(super::super::fixture);
    }

    #[path = "sizes.rs"]
    mod sizes;
}

mod backup;
mod backup_faults;
mod cursors;
mod damage;
mod displaced;
mod files;
mod format_example;
mod gated;
mod lifetime;
mod many_stores;
mod moved;
mod nothing;
mod overload;
mod pieces;
mod retries;
mod scans;
mod shared_files;

/// Stores of the smallest extents, so that every promise crosses some.
fn of_many_extents(disk: Arc<dyn Disk>) -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        disk,
        extent_bytes: limits::EXTENT_BYTES_MIN,
        ..EngineConfig::new(dir.path())
    };
    Fixture::new(Arc::new(Engine::open(config).unwrap()), dir)
}
