//! `azure delete`: a store goes from the account, for all hosts.

use std::io::IsTerminal as _;

use indicatif::ProgressBar;
use serde_json::json;
use streamkit_azure::tools::{LogUnread, StoreStanding, delete, standing};
use streamkit_engine::StoreId;
use uuid::Uuid;

use crate::arguments::account::AccountOptions;
use crate::called::called;
use crate::connect::reached::account;
use crate::failure::Failure;
use crate::output::{Out, counted, json_lines};

#[derive(clap::Args)]
pub(crate) struct Delete {
    /// The store
    #[arg(value_name = "STORE", value_parser = crate::arguments::store)]
    store: Uuid,
    /// Delete it; without it, only say what there is
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    account: AccountOptions,
    /// Print a JSON line
    #[arg(long)]
    json: bool,
}

impl Delete {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (store, account) = (StoreId(self.store), account(&self.account.settings()?)?);
        if !self.yes {
            let what = match standing(&account, store).await {
                Ok(found) => in_words(&found),
                // A damaged one can be deleted, too, and of a deleted one what came late.
                Err(error @ (LogUnread::Damaged(_) | LogUnread::Deleted)) => format!(", of which is known: {error}"),
                Err(error) => return Err(error.into()),
            };
            return Err(Failure::arguments(format!(
                "this would remove store {store}{what} for good, for all hosts; nothing was done; add --yes to do it"
            )));
        }
        let bar = match std::io::stderr().is_terminal() {
            true => ProgressBar::new_spinner(),
            false => ProgressBar::hidden(),
        };
        let deleted = delete(&account, store, &mut |removed| {
            bar.set_message(format!(
                "{}, {}",
                counted(removed.extents, "extent"),
                counted(removed.blobs, "blob")
            ));
            bar.tick();
        })
        .await;
        bar.finish_and_clear();
        let removed = deleted.map_err(|error| match error {
            LogUnread::NoStore => error.into(),
            error => Failure::from(error).hint(format_args!(
                "part of the store may be gone: run `{} azure delete {store} --yes` again",
                called()
            )),
        })?;
        Out::new().result("it is done", |out| match json_lines(self.json) {
            true => out.json(&json!({ "store": self.store, "extents": removed.extents, "blobs": removed.blobs })),
            false => out.text(format_args!(
                "deleted store {store}: {} and {}",
                counted(removed.extents, "extent"),
                counted(removed.blobs, "blob")
            )),
        })
    }
}

fn in_words(found: &StoreStanding) -> String {
    let blobs = found.blobs.iter().map(|kind| kind.count).sum();
    format!(
        " with {} and {}",
        counted(found.live_ordinal - 1 + found.live_extents, "extent"),
        counted(blobs, "blob")
    )
}
