//! `token`: mint a token with a secret or a private key.

use std::path::PathBuf;

use streamkit_server_core::{Algorithm, Key, Minting};
use uuid::Uuid;

use crate::failure::Failure;
use crate::output::Out;
use crate::serving::keys;

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Token {
    /// The store it opens, or '*' for all
    #[arg(long, value_name = "UUID|*", value_parser = store)]
    store: String,
    /// How long it is valid
    #[arg(long, value_name = "TIME", value_parser = crate::arguments::some_time, default_value = "1h")]
    ttl: humantime::Duration,
    /// Allow reading only
    #[arg(long, conflicts_with = "write_only")]
    read_only: bool,
    /// Allow writing only
    #[arg(long)]
    write_only: bool,
    /// Secret, private PEM or private JWK
    #[arg(
        long,
        env = "STREAMKIT_JWT_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE",
        value_delimiter = ',',
        required = true
    )]
    jwt_key_file: Vec<PathBuf>,
    /// What to sign with, if the key is for several: HS512, PS256
    #[arg(long, value_name = "NAME")]
    algorithm: Option<Algorithm>,
    /// The key of this id among several, or the id of one that has none
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,
    /// Whom it is for; repeatable
    #[arg(long, value_name = "NAME")]
    audience: Vec<String>,
    /// Who makes it
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// Who gets it; the server does not look at it
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Print {"token":…}
    #[arg(long)]
    json: bool,
}

fn store(text: &str) -> Result<String, String> {
    match text {
        "*" => Ok(text.to_owned()),
        _ => Uuid::parse_str(text)
            .map(|id| id.to_string())
            .map_err(|_| "write a UUID, or '*' for all stores".to_owned()),
    }
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let key = self.key()?;
        let right = match (self.read_only, self.write_only) {
            (true, _) => ":read",
            (_, true) => ":write",
            _ => "",
        };
        let token = key.mint_token(&Minting {
            scopes: vec![format!("streamkit::{}{right}", self.store)],
            ttl: self.ttl.into(),
            audiences: self.audience,
            issuer: self.issuer,
            subject: self.subject,
            key_id: self.key_id,
            algorithm: self.algorithm,
        });
        let token = token.map_err(|error| Failure::new(format!("cannot sign a token: {error}")))?;
        let mut out = Out::new();
        if self.json {
            out.json(&serde_json::json!({ "token": token }))?;
        } else {
            out.text(token)?;
        }
        out.flush()
    }

    /// The first key that signs what is asked for.
    fn key(&self) -> Result<Key, Failure> {
        // Which of its algorithms a secret signs with is said here; which it may have at the server is said there.
        let unsaid = match self.algorithm {
            Some(algorithm) => &[algorithm][..],
            None => &Algorithm::UNSAID,
        };
        let mut all = Vec::new();
        for file in &self.jwt_key_file {
            all.extend(keys(file, unsaid)?);
        }
        all.retain(Key::can_sign);
        if all.is_empty() {
            return Err(Failure::new(
                "this key only checks tokens: name a file with a secret or a private key".to_owned(),
            ));
        }
        let named = |key: &&Key| match (&self.key_id, key.id()) {
            (Some(wanted), Some(id)) => wanted == id,
            _ => true,
        };
        let found = all.iter().find(named).cloned();
        found.ok_or_else(|| Failure::new("no key that signs has this --key-id".to_owned()))
    }
}
