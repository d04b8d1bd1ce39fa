//! Which server and which store a client command talks to.

pub(crate) mod readiness;
pub(crate) mod unknown;

use std::time::Duration;

use streamkit_client::{Client, StoreClient};
use uuid::Uuid;

use crate::arguments::{address, some_time, store};

/// Where to connect; `streamkit dev` prints all three as lines to paste.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Connect {
    /// Server's address
    #[arg(
        long,
        env = "STREAMKIT_URL",
        hide_env_values = true,
        value_parser = address::url,
        default_value = "ws://127.0.0.1:8080"
    )]
    pub(crate) url: String,
    /// Token that opens the store
    #[arg(long, env = "STREAMKIT_TOKEN", hide_env_values = true)]
    pub(crate) token: String,
    /// The store
    #[arg(long, env = "STREAMKIT_STORE", hide_env_values = true, value_name = "UUID", value_parser = store)]
    pub(crate) store: Uuid,
    /// Longest silence in a call
    #[arg(
        long,
        env = "STREAMKIT_TIMEOUT",
        hide_env_values = true,
        value_name = "TIME",
        value_parser = some_time,
        default_value = "30s"
    )]
    pub(crate) timeout: humantime::Duration,
}

impl Connect {
    pub(crate) fn client(&self) -> Client {
        let timeout: Duration = self.timeout.into();
        Client::builder(&self.url).token(&self.token).timeout(timeout).build()
    }

    pub(crate) fn open(&self) -> StoreClient {
        self.client().store(self.store)
    }
}
