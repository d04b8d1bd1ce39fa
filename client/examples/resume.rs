//! Reads what was stored since it ran last. Start `streamkit dev`, paste its three lines, then
//! `cargo run -p streamkit-client --example resume`, as often as you like.

use futures_util::TryStreamExt as _;
use streamkit_client::record::{LogCursor, Name, Wanted};
use streamkit_client::{Batch, Client, Error, Read};

const FILE: &str = "example.resume";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = Client::builder(std::env::var("STREAMKIT_URL")?)
        .token(std::env::var("STREAMKIT_TOKEN")?)
        .build();
    let store = client.store(std::env::var("STREAMKIT_STORE")?.parse()?);

    let kept = match std::fs::read(FILE) {
        Ok(bytes) => LogCursor::new(bytes.into()).ok_or("that is no cursor")?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => LogCursor::default(),
        Err(error) => return Err(error.into()),
    };
    let mut batches = store.read(Read::log(vec![Wanted::Space(Name::new("greetings")?)], kept));
    loop {
        match batches.try_next().await {
            Ok(Some(Batch::Entries(entries))) => {
                for entry in entries {
                    println!(
                        "{}/{} {}",
                        entry.path,
                        entry.sequence,
                        String::from_utf8_lossy(&entry.payload)
                    );
                }
            }
            // What came is handled: only now is the place kept. `projection::FileCursors` survives a power cut, too.
            Ok(Some(Batch::End(cursor))) => std::fs::write(FILE, cursor.bytes())?,
            Ok(None) => break,
            Err(Error::OtherLog) => {
                return Err(format!("the store is another one now: remove {FILE} to begin anew").into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    client.close().await;
    Ok(())
}
