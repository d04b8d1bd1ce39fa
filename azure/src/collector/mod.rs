//! Moves the sealed extents of a store to its history, retires them, and makes checkpoints: a pure state machine that any host may run, at any
//! time, beside those of other hosts.
//!
//! ```text
//!  read root ─▶ retire what it says ─▶ first live extent sealed? ─▶ copy to a blob ─▶ read back ─▶ root names the blob ─▶ retire ─▶ again
//!                                                 │ no
//!                                                 ▼
//!                                       a newer checkpoint? ─▶ blob ─▶ read back ─▶ root names it ─▶ remove the older one
//! ```
//!
//! The order is what makes it safe, and each step may be the last: a verified copy before the root names it, the root before the header
//! goes, the header before the slots. Until the root says that an extent is not to be retired any more, every collector retires it again.

mod round;
mod task;

pub use round::{Collector, CollectorAction, CollectorEvent, CollectorSettings};
