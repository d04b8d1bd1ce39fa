//! Group commit: what producers queue while one group is being written forms the next. One committer at a time per
//! store, on threads shared by all stores.

pub(crate) mod committer;
pub mod order;
pub(crate) mod queue;
