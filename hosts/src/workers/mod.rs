//! The workers of a store at all hosts: each host keeps a row for each store that it has workers of, changes it now and then, and reads those of the others
//! for as long as somebody at it looks at the workers of that store, or is one.
//!
//! No two clocks have to agree: each host counts by its own, from the read in which it saw a row change. What a host that died has left is there a
//! little longer than a worker that says nothing.

mod known;
mod row;
mod table;
mod told;

pub use table::TableOfWorkers;
pub use told::Workers;
