//! Two stores: one that is read, and one that is written to.

use std::io::IsTerminal as _;

use streamkit_client::StoreClient;
use uuid::Uuid;

use super::contexts::{self, Secret};
use super::tokens::Tokens;
use super::trust::Trust;
use super::{Found, Server, of_context};
use crate::arguments::{address, some_time, store};
use crate::failure::Failure;
use crate::output::note;

/// Where from and where to. No variable of one server is taken for either: it would not be said for which.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Ends {
    /// Server that is read
    #[arg(long, value_name = "URL", value_parser = address::url)]
    from: Option<String>,
    /// Its store
    #[arg(long, value_name = "UUID", value_parser = store)]
    from_store: Option<Uuid>,
    /// Token that reads it
    #[arg(long, env = "STREAMKIT_FROM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    from_token: Option<String>,
    /// Context for what is not given
    #[arg(long, value_name = "NAME", value_parser = contexts::name)]
    from_context: Option<String>,
    /// Server that is written to
    #[arg(long, value_name = "URL", value_parser = address::url)]
    to: Option<String>,
    /// Its store
    #[arg(long, value_name = "UUID", value_parser = store)]
    to_store: Option<Uuid>,
    /// Token that reads and writes it
    #[arg(long, env = "STREAMKIT_TO_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    to_token: Option<String>,
    /// Context for what is not given
    #[arg(long, value_name = "NAME", value_parser = contexts::name)]
    to_context: Option<String>,
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
    /// Compress, if the servers do, too
    #[arg(long, env = "STREAMKIT_COMPRESSION", hide_env_values = true)]
    compression: bool,
    #[command(flatten)]
    trust: Trust,
}

impl Ends {
    /// The store that is read, and the one that is written to.
    ///
    /// # Errors
    /// One is not given, or both are the same. Nothing was sent anywhere.
    pub(crate) async fn open(&self) -> Result<(StoreClient, StoreClient), Failure> {
        let given = (self.from.clone(), self.from_token.clone(), self.from_store);
        let from = found("from", self.from_context.as_deref(), given)?;
        let given = (self.to.clone(), self.to_token.clone(), self.to_store);
        let to = found("to", self.to_context.as_deref(), given)?;
        if (&from.url, from.store) == (&to.url, to.store) {
            return Err(Failure::arguments(format!(
                "the store {} of {} would be copied to itself",
                to.store, to.url
            ))
            .hint("name another server or another store with --to and --to-store"));
        }
        if std::io::stderr().is_terminal() {
            let (from, to) = ((&from.store, &from.url), (&to.store, &to.url));
            note(format_args!(
                "streamkit: from {} of {} to {} of {}",
                from.0, from.1, to.0, to.1
            ));
        }
        Ok((self.server(from).await?.open(), self.server(to).await?.open()))
    }

    async fn server(&self, found: Found) -> Result<Server, Failure> {
        Ok(Server {
            url: found.url,
            token: Tokens::of(found.secret).await?,
            store: found.store,
            timeout: self.timeout.into(),
            compresses: self.compression,
            tls: self.trust.open()?,
        })
    }
}

type Given = (Option<String>, Option<String>, Option<Uuid>);

fn found(end: &str, context: Option<&str>, given: Given) -> Result<Found, Failure> {
    match (context, given) {
        (Some(name), (url, token, store)) => of_context(name, url, token, store),
        (None, (Some(url), Some(token), Some(store))) => Ok(Found {
            url,
            secret: Secret::Token(token),
            store,
            told: None,
            is_of_dev: false,
        }),
        (None, (url, token, _)) => {
            let missing = match (url, token) {
                (None, _) => format!("--{end} or --{end}-context"),
                (_, None) => format!("--{end}-token or STREAMKIT_{}_TOKEN", end.to_uppercase()),
                _ => format!("--{end}-store"),
            };
            Err(Failure::arguments(format!("{missing} is missing")).hint(format_args!(
                "give --{end} URL, --{end}-store UUID and --{end}-token TOKEN, or --{end}-context NAME, which has all three"
            )))
        }
    }
}
