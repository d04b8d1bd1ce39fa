//! Which server and which store a client command talks to.

pub(crate) mod profile;
pub(crate) mod readiness;
pub(crate) mod trust;
pub(crate) mod unknown;

use std::io::IsTerminal as _;
use std::time::Duration;

use profile::{Profile, Profiles};
use streamkit_client::{Client, StoreClient, Tls};
use trust::Trust;
use uuid::Uuid;

use crate::arguments::{address, some_time, store};
use crate::called::called;
use crate::failure::Failure;
use crate::output::note;

/// Where `serve` listens unless it is told otherwise.
pub(crate) const DEFAULT_URL: &str = "ws://127.0.0.1:8080";

/// Where to connect. With none of the first three, it is the server of `streamkit dev`.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Connect {
    /// Server; with none of these three, that of dev
    #[arg(
        long,
        env = "STREAMKIT_URL",
        hide_env_values = true,
        value_parser = address::url
    )]
    url: Option<String>,
    /// Token that opens the store
    #[arg(long, env = "STREAMKIT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The store
    #[arg(
        long,
        env = "STREAMKIT_STORE",
        hide_env_values = true,
        value_name = "UUID",
        value_parser = store
    )]
    store: Option<Uuid>,
    /// Longest silence in a call
    #[arg(
        long,
        env = "STREAMKIT_TIMEOUT",
        hide_env_values = true,
        value_name = "TIME",
        value_parser = some_time,
        default_value = "30s"
    )]
    timeout: humantime::Duration,
    /// Compress, if the server does, too
    #[arg(long, env = "STREAMKIT_COMPRESSION", hide_env_values = true)]
    compression: bool,
    #[command(flatten)]
    trust: Trust,
}

impl Connect {
    /// The store of the server that is given, or of the one that `dev` started, which a person is told.
    ///
    /// # Errors
    /// There is none, or several. Nothing was sent anywhere.
    pub(crate) fn open(&self) -> Result<StoreClient, Failure> {
        Ok(self.server()?.open())
    }

    /// The same, for whoever needs more than one connection.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(crate) fn server(&self) -> Result<Server, Failure> {
        let timeout = self.timeout.into();
        let profile = match (&self.url, &self.token, self.store) {
            (url, Some(token), Some(store)) => {
                return Ok(Server {
                    url: url.clone().unwrap_or_else(|| DEFAULT_URL.to_owned()),
                    token: token.clone(),
                    store,
                    timeout,
                    compresses: self.compression,
                    tls: self.trust.open()?,
                });
            }
            (None, None, None) => of_dev()?,
            // What one server takes never goes along with what the profile of another says.
            (_, token, store) => return Err(incomplete(token.is_some(), store.is_some())),
        };
        if std::io::stderr().is_terminal() {
            note(format_args!("streamkit: at the server of dev, {profile}"));
        }
        Ok(Server {
            url: profile.url,
            token: profile.token,
            store: profile.store,
            timeout,
            compresses: self.compression,
            tls: Tls::default(),
        })
    }
}

/// A server is meant, and it is not said what else it takes.
fn incomplete(has_token: bool, has_store: bool) -> Failure {
    let called = called();
    let missing = match (has_token, has_store) {
        (true, _) => "--store or STREAMKIT_STORE is missing",
        (_, true) => "--token or STREAMKIT_TOKEN is missing",
        _ => "a URL is given, but neither a token (--token, STREAMKIT_TOKEN) nor a store (--store, STREAMKIT_STORE)",
    };
    Failure::arguments(missing).hint(format_args!(
        "`{called} token` mints a token; for a server of your own, run `{called} dev` and give none of the three"
    ))
}

/// The server of `dev`, if there is one.
fn of_dev() -> Result<Profile, Failure> {
    let called = called();
    let mut profiles = Profiles::find()?;
    match (profiles.running.len(), profiles.ended.last()) {
        (1, _) => Ok(profiles.running.remove(0)),
        (0, None) => Err(Failure::arguments("no server is given").hint(format_args!(
            "run `{called} dev` in another terminal; for another server, set STREAMKIT_URL, STREAMKIT_TOKEN (from `{called} token`) \
             and STREAMKIT_STORE"
        ))),
        (0, Some(last)) => Err(Failure::arguments(format!("the server of dev, {last}, has ended"))
            .hint(format_args!("run `{called} dev --data {}` again", last.data))),
        (count, _) => {
            let named: Vec<String> = profiles.running.iter().map(ToString::to_string).collect();
            Err(Failure::arguments(format!("{count} servers of dev run: {}", named.join(", ")))
                .hint("paste the three export lines that the one you mean has printed"))
        }
    }
}

/// A server, and a store of it.
pub(crate) struct Server {
    pub(crate) url: String,
    token: String,
    store: Uuid,
    timeout: Duration,
    compresses: bool,
    pub(crate) tls: Tls,
}

impl Server {
    /// A connection of its own.
    pub(crate) fn open(&self) -> StoreClient {
        let client = Client::builder(&self.url).token(&self.token).timeout(self.timeout);
        let client = client.tls(self.tls.clone()).compression(self.compresses);
        client.build().store(self.store)
    }
}
