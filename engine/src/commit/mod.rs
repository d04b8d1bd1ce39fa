//! Group commit: transactions queued while one group is being written form the next. One driver at a time works on a
//! store's queue.

pub(crate) mod budget;
pub(crate) mod committer;
pub(crate) mod control;
pub(crate) mod drive;
pub(crate) mod group;
pub(crate) mod leases;
pub(crate) mod line;
pub mod order;
pub(crate) mod queue;
pub(crate) mod ready;
pub(crate) mod retry;
pub(crate) mod select;
