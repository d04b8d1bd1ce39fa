//! After a failed write or sync nothing is written again until the store is opened anew: said once, here. The kernel may
//! have dropped the dirty pages it could not write, so a later sync that succeeds proves nothing about them.
//! **Source:** "Can Applications Recover from fsync Failures?", USENIX ATC 2020.

use std::sync::OnceLock;

use crate::error::StorageError;
use crate::model::StoreId;

/// Remembers a store's first failed write.
#[derive(Debug)]
pub struct Latch {
    store: StoreId,
    failure: OnceLock<String>,
}

impl Latch {
    /// For a store, to which nothing was written yet.
    pub fn new(store: StoreId) -> Self {
        Self {
            store,
            failure: OnceLock::new(),
        }
    }

    /// Lets a write through, unless one failed before; remembers its failure.
    ///
    /// # Errors
    /// [`StorageError::Halted`] without running `write`, or what `write` returned.
    pub fn guard<T>(&self, write: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.check()?;
        write().inspect_err(|error| self.halt(&error.to_string()))
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
        write().inspect_err(|error| {
            if !harmless(error) {
                self.halt(&error.to_string());
            }
        })
    }

    /// Lets nothing through from here on, because of the first cause.
    pub(crate) fn halt(&self, cause: &str) {
        if self.failure.set(cause.to_owned()).is_ok() {
            // Once: what is refused from here on is told to those who ask for it.
            tracing::error!(store = %self.store, cause, "a write failed: the store accepts no more writes until it is reopened");
        }
    }

    /// `Ok` while nothing failed.
    ///
    /// # Errors
    /// [`StorageError::Halted`].
    pub fn check(&self) -> Result<(), StorageError> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Halted {
                store: self.store,
                cause: cause.clone(),
            }),
        }
    }
}
