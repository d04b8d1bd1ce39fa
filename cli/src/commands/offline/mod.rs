//! `verify`, `inspect` and `repair`: they work on a data directory that no server is using.

mod damage;
mod inspect;
mod progress;
mod repair;
mod verify;

pub(super) use inspect::Inspect;
pub(super) use repair::Repair;
pub(super) use verify::Verify;
