//! Redis streams, through the client `redis`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value};

use super::{Connecting, Place, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload;

/// Entries that a read asks for at a time.
const PAGE: usize = 10_000;

/// How long an answer may take: that of many writers at once, and with the sync held up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connects.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move {
        let client = Client::open(format!("redis://{}", place.address()))?;
        let connection = dial(&client).await?;
        Ok(Arc::new(Redis { client, connection }) as Arc<dyn Server>)
    })
}

async fn dial(client: &Client) -> Outcome<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

struct Redis {
    client: Client,
    connection: MultiplexedConnection,
}

fn key(writer: usize) -> String {
    payload::path(writer).segment.as_str().to_owned()
}

#[async_trait]
impl Server for Redis {
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>> {
        let connection = match way {
            Way::Shared => self.connection.clone(),
            Way::Each => dial(&self.client).await?,
        };
        Ok(Box::new(Stream {
            connection,
            key: key(writer),
        }))
    }

    async fn read(&self, writers: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut connection = self.connection.clone();
        for writer in 0..writers {
            let (key, mut after) = (key(writer), b"-".to_vec());
            loop {
                let mut page = redis::cmd("XRANGE");
                page.arg(&key).arg(&after).arg("+").arg("COUNT").arg(PAGE);
                let Value::Array(entries) = page.query_async(&mut connection).await? else {
                    return Err("a page is no list".into());
                };
                let last = entries.len() < PAGE;
                for entry in entries {
                    let (id, record) = parts(entry).ok_or("an entry has another shape")?;
                    visit(&record)?;
                    after = [b"(".as_slice(), &id].concat();
                }
                if last {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The id and the one value of an entry, which comes as `[id, [field, value]]`.
fn parts(entry: Value) -> Option<(Vec<u8>, Vec<u8>)> {
    let Value::Array(entry) = entry else { return None };
    let [Value::BulkString(id), Value::Array(fields)] = <[Value; 2]>::try_from(entry).ok()? else {
        return None;
    };
    let [_, Value::BulkString(value)] = <[Value; 2]>::try_from(fields).ok()? else {
        return None;
    };
    Some((id, value))
}

struct Stream {
    connection: MultiplexedConnection,
    key: String,
}

#[async_trait]
impl Writer for Stream {
    async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
        let mut pipe = redis::Pipeline::with_capacity(records.len());
        for record in &records {
            pipe.cmd("XADD")
                .arg(&self.key)
                .arg("*")
                .arg("p")
                .arg(record.as_ref())
                .ignore();
        }
        pipe.query_async::<()>(&mut self.connection).await?;
        Ok(())
    }
}
