//! The program against the real server, of which every check is true, and against servers that lie, whom a check catches.

mod host;
mod lies;
mod proxy;
mod truth;
