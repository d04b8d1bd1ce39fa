//! After a failed write or sync nothing is written again until the store is opened anew: said once, here. The kernel may
//! have dropped the dirty pages it could not write, so a later sync that succeeds proves nothing about them.
//! **Source:** "Can Applications Recover from fsync Failures?", USENIX ATC 2020.

use std::sync::OnceLock;

use crate::error::StorageError;

/// Remembers a store's first failed write.
#[derive(Debug, Default)]
pub struct Latch {
    failure: OnceLock<String>,
}

impl Latch {
    /// Lets a write through, unless one failed before; remembers its failure.
    ///
    /// # Errors
    /// [`StorageError::Halted`] without running `write`, or what `write` returned.
    pub fn guard<T>(&self, write: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.check()?;
        write().inspect_err(|error| {
            if self.failure.set(error.to_string()).is_ok() {
                tracing::error!(cause = %error, "a write failed: the store accepts no more writes until it is reopened");
            }
        })
    }

    /// `Ok` while nothing failed.
    ///
    /// # Errors
    /// [`StorageError::Halted`].
    pub fn check(&self) -> Result<(), StorageError> {
        match self.failure.get() {
            None => Ok(()),
            Some(cause) => Err(StorageError::Halted { cause: cause.clone() }),
        }
    }
}
