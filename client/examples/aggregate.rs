//! An account whose state is what happened to it. Start `streamkit dev`, paste its three lines, then
//! `cargo run -p streamkit-client --example aggregate`, as often as you like.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use streamkit_client::es::{Aggregate, Event, Repository, Snapshot, Upcast, UpdateError};
use streamkit_client::{Client, StoreClient};

/// What happens to an account.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Moved {
    Deposited { cents: u64 },
    Withdrawn { cents: u64 },
}

impl Event for Moved {
    // Deposits were counted in euros once. Those events stand in the log for ever, and are read as if they had been written today.
    const UPCASTS: &'static [Upcast] = &[Upcast::new("deposited", 1, |content| {
        let euros = content.remove("euros").and_then(|euros| euros.as_u64());
        content.insert("cents".to_owned(), (euros.ok_or("no euros")? * 100).into());
        Ok(())
    })];
}

/// What they made of it.
#[derive(Default, Serialize, Deserialize)]
struct Account {
    cents: u64,
}

impl Aggregate for Account {
    type Event = Moved;

    fn apply(&mut self, event: Moved) {
        match event {
            Moved::Deposited { cents } => self.cents += cents,
            Moved::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

impl Snapshot for Account {
    const VERSION: u32 = 1;
}

/// Takes something out, if it is there.
fn withdraw(account: &Account, cents: u64) -> Result<Vec<Moved>, String> {
    match account.cents >= cents {
        true => Ok(vec![Moved::Withdrawn { cents }]),
        false => Err(format!("{} are there, and not {cents}", account.cents)),
    }
}

/// Returns what is left in the account.
pub async fn run(store: StoreClient) -> Result<u64, Box<dyn std::error::Error>> {
    let hundred = NonZeroU64::new(100).ok_or("not zero")?;
    let accounts = Repository::<Account>::new(store, "accounts")?.snapshots(hundred)?;
    let id = "0d9c5f0e-8a36-4a55-8d36-f7a7e1f2a001";

    let decide = |_: &Account| Ok::<_, String>(vec![Moved::Deposited { cents: 100 }]);
    accounts.update(id, decide).await?;
    let updated = accounts.update(id, |account| withdraw(account, 30)).await?;
    let (left, head) = (updated.loaded.state().cents, updated.saved.sequence);
    println!("{left} left behind event {head}, after {} conflicts", updated.conflicts);

    match accounts.update(id, |account| withdraw(account, left + 1)).await {
        Err(UpdateError::Refused(why)) => println!("refused: {why}"),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("more was taken than was there".into()),
    }
    Ok(left)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(std::env::var("STREAMKIT_URL")?)
        .token(std::env::var("STREAMKIT_TOKEN")?)
        .build();
    run(client.store(std::env::var("STREAMKIT_STORE")?.parse()?)).await?;
    client.close().await;
    Ok(())
}
