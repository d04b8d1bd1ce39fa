//! The two guarantees behind one face: each entry at least once with a cursor saved now and then, or exactly once in the handler's own
//! transactions.

use std::future::Future;

use super::cursors::{CursorError, CursorStore};
use super::handler::{Failure, Handler, Step, TransactionalHandler};
use super::standing::Standing;

/// Handles entries, and keeps how far that has come.
pub(super) trait Keeper: Send + Sync + 'static {
    /// Whether what was handled and how far that is are stored as one.
    const STORES_AS_ONE: bool;

    fn load(&self) -> impl Future<Output = Result<Option<Standing>, CursorError>> + Send;

    fn handle(&self, step: Step<'_>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Stores how far it has come, without entries.
    fn save(&self, step: Step<'_>) -> impl Future<Output = Result<(), CursorError>> + Send;
}

/// A handler of single entries, with a cursor beside it.
pub(super) struct Beside<H, C> {
    pub(super) handler: H,
    pub(super) cursors: C,
}

impl<H: Handler, C: CursorStore> Keeper for Beside<H, C> {
    const STORES_AS_ONE: bool = false;

    async fn load(&self) -> Result<Option<Standing>, CursorError> {
        self.cursors.load().await
    }

    async fn handle(&self, step: Step<'_>) -> Result<(), Failure> {
        for entry in step.entries {
            self.handler.handle(entry).await?;
        }
        Ok(())
    }

    async fn save(&self, step: Step<'_>) -> Result<(), CursorError> {
        self.cursors.save(step.after).await
    }
}

/// A handler that stores both.
pub(super) struct Within<T>(pub(super) T);

impl<T: TransactionalHandler> Keeper for Within<T> {
    const STORES_AS_ONE: bool = true;

    async fn load(&self) -> Result<Option<Standing>, CursorError> {
        self.0.load().await
    }

    async fn handle(&self, step: Step<'_>) -> Result<(), Failure> {
        self.0.handle(step).await
    }

    async fn save(&self, step: Step<'_>) -> Result<(), CursorError> {
        let stored = self.0.handle(step).await;
        stored.map_err(|failure| match failure {
            Failure::Retry(why) | Failure::Park(why) | Failure::Wait(why) | Failure::Stop(why) => {
                CursorError::Storage(why)
            }
        })
    }
}
