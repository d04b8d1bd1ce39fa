//! A server of one's own: its place on the network and on the disk, its key, and how it leaves.

pub(crate) mod development;
pub(crate) mod folder;
mod notify;
mod ready;
mod reload;
mod running;
mod served;
mod together;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

pub(crate) use ready::Ready;
pub(crate) use reload::Reloads;
pub(crate) use served::Served;
use streamkit_server_core::{Algorithm, Key};
pub(crate) use together::{LinkPlace, Together};

use crate::arguments::address;
use crate::failure::Failure;

/// Where a server is, on the network and on the disk.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// Where to listen
    #[arg(
        long,
        env = "STREAMKIT_LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS",
        value_parser = address::listen,
        default_value = "127.0.0.1:8080"
    )]
    pub(crate) listen: SocketAddr,
    /// Folder of the stores
    #[arg(
        long,
        env = "STREAMKIT_DATA",
        hide_env_values = true,
        value_name = "DIR",
        default_value = "streamkit-data"
    )]
    pub(crate) data: PathBuf,
}

/// The keys in a file, with these algorithms if they do not say theirs.
pub(crate) fn keys(file: &Path, unsaid: &[Algorithm]) -> Result<Vec<Key>, Failure> {
    Key::read_file(file, unsaid).map_err(|error| Failure::new(error.to_string()))
}
