//! `azure`: look after an Azure storage account and the stores in it.

mod cost;
mod delete;
mod init;
mod probe;
mod status;
mod verify;

use clap::Subcommand;

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
    /// Delete a store, for all hosts
    Delete(Box<delete::Delete>),
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
            What::Delete(delete) => delete.run().await,
            What::Probe(probe) => probe.run().await,
        }
    }
}
