//! UmaDB, through its own client over gRPC.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use umadb_client::AsyncUmaDbClient;
use umadb_dcb::{DcbEvent, DcbEventStoreAsync as _};

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload;

/// Connects.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let client = dial(&place).await?;
        Ok(Arc::new(UmaDb { place, client }) as Arc<dyn Server>)
    })
}

async fn dial(place: &Place) -> Outcome<Arc<AsyncUmaDbClient>> {
    let client = AsyncUmaDbClient::connect(format!("http://{}", place.address()), None, None, None).await?;
    Ok(Arc::new(client))
}

struct UmaDb {
    place: Place,
    client: Arc<AsyncUmaDbClient>,
}

#[async_trait]
impl Server for UmaDb {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let client = match way {
            Way::Shared => self.client.clone(),
            Way::Each => dial(&self.place).await?,
        };
        let tag = payload::path(writer).segment.as_str().to_owned();
        Ok(Box::new(Tagged { client, tag }))
    }

    async fn read(&self, _: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut batches = self.client.read(None, None, false, None).await?;
        loop {
            let events = batches.next_batch().await?;
            if events.is_empty() {
                return Ok(());
            }
            events.iter().try_for_each(|event| visit(&event.event.data))?;
        }
    }
}

struct Tagged {
    client: Arc<AsyncUmaDbClient>,
    tag: String,
}

#[async_trait]
impl Writer for Tagged {
    async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
        let event = |record: Bytes| {
            DcbEvent::new()
                .event_type("placed")
                .tags([self.tag.as_str()])
                .data(record)
        };
        self.client
            .append(records.into_iter().map(event).collect(), None, None)
            .await?;
        Ok(())
    }
}
