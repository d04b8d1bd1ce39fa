//! `azure init`: the table and the container are there, and the account does what a log relies on.

use serde_json::json;

use crate::arguments::account::AccountOptions;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, json_lines};

#[derive(clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    account: AccountOptions,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let settings = self.account.settings()?;
        let account = account(&settings)?;
        account.probe().await?;
        let skew = account.clock().last().map(|told| told.skew().as_millis() as u64);
        let json = json_lines(self.json);
        Out::new().result("the table and the container are there", |out| match json {
            true => out.json(&json!({
                "account": settings.endpoints.account,
                "table": settings.table,
                "container": settings.container,
                "fit": true,
                "skew_ms": skew,
            })),
            false => out.text(format_args!(
                "table {} and container {} are there, and the account does what a log relies on",
                settings.table, settings.container
            )),
        })
    }
}
