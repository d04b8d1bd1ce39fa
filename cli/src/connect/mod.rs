//! Which server and which store a client command talks to.

pub(crate) mod contexts;
pub(crate) mod ends;
mod folders;
mod in_process;
pub(crate) mod profile;
pub(crate) mod reached;
pub(crate) mod readiness;
mod token_command;
mod tokens;
pub(crate) mod trust;
pub(crate) mod unknown;

use std::io::IsTerminal as _;
use std::time::Duration;

use contexts::{Contexts, Secret};
use profile::{Profile, Profiles};
use streamkit_client::{Client, StoreClient, Tls};
use tokens::Tokens;
use trust::Trust;
use uuid::Uuid;

use crate::arguments::given::on_command_line;
use crate::arguments::{address, some_time, store};
use crate::called::called;
use crate::failure::Failure;
use crate::output::note;

/// Where `serve` listens unless it is told otherwise.
pub(crate) const DEFAULT_URL: &str = "ws://127.0.0.1:8080";

/// Where to connect. What is on the command line counts before variables, these before the context in use; with nothing of all that, it
/// is the server of `streamkit dev`.
#[derive(clap::Args, Clone)]
#[command(next_help_heading = "Connection", next_line_help = true)]
pub(crate) struct Connect {
    /// Server; with none of these four, that of dev
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
    /// Context for what is not given
    #[arg(
        long,
        env = "STREAMKIT_CONTEXT",
        hide_env_values = true,
        value_name = "NAME",
        value_parser = contexts::name
    )]
    context: Option<String>,
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
    /// There is none, or several, or no token for it. Nothing was sent anywhere.
    pub(crate) async fn open(&self) -> Result<StoreClient, Failure> {
        Ok(self.server().await?.open())
    }

    /// The same, for whoever needs more than one connection.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub(crate) async fn server(&self) -> Result<Server, Failure> {
        let found = self.found()?;
        if let Some(told) = &found.told
            && std::io::stderr().is_terminal()
        {
            note(format_args!("streamkit: at {told}"));
        }
        Ok(Server {
            url: found.url,
            token: Tokens::of(found.secret).await?,
            store: found.store,
            timeout: self.timeout.into(),
            compresses: self.compression,
            tls: match found.is_of_dev {
                true => Tls::default(),
                false => self.trust.open()?,
            },
        })
    }

    fn found(&self) -> Result<Found, Failure> {
        // A context on the command line is not mixed with what variables say of another server.
        let is_named_there = on_command_line("context");
        let counts = |id: &str| !is_named_there || on_command_line(id);
        let url = self.url.clone().filter(|_| counts("url"));
        let token = self.token.clone().filter(|_| counts("token"));
        let store = self.store.filter(|_| counts("store"));
        let kept = match &self.context {
            Some(name) => Some(name.clone()),
            // It has nothing to add.
            None if token.is_some() && store.is_some() => None,
            None => Contexts::find()?.in_use,
        };
        match kept {
            Some(name) if name != contexts::OF_DEV => of_context(&name, url, token, store),
            _ => match (url, token, store) {
                (url, Some(token), Some(store)) => Ok(Found {
                    url: url.unwrap_or_else(|| DEFAULT_URL.to_owned()),
                    secret: Secret::Token(token),
                    store,
                    told: None,
                    is_of_dev: false,
                }),
                (None, None, None) => {
                    let profile = of_dev()?;
                    Ok(Found {
                        told: Some(format!("the server of dev, {profile}")),
                        url: profile.url,
                        secret: Secret::Token(profile.token),
                        store: profile.store,
                        is_of_dev: true,
                    })
                }
                // What one server takes never goes along with what the profile of another says.
                (_, token, store) => Err(incomplete(token.is_some(), store.is_some())),
            },
        }
    }
}

/// Where to go, before a token is fetched.
struct Found {
    url: String,
    secret: Secret,
    store: Uuid,
    /// What a person who wrote none of it is told.
    told: Option<String>,
    is_of_dev: bool,
}

/// What is given, and of the context what is not.
fn of_context(name: &str, url: Option<String>, token: Option<String>, store: Option<Uuid>) -> Result<Found, Failure> {
    let contexts = Contexts::find()?;
    let context = contexts.usable(name)?.clone();
    if token.is_none() && url.as_ref().is_some_and(|url| *url != context.url) {
        return Err(Failure::arguments(format!(
            "the token of context {name} is for {}, and goes to no other server",
            context.url
        ))
        .hint("give --token too, or leave out --url and STREAMKIT_URL"));
    }
    let url = url.unwrap_or(context.url);
    Ok(Found {
        told: Some(format!("{url}, context {name}")),
        url,
        secret: token.map_or(context.secret, Secret::Token),
        store: store.unwrap_or(context.store),
        is_of_dev: false,
    })
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
        "`{called} token` mints a token; for a server of your own, run `{called} dev` and give none of the three; `{called} context add` keeps all \
         three under a name"
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
    token: Tokens,
    store: Uuid,
    timeout: Duration,
    compresses: bool,
    pub(crate) tls: Tls,
}

impl Server {
    /// A connection of its own.
    pub(crate) fn open(&self) -> StoreClient {
        self.open_client().1
    }

    /// The same, for whoever closes it in good order.
    pub(crate) fn open_client(&self) -> (Client, StoreClient) {
        let token = self.token.clone();
        let client = Client::builder(&self.url).timeout(self.timeout);
        let client = client.token_source(move || token.clone().next());
        let client = client.tls(self.tls.clone()).compression(self.compresses);
        let client = client.build();
        let store = client.store(self.store);
        (client, store)
    }
}
