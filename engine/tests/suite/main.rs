//! What users of the engine rely on. `conformance` is written against the [`Stores`](streamkit_engine::Stores) boundary
//! alone, so any implementation can run it; the rest is about this one's files.

#![allow(clippy::duplicate_mod, reason = "one suite, run on two backends")]

/// On the backend that this system gets.
#[path = "."]
mod best {
    use std::sync::Arc;

    pub(crate) fn disk() -> Arc<dyn streamkit_engine::disk::Disk> {
        streamkit_engine::disk::best()
    }

    #[path = "conformance.rs"]
    mod conformance;
    #[path = "publishing.rs"]
    mod publishing;
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

    #[path = "conformance.rs"]
    mod conformance;
    #[path = "publishing.rs"]
    mod publishing;
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
mod scans;
mod shared_files;
