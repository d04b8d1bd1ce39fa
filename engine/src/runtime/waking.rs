//! Wakes callers. A waker is the caller's code, so its panic must not affect other waiters.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does what may wake somebody.
pub(crate) fn waking(wake: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(wake)).is_err() {
        tracing::error!("waking a caller panicked");
    }
}
