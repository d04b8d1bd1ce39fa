//! What is asked of a store over v2, and when it is asked again.

mod again;
mod append;
mod came;
mod consume;
mod follow;
mod heads;
mod lookup;
mod merged;
mod names;
mod order;
mod produce;
mod read;
mod remove;
mod resuming;

pub(crate) use append::append;
pub(crate) use consume::Consuming;
pub(crate) use follow::Following;
pub(crate) use lookup::{lease, peek, range, segments, spaces, status, statuses};
pub(crate) use names::{name, segment_path};
pub(crate) use produce::{Chunks, publish};
pub(crate) use read::Reading;
pub(crate) use remove::{delete, trim};
