//! Ours, through our client.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use streamkit_client::{Client, ConsumeSpace, NewRecord, StoreClient};
use streamkit_server::Key;

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload::{self, SPACE};

const SECRET: &str = "a key for measuring, on loopback only";

/// The arguments of `streamkit`.
pub(super) fn arguments(place: &Place) -> Outcome<Vec<String>> {
    let key = place.dir.join("key");
    std::fs::write(&key, SECRET)?;
    let key = key.to_str().ok_or("the folder's name is no text")?.to_owned();
    let method = if place.delayed { "threads" } else { "auto" };
    let words = [
        ["serve", "--listen"].map(str::to_owned).to_vec(),
        vec![
            place.address(),
            "--data".into(),
            place.data()?,
            "--jwt-key-file".into(),
            key,
        ],
        ["--handshake-rate", "10000", "--log", "warn", "--commit-method", method]
            .map(str::to_owned)
            .to_vec(),
    ];
    Ok(words.concat())
}

/// Connects.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let scopes = ["streamkit::*".to_owned()];
        let token = Key::hs256(SECRET.as_bytes())?.mint(&scopes, Duration::from_secs(24 * 3600))?;
        let store = dial(&place, &token).await?;
        Ok(Arc::new(Streamkit { place, token, store }) as Arc<dyn Server>)
    })
}

async fn dial(place: &Place, token: &str) -> Outcome<StoreClient> {
    let client = Client::builder(format!("ws://{}", place.address()))
        .token(token)
        .build();
    client.connect().await?;
    Ok(client.store(payload::store_id(0).0))
}

struct Streamkit {
    place: Place,
    token: String,
    store: StoreClient,
}

#[async_trait]
impl Server for Streamkit {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let store = match way {
            Way::Shared => self.store.clone(),
            Way::Each => dial(&self.place, &self.token).await?,
        };
        let segment = payload::path(writer).segment.as_str().to_owned();
        Ok(Box::new(Segment { store, segment }))
    }

    async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut entries = self.store.consume_space(ConsumeSpace::all(SPACE));
        while let Some(entry) = entries.try_next().await? {
            visit(&entry.payload)?;
        }
        Ok(())
    }
}

struct Segment {
    store: StoreClient,
    segment: String,
}

#[async_trait]
impl Writer for Segment {
    async fn append(&mut self, first: u64, records: Vec<Bytes>) -> Outcome {
        let last = first + records.len() as u64 - 1;
        let records = records.into_iter().map(NewRecord::new);
        let status = self.store.produce_all(SPACE, &self.segment, first, records).await?;
        if status.last_sequence != last {
            return Err(format!("{} was acknowledged where {last} was appended", status.last_sequence).into());
        }
        Ok(())
    }
}
