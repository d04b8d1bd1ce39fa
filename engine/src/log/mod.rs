//! Extents on a disk: their names, walking their groups, deciding what a bad group means, writing the next one.

pub(crate) mod behind;
pub(crate) mod checkpointing;
pub(crate) mod counts;
pub(crate) mod end;
pub(crate) mod extents;
pub(crate) mod handles;
pub(crate) mod headers;
mod hold;
pub mod latch;
mod locate;
mod newest;
pub(crate) mod opened;
pub(crate) mod prepared;
mod recall;
pub(crate) mod recent;
pub(crate) mod recovery;
pub(crate) mod replay;
pub(crate) mod shown;
mod transactions;
pub mod verdict;
pub(crate) mod walk;
mod whereabouts;
pub(crate) mod window;
pub(crate) mod writer;
