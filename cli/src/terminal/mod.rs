//! What a person sees at a terminal: lines of the log, tables, a bar; never what would steer it.

pub(crate) mod bar;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod lines;
pub(crate) mod log;
mod repeated;
pub(crate) mod shown;
pub(crate) mod table;
