//! Counts on where the worker before stopped, and no two workers count at the same time. Start `streamkit dev`, paste its three lines in
//! several terminals, then `cargo run -p streamkit-client --example lease_guarded_worker` in each of them.

use std::time::Duration;

use streamkit_client::record::{Record, SegmentPath};
use streamkit_client::{Append, Client, Error, Held, LeaseError, NewLease, StoreClient};

/// Counts five further, and returns how far it came.
pub async fn run(store: StoreClient) -> Result<u64, Box<dyn std::error::Error>> {
    let lease = NewLease::new("counter")
        .ttl(Duration::from_secs(10))
        .wait(Duration::from_secs(60));
    match store.with_lease(lease, async |held| count(&store, &held).await).await {
        Ok(counted) => Ok(counted?),
        // The work was dropped. Whoever comes next looks how far it came.
        Err(error @ LeaseError::Lost { .. }) => Err(format!("{error}; run it again").into()),
        Err(error) => Err(error.into()),
    }
}

async fn count(store: &StoreClient, held: &Held) -> Result<u64, Error> {
    let path = SegmentPath::new("counters", "example").map_err(|error| Error::Invalid(error.to_string()))?;
    let fence = held.fence().ok_or(Error::NotInV1("fencing token"))?;
    let mut reached = match store.peek("counters", "example").await? {
        Some(last) => String::from_utf8_lossy(&last.payload).parse().unwrap_or_default(),
        None => 0,
    };
    for _ in 0..5 {
        let next = reached + 1;
        let record = Record::new(next.to_string());
        // If another was granted the lease meanwhile, this stores nothing, whatever this process believes.
        let append = Append::behind(path.clone(), vec![record]).fenced(fence.clone());
        store.append(append).await?;
        println!("{next}, under token {}", fence.token);
        reached = next;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(reached)
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
