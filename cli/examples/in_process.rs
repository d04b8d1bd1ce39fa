//! How an application tests itself: with the real server and the real client, without a socket. Its tests are run by
//! `cargo test -p streamkit-server --example in_process`; `cargo run -p streamkit-server --example in_process` does what they do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSegment, Error, NewRecord, StoreClient};
use streamkit_engine::{Engine, EngineConfig, Stores as _};
use streamkit_server::{Key, Limits, Server};
use uuid::Uuid;

/// The application: it knows its store, and not how that is reached.
struct Orders(StoreClient);

impl Orders {
    async fn place(&self, order: &str) -> Result<(), Error> {
        // Sequence 1: placed once, however often it is asked for.
        self.0
            .produce_all("orders", order, 1, [NewRecord::new("placed")])
            .await
            .map(drop)
    }

    async fn pay(&self, order: &str) -> Result<(), Error> {
        self.0.publish("orders", order, NewRecord::new("paid")).await.map(drop)
    }

    async fn history(&self, order: &str) -> Result<Vec<String>, Error> {
        let entries = self.0.consume_segment(ConsumeSegment::all("orders", order));
        let entries: Vec<_> = entries.try_collect().await?;
        let texts = entries.iter().map(|entry| String::from_utf8_lossy(&entry.payload));
        Ok(texts.map(Into::into).collect())
    }
}

/// A server for one test: a folder, an engine, a key.
struct Fixture {
    server: Server,
    engine: Engine,
    key: Key,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let engine = Engine::open(EngineConfig::new(folder.path()))?;
        let key = Key::hs256(b"a secret of at least thirty-two bytes")?;
        let server = Server::new(Arc::new(engine.clone()), key.clone(), Limits::default());
        Ok(Self {
            server,
            engine,
            key,
            _folder: folder,
        })
    }

    /// A client with a token of this scope: what a server refuses in production, it refuses here.
    fn client(&self, scope: &str) -> Result<Client, Box<dyn std::error::Error>> {
        let token = self.key.mint(&[scope.to_owned()], Duration::from_secs(60))?;
        let server = self.server.clone();
        Ok(Client::builder("ws://in-process")
            .transport(move || std::future::ready(server.in_process()))
            .token(token)
            .build())
    }

    async fn stop(self) {
        self.server.shutdown().await;
        self.engine.close().await;
    }
}

async fn an_order_is_placed_once_and_paid() -> Result<(), Box<dyn std::error::Error>> {
    let fixture = Fixture::new()?;
    let orders = Orders(fixture.client("streamkit::*")?.store(Uuid::new_v4()));
    orders.place("order-1").await?;
    let again = orders.place("order-1").await;
    assert!(matches!(again, Err(Error::Conflict { head: 1, .. })), "{again:?}");
    orders.pay("order-1").await?;
    assert_eq!(orders.history("order-1").await?, ["placed", "paid"]);
    fixture.stop().await;
    Ok(())
}

async fn who_may_only_read_places_no_order() -> Result<(), Box<dyn std::error::Error>> {
    let fixture = Fixture::new()?;
    let orders = Orders(fixture.client("streamkit::*:read")?.store(Uuid::new_v4()));
    let refused = orders.place("order-1").await;
    assert!(matches!(refused, Err(Error::AccessDenied)), "{refused:?}");
    fixture.stop().await;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    an_order_is_placed_once_and_paid().await?;
    who_may_only_read_places_no_order().await?;
    println!("an order was placed once and paid, and not by whom that is forbidden");
    Ok(())
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn an_order_is_placed_once_and_paid() {
        super::an_order_is_placed_once_and_paid().await.unwrap();
    }

    #[tokio::test]
    async fn who_may_only_read_places_no_order() {
        super::who_may_only_read_places_no_order().await.unwrap();
    }
}
