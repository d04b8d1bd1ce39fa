//! NATS JetStream, through the client `async-nats`.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::stream::{Config, DiscardPolicy, StorageType};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload::{self, SPACE};

/// How long an acknowledgement may take: many wait for one sync each.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects, and makes the stream if it is not there.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let context = dial(&place).await?;
        let config = Config {
            name: SPACE.into(),
            subjects: vec![format!("{SPACE}.*")],
            storage: StorageType::File,
            discard: DiscardPolicy::New,
            allow_atomic_publish: true,
            ..Config::default()
        };
        context.get_or_create_stream(config).await?;
        Ok(Arc::new(Nats { place, context }) as Arc<dyn Server>)
    })
}

async fn dial(place: &Place) -> Outcome<Context> {
    let client = async_nats::connect(place.address()).await?;
    Ok(ContextBuilder::new().timeout(PATIENCE).build(client))
}

struct Nats {
    place: Place,
    context: Context,
}

#[async_trait]
impl Server for Nats {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let context = match way {
            Way::Shared => self.context.clone(),
            Way::Each => dial(&self.place).await?,
        };
        let subject = format!("{SPACE}.{}", payload::path(writer).segment.as_str());
        Ok(Box::new(Subject { context, subject }))
    }

    async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut stream = self.context.get_stream(SPACE).await?;
        let last = stream.info().await?.state.last_sequence;
        if last == 0 {
            return Ok(());
        }
        let config = OrderedConfig {
            deliver_subject: self.context.client().new_inbox(),
            ..OrderedConfig::default()
        };
        let mut messages = stream.create_consumer(config).await?.messages().await?;
        while let Some(message) = messages.try_next().await? {
            visit(&message.payload)?;
            if message.info()?.stream_sequence >= last {
                return Ok(());
            }
        }
        Err("the consumer ended before the stream".into())
    }
}

struct Subject {
    context: Context,
    subject: String,
}

#[async_trait]
impl Writer for Subject {
    async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
        let subject = || self.subject.clone();
        let records = match <[Bytes; 1]>::try_from(records) {
            Ok([record]) => {
                self.context.publish(subject(), record).await?.await?;
                return Ok(());
            }
            Err(records) => records,
        };
        let (batch, last) = (uuid::Uuid::new_v4().to_string(), records.len());
        for (record, number) in records.into_iter().zip(1..) {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", batch.as_str());
            headers.insert("Nats-Batch-Sequence", number.to_string());
            if number < last {
                let client = self.context.client();
                client.publish_with_headers(subject(), headers, record).await?;
            } else {
                headers.insert("Nats-Batch-Commit", "1");
                let committed = self.context.publish_with_headers(subject(), headers, record).await?;
                committed.await?;
            }
        }
        Ok(())
    }
}
