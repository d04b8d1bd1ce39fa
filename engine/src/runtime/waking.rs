//! What may wake a caller. A waker is the caller's code: what it panics with must not take along what others wait for.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does what may wake somebody.
pub(crate) fn waking(wake: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(wake)).is_err() {
        tracing::error!("waking a caller panicked");
    }
}
