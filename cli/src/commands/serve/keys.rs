//! What tokens are checked with, and what is asked of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use streamkit_server_core::{Algorithm, IssuerConfig, Key, KeyError, Keys, KeysConfig};

use super::found::Found;
use crate::arguments::some_seconds;
use crate::failure::Failure;
use crate::files;

/// The group of options of which one at least has to be there.
pub(crate) const ANY_KEY: &str = "any_key";

// Those that may be given several times take a list as well, as variables have to.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new(ANY_KEY).args(["jwt_key_file", "jwks_file", "jwks_url"]).required(true).multiple(true))]
pub(super) struct KeyOptions {
    /// Secret ≥ 32 bytes, PEM, JWK; repeatable
    #[arg(
        long,
        env = "STREAMKIT_JWT_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        value_delimiter = ','
    )]
    jwt_key_file: Vec<PathBuf>,
    /// Algorithms of keys that do not say theirs
    #[arg(long, env = "STREAMKIT_JWT_ALGORITHMS", hide_env = true, value_name = "NAMES", value_delimiter = ',', default_values_t = Algorithm::UNSAID)]
    jwt_algorithms: Vec<Algorithm>,
    /// Set of JSON Web Keys; repeatable
    #[arg(
        long,
        env = "STREAMKIT_JWKS_FILE",
        hide_env = true,
        value_name = "FILE",
        value_delimiter = ','
    )]
    jwks_file: Vec<PathBuf>,
    /// Where an issuer publishes one, https
    #[arg(long, env = "STREAMKIT_JWKS_URL", hide_env = true, value_name = "URL")]
    jwks_url: Option<String>,
    /// Time after which it is fetched again
    #[arg(long, env = "STREAMKIT_JWKS_PERIOD", hide_env = true, value_parser = some_seconds, value_name = "TIME", requires = "jwks_url", default_value_t = IssuerConfig::new("").period.into())]
    jwks_period: humantime::Duration,
    /// Fetch it over http from another host, too
    #[arg(long, env = "STREAMKIT_JWKS_PLAIN", hide_env = true)]
    jwks_plain: bool,
    /// Whom tokens must be for; repeatable
    #[arg(
        long,
        env = "STREAMKIT_JWT_AUDIENCE",
        hide_env = true,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        value_delimiter = ','
    )]
    jwt_audience: Vec<String>,
    /// Who must have made them; repeatable
    #[arg(
        long,
        env = "STREAMKIT_JWT_ISSUER",
        hide_env = true,
        value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new(),
        value_delimiter = ','
    )]
    jwt_issuer: Vec<String>,
    /// How far its clock may be off
    #[arg(
        long,
        env = "STREAMKIT_JWT_LEEWAY",
        hide_env = true,
        value_name = "TIME",
        default_value = "0s"
    )]
    jwt_leeway: humantime::Duration,
    /// Take the cookie app_token, from pages of this host and of --origins
    #[arg(long, env = "STREAMKIT_COOKIE", hide_env = true)]
    cookie: bool,
}

/// What is said of a key that is no secret.
fn key_is_open() -> String {
    files::said_of_open("mint tokens for every store")
}

/// What is said of an issuer that may have other customers.
const FOR_OTHERS: &str = "without --jwt-audience, tokens that the issuer of --jwks-url made for other services are believed here, too, if \
                          they carry scopes of ours";

/// How a file of keys is read.
type Read = fn(&Path, &[Algorithm]) -> Result<Vec<Key>, KeyError>;

impl KeyOptions {
    /// Reads the files and begins to fetch the set. `pages`: origins from which a cookie counts, too, if any does.
    ///
    /// # Errors
    /// A file has no keys.
    pub(super) fn open(&self, pages: Vec<String>) -> Result<Keys, Failure> {
        for (_, file, read) in self.files() {
            if self.is_open(file, read) {
                tracing::warn!(file = %file.display(), "{}", key_is_open());
            }
        }
        if self.is_for_others() {
            tracing::warn!("{FOR_OTHERS}");
        }
        let mut config = KeysConfig::default();
        config.files = self.jwt_key_file.clone();
        config.set_files = self.jwks_file.clone();
        config.unsaid = self.jwt_algorithms.clone();
        config.rules.audiences = self.jwt_audience.clone();
        config.rules.issuers = self.jwt_issuer.clone();
        config.rules.leeway = Duration::from(self.jwt_leeway);
        config.cookies = self.cookie;
        config.cookie_pages = pages;
        config.issuer = self.issuer();
        Keys::open(config).map_err(|error| Failure::new(error.to_string()))
    }

    /// Each file with its option, and how it is read.
    fn files(&self) -> impl Iterator<Item = (&'static str, &Path, Read)> {
        let any = self
            .jwt_key_file
            .iter()
            .map(|file| ("jwt-key-file", &**file, Key::read_file as Read));
        let sets = self
            .jwks_file
            .iter()
            .map(|file| ("jwks-file", &**file, Key::read_set_file as Read));
        any.chain(sets)
    }

    fn issuer(&self) -> Option<IssuerConfig> {
        let mut issuer = IssuerConfig::new(self.jwks_url.as_deref()?);
        issuer.plain = self.jwks_plain;
        issuer.period = self.jwks_period.into();
        Some(issuer)
    }

    fn is_for_others(&self) -> bool {
        self.jwks_url.is_some() && self.jwt_audience.is_empty()
    }

    /// Whether everybody on this host may learn a secret from it, or put a key of their own into it.
    fn is_open(&self, file: &Path, read: Read) -> bool {
        // A pipe, which would have nothing left, is open to nobody.
        let signs = || {
            let keys = read(file, &self.jwt_algorithms);
            keys.map_or(true, |keys| keys.iter().any(Key::can_sign))
        };
        files::is_open_to_all(file) && (files::is_writable_for_all(file) || signs())
    }

    /// Says what would keep these from being used.
    pub(super) fn look(&self, found: &mut Vec<Found>) {
        for (option, file, read) in self.files() {
            if let Err(error) = read(file, &self.jwt_algorithms) {
                found.push(Found::wrong(option, error.to_string()));
            }
            if self.is_open(file, read) {
                found.push(Found::warning(option, key_is_open()));
            }
        }
        if let Some(Err(error)) = self.issuer().map(|issuer| issuer.validate()) {
            found.push(Found::wrong("jwks-url", error.to_string()));
        }
        if self.is_for_others() {
            found.push(Found::warning("jwt-audience", FOR_OTHERS.to_owned()));
        }
    }
}
