//! Tells each segment of a space that changes, until it is stopped. Start `streamkit dev`, paste its three lines, then
//! `cargo run -p streamkit-client --example tail`.

use futures_util::TryStreamExt as _;
use streamkit_client::Client;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(std::env::var("STREAMKIT_URL")?)
        .token(std::env::var("STREAMKIT_TOKEN")?)
        .build();
    let store = client.store(std::env::var("STREAMKIT_STORE")?.parse()?);

    let mut statuses = store.subscribe_space("greetings");
    while let Some(status) = statuses.try_next().await? {
        println!("{}/{} is at {}", status.space, status.segment, status.last_sequence);
    }
    Ok(())
}
