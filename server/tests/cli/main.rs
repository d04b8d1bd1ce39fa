//! The real binary: commands, exit codes, and what survives SIGKILL.

mod backup;
mod bench;
mod clock;
mod commands;
mod consume;
mod development;
mod doctor;
mod documented;
mod file_systems;
mod folders;
mod formats;
mod import;
mod interrupted;
mod kill;
mod limits;
mod offline;
mod people;
mod pipes;
mod produce;
mod program;
mod race;
mod rerun;
mod shared_files;
mod stopped;
mod told;
mod unread_log;
