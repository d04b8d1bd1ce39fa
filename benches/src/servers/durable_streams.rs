//! durable-streams, through HTTP/1.1 on connections that stay open. Its streams are bytes: records are told apart by
//! their length.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::CONTENT_TYPE;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Connecting, Place, RECORD_BYTES, Server, Visit, Way, Writer};
use crate::Outcome;
use crate::payload;

/// The header with the offset behind an answer.
const NEXT: &str = "stream-next-offset";
/// The header of an answer that reaches the end of the stream.
const UP_TO_DATE: &str = "stream-up-to-date";

/// Connects.
pub(super) fn connect(place: Place) -> Connecting {
    Box::pin(async move { Ok(Arc::new(DurableStreams { place }) as Arc<dyn Server>) })
}

struct DurableStreams {
    place: Place,
}

fn stream(writer: usize) -> String {
    format!("/{}", payload::path(writer).segment.as_str())
}

#[async_trait]
impl Server for DurableStreams {
    async fn writer(&self, writer: usize, _: Way) -> Outcome<Box<dyn Writer>> {
        let mut connection = Connection::open(&self.place).await?;
        let stream = stream(writer);
        connection
            .ask(Method::PUT, &stream, Bytes::new())
            .await?
            .collect()
            .await?;
        Ok(Box::new(Stream { connection, stream }))
    }

    async fn read(&self, writers: usize, visit: &mut Visit<'_>) -> Outcome {
        let mut connection = Connection::open(&self.place).await?;
        for writer in 0..writers {
            let mut offset = "-1".to_owned();
            let mut rest = BytesMut::new();
            loop {
                let target = format!("{}?offset={offset}", stream(writer));
                let mut answer = connection.ask(Method::GET, &target, Bytes::new()).await?;
                let next = answer
                    .headers()
                    .get(NEXT)
                    .ok_or("an answer does not say where it ends")?;
                offset = next.to_str()?.to_owned();
                let is_last = answer.headers().contains_key(UP_TO_DATE);
                while let Some(frame) = answer.frame().await {
                    if let Ok(bytes) = frame?.into_data() {
                        records(&mut rest, &bytes, visit)?;
                    }
                }
                if is_last {
                    break;
                }
            }
            if !rest.is_empty() {
                return Err("a stream ends within a record".into());
            }
        }
        Ok(())
    }
}

/// Visits the records in a rest and the bytes behind it; what is left of the last one becomes the rest.
fn records(rest: &mut BytesMut, mut bytes: &[u8], visit: &mut Visit<'_>) -> Outcome {
    if !rest.is_empty() {
        let missing = (RECORD_BYTES - rest.len()).min(bytes.len());
        rest.extend_from_slice(&bytes[..missing]);
        bytes = &bytes[missing..];
        if rest.len() < RECORD_BYTES {
            return Ok(());
        }
        visit(rest)?;
        rest.clear();
    }
    let whole = bytes.chunks_exact(RECORD_BYTES);
    rest.extend_from_slice(whole.remainder());
    whole.into_iter().try_for_each(visit)
}

struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(place: &Place) -> Outcome<Self> {
        let host = place.address();
        let socket = TcpStream::connect(&host).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(socket)).await?;
        tokio::spawn(connection);
        Ok(Self { host, sender })
    }

    async fn ask(&mut self, method: Method, target: &str, body: Bytes) -> Outcome<Response<hyper::body::Incoming>> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", &self.host)
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("{target} was answered with {}", answer.status()).into());
        }
        Ok(answer)
    }
}

struct Stream {
    connection: Connection,
    stream: String,
}

#[async_trait]
impl Writer for Stream {
    async fn append(&mut self, _: u64, records: Vec<Bytes>) -> Outcome {
        let body = match <[Bytes; 1]>::try_from(records) {
            Ok([record]) => record,
            Err(records) => records.concat().into(),
        };
        self.connection
            .ask(Method::POST, &self.stream, body)
            .await?
            .collect()
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_the_same_however_their_bytes_are_cut() {
        let made: Vec<u8> = (1..=3)
            .flat_map(|sequence| payload::record(0, sequence, RECORD_BYTES))
            .collect();
        for piece in [1, 100, 256, 300, 768] {
            let (mut rest, mut seen) = (BytesMut::new(), Vec::new());
            for bytes in made.chunks(piece) {
                let visit = &mut |record: &[u8]| {
                    seen.push(record.to_vec());
                    Ok(())
                };
                records(&mut rest, bytes, visit).unwrap();
            }
            assert!(rest.is_empty() && seen.len() == 3 && seen.concat() == made, "{piece}");
        }
    }
}
