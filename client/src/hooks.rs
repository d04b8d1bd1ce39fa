//! What a program wants to be told, and asked, about connections and calls.

use std::sync::Arc;

use streamkit_protocol::v2::Trace;

type Hook<T> = Option<Arc<dyn Fn(T) + Send + Sync>>;
/// Tells the trace, and the span in it, for which a call is made.
pub(crate) type TraceSource = Arc<dyn Fn() -> Option<Trace> + Send + Sync>;

/// Callbacks about connections and calls; they must not block.
#[derive(Clone, Default)]
pub struct Hooks {
    pub(crate) dial_failed: Hook<String>,
    pub(crate) reconnected: Hook<u64>,
    pub(crate) trace: Option<TraceSource>,
}
