//! Tephra, through its own multiplexing client.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tephra_client::{AsyncClient, AsyncClientConfig, Event, Position, Query};

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload;

/// Connects.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let client = AsyncClient::connect(place.address()).await?;
        Ok(Arc::new(Tephra { place, client }) as Arc<dyn Server>)
    })
}

struct Tephra {
    place: Place,
    client: AsyncClient,
}

#[async_trait]
impl Server for Tephra {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let config = AsyncClientConfig {
            bulk_connections: 0,
            ..AsyncClientConfig::default()
        };
        let client = match way {
            Way::Shared => self.client.clone(),
            Way::Each => AsyncClient::connect_with(self.place.address(), config).await?,
        };
        let tag = payload::path(writer).segment.as_str().to_owned();
        Ok(Box::new(Tagged { client, tag }))
    }

    async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut events = self.client.read(Query::all(), Position::ZERO, None).await;
        while let Some(event) = events.try_next().await? {
            visit(event.event().payload())?;
        }
        Ok(())
    }
}

struct Tagged {
    client: AsyncClient,
    tag: String,
}

#[async_trait]
impl Writer for Tagged {
    async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
        let events = records
            .into_iter()
            .map(|record| Event::new("placed", [self.tag.as_str()], record));
        self.client.append(events.collect::<Result<Vec<_>, _>>()?, None).await?;
        Ok(())
    }
}
