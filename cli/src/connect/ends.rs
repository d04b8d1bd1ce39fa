//! Two stores: one that is read, and one that is written to, each of a server or in a storage account.

use std::fmt;
use std::io::IsTerminal as _;

use streamkit_azure::account::AccountSettings;
use streamkit_client::{Client, StoreClient};
use uuid::Uuid;

use super::contexts::{self, Secret};
use super::in_process::{InAccount, Use};
use super::tokens::Tokens;
use super::trust::Trust;
use super::{Found, Server, of_context};
use crate::arguments::account::{CallOptions, FromAccount, ToAccount, Which};
use crate::arguments::given::on_command_line;
use crate::arguments::{address, some_time, store};
use crate::failure::Failure;
use crate::output::note;

/// Where from and where to. No variable of one server, or of one account, is taken for either: it would not be said for which.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Ends {
    /// Server that is read
    #[arg(long, value_name = "URL", value_parser = server)]
    from: Option<String>,
    /// Store that is read
    #[arg(long, value_name = "UUID", value_parser = store)]
    from_store: Option<Uuid>,
    /// Token that reads it
    #[arg(long, env = "STREAMKIT_FROM_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    from_token: Option<String>,
    /// Context for what is not given
    #[arg(long, value_name = "NAME", value_parser = contexts::name)]
    from_context: Option<String>,
    /// Server that is written to
    #[arg(long, value_name = "URL", value_parser = server)]
    to: Option<String>,
    /// Store that is written to
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
    #[command(flatten)]
    from_account: FromAccount,
    #[command(flatten)]
    to_account: ToAccount,
    #[command(flatten)]
    calls: CallOptions,
    /// Bytes of an account's history on this disk, in TMPDIR
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 30)]
    cache_bytes: u64,
}

/// A store that is worked with, to be closed when that is over.
pub(crate) struct End {
    store: StoreClient,
    closes: Closes,
}

/// What an end leaves.
enum Closes {
    Server(Client),
    Account(InAccount),
}

impl End {
    /// The store.
    pub(crate) fn store(&self) -> &StoreClient {
        &self.store
    }

    /// Leaves it in good order. What is acknowledged is durable without that, too.
    pub(crate) async fn close(self) {
        match self.closes {
            Closes::Server(client) => client.close().await,
            Closes::Account(held) => held.close().await,
        }
    }
}

/// Where a store is.
enum Place {
    Server(Found),
    Account(Box<AccountSettings>, Uuid),
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(found) => write!(out, "the store {} of {}", found.store, found.url),
            Self::Account(settings, store) => {
                let tables = &settings.endpoints.tables;
                write!(out, "the store {store} in the table {} of {tables}", settings.table)
            }
        }
    }
}

impl Place {
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server(one), Self::Server(other)) => (&one.url, one.store) == (&other.url, other.store),
            (Self::Account(one, of_one), Self::Account(other, of_other)) => {
                let is_one_account = one.endpoints.tables == other.endpoints.tables;
                is_one_account && one.table.eq_ignore_ascii_case(&other.table) && of_one == of_other
            }
            _ => false,
        }
    }
}

impl Ends {
    /// The store that is read, and the one that is written to.
    ///
    /// # Errors
    /// One is not given, or both are the same; then nothing was sent anywhere. Or an account does not have it, or lets nobody in.
    pub(crate) async fn open(&self) -> Result<(End, End), Failure> {
        let given = (self.from.clone(), self.from_token.clone(), self.from_store);
        let account = self.from_account.names_one().then(|| self.from_account.clone().into());
        let from = self.place("from", self.from_context.as_deref(), given, account)?;
        let given = (self.to.clone(), self.to_token.clone(), self.to_store);
        let account = self.to_account.names_one().then(|| self.to_account.clone().into());
        let to = self.place("to", self.to_context.as_deref(), given, account)?;
        if from.is(&to) {
            return Err(Failure::arguments(format!("{to} would be copied to itself"))
                .hint("name another place or another store with --to… and --to-store"));
        }
        if std::io::stderr().is_terminal() {
            note(format_args!("streamkit: from {from} to {to}"));
        }
        let from = self.opened(from, Use::Read).await;
        let from = from.map_err(|failure| failure.during("the source"))?;
        match self.opened(to, Use::Write).await {
            Ok(to) => Ok((from, to)),
            Err(failure) => {
                from.close().await;
                Err(failure.during("the target"))
            }
        }
    }

    async fn opened(&self, place: Place, what_for: Use) -> Result<End, Failure> {
        match place {
            Place::Server(found) => {
                let (client, store) = self.server(found).await?.open_client();
                Ok(End {
                    store,
                    closes: Closes::Server(client),
                })
            }
            Place::Account(settings, store) => {
                let timeout = self.timeout.into();
                let held = InAccount::open(&settings, store, what_for, timeout, self.cache_bytes).await?;
                Ok(End {
                    store: held.store(),
                    closes: Closes::Account(held),
                })
            }
        }
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

    /// Where an end is, by its options.
    fn place(&self, end: &str, context: Option<&str>, given: Given, account: Option<Which>) -> Result<Place, Failure> {
        let Some(account) = account else {
            return found(end, context, given).map(Place::Server);
        };
        let (url, _, store) = given;
        let other = match (url, context) {
            (Some(_), _) => Some(format!("--{end}")),
            (_, Some(_)) => Some(format!("--{end}-context")),
            // A variable may be there for other calls.
            _ if on_command_line(&format!("{end}_token")) => Some(format!("--{end}-token")),
            _ => None,
        };
        if let Some(other) = other {
            let what = format!("{other} is for a server, and --{end}-azure-… names a storage account");
            return Err(Failure::arguments(what).hint("give one of both"));
        }
        let store = store.ok_or_else(|| Failure::arguments(format!("--{end}-store is missing")))?;
        Ok(Place::Account(Box::new(self.calls.settings(account)?), store))
    }
}

/// The address of a server, which that of an account is not.
fn server(text: &str) -> Result<String, String> {
    let is_account = text.starts_with("azure:") || text.contains(".blob.core.") || text.contains(".table.core.");
    match is_account {
        true => Err("a storage account is named with --from-azure-account or --to-azure-account".to_owned()),
        false => address::url(text),
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
                (None, _) => format!("--{end}, --{end}-context or --{end}-azure-account"),
                (_, None) => format!("--{end}-token or STREAMKIT_{}_TOKEN", end.to_uppercase()),
                _ => format!("--{end}-store"),
            };
            Err(Failure::arguments(format!("{missing} is missing")).hint(format_args!(
                "give --{end} URL, --{end}-store UUID and --{end}-token TOKEN; or --{end}-context NAME, which has all three; or, of a storage \
                 account, --{end}-azure-account ACCOUNT and --{end}-store UUID"
            )))
        }
    }
}
