//! Where each segment's entries are. In memory: the catalog of heads and the runs of the open extent. On disk: one index
//! file per sealed extent. All of it is derived from the log and can be made anew from it.

pub(crate) mod catalog;
pub mod checkpoint;
mod deleted_now;
pub(crate) mod leases;
mod lists;
mod names;
mod order;
mod rows;
pub(crate) mod runs;
pub(crate) mod sealed;
pub(crate) mod segments;
mod table;
#[cfg(test)]
mod tests;
