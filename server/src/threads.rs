//! How many threads serve connections.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;

/// Threads that a runtime should have whose work is to serve connections: one fewer than there are processors, and one at least.
/// The engine commits and reads on threads of its own, and where theirs and those of the runtime are more than the processors, each
/// answer waits for one of them to be scheduled. On two processors, 64 writers get a fifth more done so (docs/decisions/2026-11-29-network-threads.md).
pub fn network_threads() -> usize {
    let processors = available_parallelism().map_or(1, NonZeroUsize::get);
    processors.saturating_sub(1).max(1)
}
