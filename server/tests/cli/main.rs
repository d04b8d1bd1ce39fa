//! The real binary: commands, exit codes, and what survives SIGKILL.

mod commands;
mod kill;
mod program;
mod race;
