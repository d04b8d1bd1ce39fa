//! What handles entries, and how that fails.

use std::future::Future;

use streamkit_record::Entry;

use super::cursors::CursorError;
use super::standing::Standing;

/// How an entry was not handled. Any error becomes [`Failure::Retry`] with `?`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// It may pass: the entry is handled again after a pause, as often as the projection's retries say. Then its segment is parked. A panic, and
    /// a handler that takes too long, are such.
    Retry(String),
    /// It does not pass: the segment is parked at once.
    Park(String),
    /// It is not about this entry: what the handler needs is away. The projection waits and tries again, for as long as that takes,
    /// and parks nothing.
    Wait(String),
    /// The projection stops, with this entry not handled.
    Stop(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Retry(error.to_string())
    }
}

/// Handles entries, each at least once. Closures that take an [`Entry`] and return a future are such, too.
///
/// A handler under way is dropped when it takes too long, or when the projection stops and its grace is over; the entry counts as not handled
/// then, and comes again.
pub trait Handler: Send + Sync + 'static {
    /// Handles one entry. Entries of a segment come in their order, and the next one only once this is handled.
    ///
    /// # Errors
    /// [`Failure`]: what becomes of the entry.
    fn handle(&self, entry: &Entry) -> impl Future<Output = Result<(), Failure>> + Send;
}

impl<F, Fut> Handler for F
where
    F: Fn(Entry) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), Failure>> + Send,
{
    fn handle(&self, entry: &Entry) -> impl Future<Output = Result<(), Failure>> + Send {
        self(entry.clone())
    }
}

/// What a transaction of a handler stores as one.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Entries, in the order of the log. There may be none: then only how far the projection has come changes.
    pub entries: &'a [Entry],
    /// What is stored now; `None`: nothing yet. The transaction has to fail if that is not so: compare [`Standing::step`].
    pub before: Option<&'a Standing>,
    /// What is stored from then on.
    pub after: &'a Standing,
}

/// Handles entries exactly once: what it makes of them, and how far the projection has come, become durable in one transaction, such as of a
/// database.
pub trait TransactionalHandler: Send + Sync + 'static {
    /// What the last transaction stored; `None` only before the first. It is asked for at the beginning, and after each transaction that
    /// seems to have failed: one of which the answer was lost may be stored.
    ///
    /// # Errors
    /// [`CursorError`].
    fn load(&self) -> impl Future<Output = Result<Option<Standing>, CursorError>> + Send;

    /// Handles entries, and stores `step.after`, in one transaction that demands that `step.before` is stored.
    ///
    /// It is dropped when it takes too long, or when the projection stops and its grace is over. A transaction that is committed behind
    /// that is told by [`TransactionalHandler::load`]; one that is committed even later fails by what it demands.
    ///
    /// # Errors
    /// [`Failure`]: nothing was stored, or nobody knows. If a transaction of several entries fails, they are handled in smaller ones, until the entry
    /// is found that fails.
    fn handle(&self, step: Step<'_>) -> impl Future<Output = Result<(), Failure>> + Send;
}
