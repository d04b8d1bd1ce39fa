//! `health`: whether a server lives, or takes writes; for probes where there is nothing else to ask with.

use std::time::Duration;

use hyper::StatusCode;

use crate::arguments::{address, some_time};
use crate::connect::trust::Trust;
use crate::connect::{DEFAULT_URL, readiness};
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Health {
    /// Server
    #[arg(
        long,
        env = "STREAMKIT_URL",
        hide_env_values = true,
        value_parser = address::url,
        default_value = DEFAULT_URL
    )]
    url: String,
    /// Ask whether every open store takes writes
    #[arg(long)]
    ready: bool,
    /// Longest wait for the answer
    #[arg(long, env = "STREAMKIT_TIMEOUT", hide_env_values = true, value_name = "TIME", value_parser = some_time, default_value = "5s")]
    timeout: humantime::Duration,
    #[command(flatten)]
    trust: Trust,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Health {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let path = if self.ready { "/readyz" } else { "/healthz" };
        let tls = self.trust.open()?;
        let timeout: Duration = self.timeout.into();
        let asked = tokio::time::timeout(timeout, readiness::get(&self.url, &tls, path)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")));
        let answer = answer.map_err(|why| Failure::no_answer(format!("{}: {why}", self.url)))?;
        let (healthy, said) = (answer.status.is_success(), answer.body.trim());
        let mut out = Out::new();
        match json_lines(self.json) {
            true => out.json(&serde_json::json!({ "healthy": healthy, "said": said }))?,
            false => out.text(said)?,
        }
        out.flush()?;
        match healthy {
            true => Ok(()),
            false if answer.status == StatusCode::NOT_FOUND => Err(Failure::new(format!(
                "{} is no Streamkit server, or another one stands before it: it answered 404 to {path}",
                self.url
            ))),
            false => Err(Failure::new(format!(
                "{} is not well: {} {said}",
                self.url,
                answer.status.as_u16()
            ))),
        }
    }
}
