//! Ours, through our client, over either version of the protocol.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{LogCursor, Name, Record, SegmentAppend, SegmentPath, Sequence, Wanted};
use streamkit_client::{Append, Batch, Client, ConsumeSpace, NewRecord, Protocol, Read, StoreClient};
use streamkit_server_core::Key;

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload::{self, SPACE};

/// What tokens are signed with.
pub(crate) const SECRET: &str = "a key for measuring, on loopback only";

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

/// Connects, to call it over v2.
pub(crate) fn connect(place: Place) -> Connecting {
    connect_over(Protocol::V2, place)
}

/// Connects, to call it over v1.
pub(crate) fn connect_over_v1(place: Place) -> Connecting {
    connect_over(Protocol::V1, place)
}

fn connect_over(protocol: Protocol, place: Place) -> Connecting {
    Box::pin(async move {
        let token = token()?;
        let client = dial(&place.address(), &token, protocol).await?;
        Ok(Arc::new(Streamkit {
            place,
            token,
            protocol,
            store: client.store(payload::store_id(0).0),
        }) as Arc<dyn Server>)
    })
}

/// A token for all stores.
pub(crate) fn token() -> Outcome<String> {
    let scopes = ["streamkit::*".to_owned()];
    Ok(Key::hs256(SECRET.as_bytes())?.mint(&scopes, Duration::from_secs(24 * 3600))?)
}

/// A client that is connected.
pub(crate) async fn dial(address: &str, token: &str, protocol: Protocol) -> Outcome<Client> {
    let client = Client::builder(format!("ws://{address}"))
        .token(token)
        .protocol(protocol)
        .build();
    client.connect().await?;
    Ok(client)
}

struct Streamkit {
    place: Place,
    token: String,
    protocol: Protocol,
    store: StoreClient,
}

#[async_trait]
impl Server for Streamkit {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let store = match way {
            Way::Shared => self.store.clone(),
            Way::Each => dial(&self.place.address(), &self.token, self.protocol)
                .await?
                .store(self.store.id()),
        };
        let path = payload::path(writer);
        Ok(match self.protocol {
            Protocol::V2 => Box::new(Segment { store, path }),
            Protocol::V1 => Box::new(SegmentOverV1 {
                store,
                segment: path.segment.as_str().to_owned(),
            }),
        })
    }

    async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
        match self.protocol {
            Protocol::V2 => {
                let parts = vec![Wanted::Space(Name::new(SPACE)?)];
                let mut batches = self.store.read(Read::log(parts, LogCursor::default()));
                while let Some(batch) = batches.next().await {
                    match batch? {
                        Batch::Entries(entries) => entries.iter().try_for_each(|entry| visit(&entry.payload))?,
                        Batch::End(_) => return Ok(()),
                    }
                }
                Err("a read ended without its end".into())
            }
            Protocol::V1 => {
                let mut entries = self.store.consume_space(ConsumeSpace::all(SPACE));
                while let Some(entry) = entries.try_next().await? {
                    visit(&entry.payload)?;
                }
                Ok(())
            }
        }
    }
}

struct Segment {
    store: StoreClient,
    path: SegmentPath,
}

#[async_trait]
impl Writer for Segment {
    async fn append(&mut self, first: u64, records: Vec<Bytes>) -> Outcome {
        let range = (Sequence(first), Sequence(first + records.len() as u64 - 1));
        let section = SegmentAppend {
            path: self.path.clone(),
            first_sequence: range.0,
            records: records.into_iter().map(Record::new).collect(),
        };
        let stored = self.store.append(Append::new(vec![section])).await?;
        if stored.sections != [range] {
            return Err(format!("{:?} was acknowledged where {range:?} was appended", stored.sections).into());
        }
        Ok(())
    }
}

struct SegmentOverV1 {
    store: StoreClient,
    segment: String,
}

#[async_trait]
impl Writer for SegmentOverV1 {
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
