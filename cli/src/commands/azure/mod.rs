//! `azure`: look after an Azure storage account and the stores in it.

mod cost;
mod init;
mod probe;
mod status;
mod verify;

use std::sync::Arc;

use clap::Subcommand;
use streamkit_azure::account::{Account, AccountSettings, CallError, ProbeError};
use streamkit_azure::medium::Unanswered;
use streamkit_azure::tools::LogUnread;

use crate::failure::Failure;

#[derive(clap::Args)]
pub(crate) struct Azure {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make the table and the container, and try what a log relies on
    Init(Box<init::Init>),
    /// List the stores of an account, or tell how one stands
    Status(Box<status::Status>),
    /// Check every group of a store's log, also while hosts write it
    Verify(Box<verify::Verify>),
    /// Estimate what a store costs a month, at its present rate
    Cost(Box<cost::Cost>),
    /// Measure the account: latency by size, and what a log relies on
    Probe(Box<probe::Probe>),
}

impl Azure {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.what {
            What::Init(init) => init.run().await,
            What::Status(status) => status.run().await,
            What::Verify(verify) => verify.run().await,
            What::Cost(cost) => cost.run().await,
            What::Probe(probe) => probe.run().await,
        }
    }
}

/// The account that settings name. Nothing is sent yet.
fn account(settings: &AccountSettings) -> Result<Arc<Account>, Failure> {
    let account = Account::new(settings).map_err(|error| Failure::arguments(error.to_string()))?;
    Ok(Arc::new(account))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let said = error.to_string();
        match error {
            CallError::Denied(_) => Failure::token(said),
            CallError::Refused { status: 404, .. } => {
                Failure::new(said).hint("is the table there? `streamkit azure init` makes it and the container")
            }
            _ if error.is_unknown() => Failure::no_answer(said).hint("is the account's address right? try again"),
            _ => Failure::new(said),
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(error: Unanswered) -> Self {
        let said = error.to_string();
        match error {
            Unanswered::Denied(_) => Failure::token(said),
            Unanswered::Refused(why) if why.contains("404") => {
                Failure::new(said).hint("is the table there? `streamkit azure init` makes it and the container")
            }
            Unanswered::Refused(_) => Failure::new(said),
            Unanswered::Unknown(_) | Unanswered::Throttled { .. } => {
                Failure::no_answer(said).hint("is the account's address right? try again")
            }
        }
    }
}

impl From<LogUnread> for Failure {
    fn from(error: LogUnread) -> Self {
        match error {
            LogUnread::Unanswered(error) => error.into(),
            LogUnread::Damaged(_) => Failure::damage(error.to_string()),
            _ => Failure::new(error.to_string()),
        }
    }
}

impl From<ProbeError> for Failure {
    fn from(error: ProbeError) -> Self {
        match error {
            ProbeError::Call(error) => error.into(),
            _ => Failure::new(error.to_string()),
        }
    }
}
