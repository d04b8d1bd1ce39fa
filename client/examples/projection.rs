//! Counts events by segment, each at least once, and goes on where it was. Start `streamkit dev`, paste its three lines, then
//! `cargo run -p streamkit-client --example projection`. Enter ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use streamkit_client::Client;
use streamkit_client::projection::{Failure, FileCursors, Projection};
use streamkit_client::record::{Entry, Name, Wanted};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(std::env::var("STREAMKIT_URL")?)
        .token(std::env::var("STREAMKIT_TOKEN")?)
        .build();
    let store = client.store(std::env::var("STREAMKIT_STORE")?.parse()?);

    let counts = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let counting = counts.clone();
    let handler = move |entry: Entry| {
        let counts = counting.clone();
        async move {
            // An error here is tried again; then the segment is parked, and the others go on.
            let event = std::str::from_utf8(&entry.payload)?;
            println!("{}/{} {event}", entry.path, entry.sequence);
            *counts
                .lock()
                .expect("no handler panics")
                .entry(entry.path.to_string())
                .or_default() += 1;
            Ok::<(), Failure>(())
        }
    };
    let spaces = ["greetings", "orders"].map(|name| Name::new(name).map(Wanted::Space));
    let parts = spaces.into_iter().collect::<Result<_, _>>()?;
    let running = Projection::new(store, parts).start(handler, FileCursors::open("example.cursor")?);

    let progress = running.until(|progress| progress.is_caught_up).await?;
    println!(
        "caught up: {} events, {} segments parked",
        progress.handled,
        progress.parked.len()
    );
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    for path in running.progress().parked.keys() {
        match running.replay(path).await {
            Ok(count) => println!("{path}: {count} events replayed"),
            Err(error) => println!("{error}"),
        }
    }
    running.stop().await?;
    println!("{:?}", counts.lock().expect("no handler panics"));
    client.close().await;
    Ok(())
}
