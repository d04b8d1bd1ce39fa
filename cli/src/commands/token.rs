//! `token`: mint a token from the server's key.

use std::path::PathBuf;

use uuid::Uuid;

use crate::failure::Failure;
use crate::output::Out;
use crate::serving::key;

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
    /// File with the server's secret
    #[arg(long, env = "STREAMKIT_JWT_KEY_FILE", hide_env_values = true, value_name = "FILE")]
    jwt_key_file: PathBuf,
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
        let key = key(&self.jwt_key_file)?;
        let right = match (self.read_only, self.write_only) {
            (true, _) => ":read",
            (_, true) => ":write",
            _ => "",
        };
        let scope = format!("streamkit::{}{right}", self.store);
        let token = key.mint(&[scope], self.ttl.into());
        let token = token.map_err(|error| Failure::new(format!("cannot sign a token: {error}")))?;
        let mut out = Out::new();
        if self.json {
            out.json(&serde_json::json!({ "token": token }))?;
        } else {
            out.text(token)?;
        }
        out.flush()
    }
}
