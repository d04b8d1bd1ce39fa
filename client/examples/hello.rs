//! Appends an event and reads the stream back. Start `streamkit dev`, paste its three lines, then
//! `cargo run -p streamkit-client --example hello`.

use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSegment, NewRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(std::env::var("STREAMKIT_URL")?)
        .token(std::env::var("STREAMKIT_TOKEN")?)
        .build();
    let store = client.store(std::env::var("STREAMKIT_STORE")?.parse()?);

    let status = store
        .publish("greetings", "world", NewRecord::new("hello").with("language", "en"))
        .await?;
    println!("durable: the head of greetings/world is {}", status.last_sequence);

    let mut entries = store.consume_segment(ConsumeSegment::all("greetings", "world"));
    while let Some(entry) = entries.try_next().await? {
        println!("{} {}", entry.sequence, String::from_utf8_lossy(&entry.payload));
    }
    client.close().await;
    Ok(())
}
