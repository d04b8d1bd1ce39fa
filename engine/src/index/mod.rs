//! The places of each segment's entries. In memory: the catalog of heads and the runs of the open extent. On disk: one
//! index file per sealed extent. All of it is derived from the log.

pub(crate) mod catalog;
pub mod checkpoint;
mod deleted_now;
pub(crate) mod ids;
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
