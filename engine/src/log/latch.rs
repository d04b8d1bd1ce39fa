//! After a failed write or sync, nothing is written until the store is opened again. This file alone holds that rule.
//! The kernel may have dropped dirty pages it could not write, so a later successful sync proves nothing about them.
//! **Source:** "Can Applications Recover from fsync Failures?", USENIX ATC 2020.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Gone, StorageError};
use streamkit_record::StoreId;

/// Remembers a store's first failed write.
#[derive(Debug)]
pub struct Latch {
    store: StoreId,
    failure: OnceLock<StorageError>,
    /// Why the last append was refused before anything of it was written, and when that was.
    refusal: Mutex<Option<(Instant, StorageError)>>,
    /// Since when writes are under way of which none has ended.
    waits_since: Mutex<Option<Instant>>,
}

/// A disk of which nothing has come back for so long hangs, as far as anybody can tell.
const HANGS: Duration = Duration::from_secs(10);

/// How long a refusal tells what the next append will meet. Whoever sends nobody to a server that is not ready would never learn that
/// it is again.
const REFUSAL_COUNTS: Duration = Duration::from_secs(10);

impl Latch {
    /// For a store, to which nothing was written yet.
    pub fn new(store: StoreId) -> Self {
        Self {
            store,
            failure: OnceLock::new(),
            refusal: Mutex::default(),
            waits_since: Mutex::default(),
        }
    }

    /// Lets a write through, unless one failed before; remembers its failure.
    ///
    /// # Errors
    /// As [`Latch::check`] without running `write`, or what `write` returned.
    pub fn guard<T>(&self, write: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.guard_unless(|_| false, write)
    }

    /// As [`Latch::guard`], for what may fail without having done anything: after such a failure the next write is let through.
    ///
    /// # Errors
    /// As [`Latch::guard`].
    pub(crate) fn guard_unless<T>(
        &self,
        harmless: impl Fn(&StorageError) -> bool,
        write: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.check()?;
        write().inspect_err(|error| match error {
            StorageError::Gone(gone) => self.lose(gone),
            error if harmless(error) => {}
            error => self.halt(&error.to_string()),
        })
    }

    /// Lets nothing through from here on, because of the first cause.
    pub(crate) fn halt(&self, cause: &str) {
        let halted = StorageError::Halted {
            store: self.store,
            cause: cause.to_owned(),
        };
        if self.failure.set(halted).is_ok() {
            // Once: what is refused from here on is told to those who ask for it.
            tracing::error!(store = %self.store, cause, "a write failed: the store accepts no more writes until it is reopened");
        }
    }

    /// Lets nothing through from here on, because the store's files are not where they were. Whoever finds that says so: of a
    /// data directory that is gone once, which is enough for all its stores.
    pub(crate) fn lose(&self, gone: &Gone) {
        let _ = self.failure.set(StorageError::Gone(gone.clone()));
    }

    /// Remembers why an append was refused, or that none was; returns whether the one before was, too.
    pub(crate) fn refuse(&self, why: Option<&StorageError>) -> bool {
        let refusal = why.map(|why| (Instant::now(), why.clone()));
        let mut last = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, refusal).is_some()
    }

    /// Remembers since when writes are under way of which none has ended.
    pub(crate) fn waits(&self, since: Option<Instant>) {
        *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    /// As [`Latch::check`], and whether appends are refused that nothing of is written, or wait for a disk that hangs.
    pub(crate) fn ready(&self) -> Result<(), StorageError> {
        self.check()?;
        let waits_since = *self.waits_since.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waited) = waits_since
            .map(|since| since.elapsed())
            .filter(|waited| *waited >= HANGS)
        {
            let what = format!("nothing has become durable for {} s: the disk hangs", waited.as_secs());
            let source = std::io::Error::new(std::io::ErrorKind::TimedOut, what);
            return Err(StorageError::io("write", format!("store {}", self.store), source));
        }
        match &*self.refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((at, why)) if at.elapsed() < REFUSAL_COUNTS => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// `Ok` while nothing failed.
    ///
    /// # Errors
    /// [`StorageError::Halted`]; [`StorageError::Gone`].
    pub fn check(&self) -> Result<(), StorageError> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    /// Counts the lines of a log.
    #[derive(Clone, Default)]
    struct Lines(Arc<AtomicUsize>);

    impl Subscriber for Lines {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_store_whose_disk_hangs_is_not_ready_until_something_comes_back() {
        let latch = Latch::new(StoreId(uuid::Uuid::nil()));
        latch.waits(Some(Instant::now()));
        assert!(latch.ready().is_ok());
        let Some(long_ago) = Instant::now().checked_sub(HANGS) else {
            return; // the system has not run for so long
        };
        latch.waits(Some(long_ago));
        let why = latch.ready().unwrap_err().to_string();
        assert!(why.contains("the disk hangs") && why.contains("0000-"), "{why}");
        assert!(latch.check().is_ok(), "nothing has failed");
        latch.waits(None);
        assert!(latch.ready().is_ok());
    }

    #[test]
    fn stores_that_are_lost_with_their_directory_have_no_line_of_the_log_each() {
        let lines = Lines::default();
        let gone = Gone {
            path: "/data".into(),
            what: "/data was deleted or moved away".to_owned(),
        };
        tracing::subscriber::with_default(lines.clone(), || {
            for number in 0..100 {
                let latch = Latch::new(StoreId(uuid::Uuid::from_u128(number)));
                latch.lose(&gone);
                assert!(matches!(latch.check(), Err(StorageError::Gone(_))));
            }
            assert_eq!(lines.0.load(Ordering::Relaxed), 0);
            Latch::new(StoreId(uuid::Uuid::nil())).halt("the device refuses");
            assert_eq!(lines.0.load(Ordering::Relaxed), 1, "a failed write is the store's own");
        });
    }
}
