//! What a client counts of its calls, its bytes and its connections. Nothing here waits, and nothing takes a lock.
//!
//! ```text
//! counted.rs: one call, from its begin to its end ─▶ counters.rs ─▶ snapshot.rs: what a program reads
//!                                     dials, connections, bytes ─▶
//! ```

mod counted;
mod counters;
mod kind;
mod snapshot;

pub(crate) use counted::Counted;
pub(crate) use counters::Counters;
pub use kind::CallKind;
pub use snapshot::{CallMetrics, FailedCalls, Latencies, Metrics};
