//! The threads, shared by all stores, for work that may wait.

use std::any::Any;
use std::sync::Arc;

use super::workers::Workers;

/// Dropping them finishes what is queued. Fields are dropped in their order.
pub(crate) struct Pools {
    /// For reads.
    pub(crate) read: Workers,
    /// For what the log can do without.
    pub(crate) background: Workers,
    /// What must not be let go before that is done.
    pub(crate) _held: Arc<dyn Any + Send + Sync>,
}
