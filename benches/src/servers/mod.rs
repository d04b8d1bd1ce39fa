//! Servers that keep ordered streams, ours and its peers: how each is installed, run and called. All do the same: a
//! record is durable before it is acknowledged, and can be read by stream and in the order of commits.

#[cfg(feature = "servers")]
mod durable_streams;
pub mod install;
pub mod kinds;
#[cfg(feature = "servers")]
mod nats;
pub mod process;
pub mod programs;
#[cfg(feature = "servers")]
mod redis;
pub(crate) mod streamkit;
#[cfg(feature = "servers")]
mod tephra;
#[cfg(feature = "servers")]
mod umadb;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Outcome;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 256;

/// Where a server works.
#[derive(Clone, Debug)]
pub struct Place {
    /// A fresh folder for its settings and data.
    pub dir: PathBuf,
    /// The port of the loopback address that it listens on.
    pub port: u16,
    /// Whether its system calls are held up, so that they have to be ones that can be.
    pub delayed: bool,
}

impl Place {
    /// Host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder of its data.
    ///
    /// # Errors
    /// If its name is no text.
    pub fn data(&self) -> Outcome<String> {
        let data = self.dir.join("data");
        Ok(data.to_str().ok_or("the folder's name is no text")?.to_owned())
    }
}

/// How writers reach a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// All over one connection.
    Shared,
    /// Each over a connection of its own.
    Each,
}

impl Way {
    /// As tables say it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Shared => "one connection",
            Self::Each => "a connection each",
        }
    }
}

/// A running server.
#[async_trait]
pub trait Server: Send + Sync {
    /// Gets ready to write to the stream of a writer.
    ///
    /// # Errors
    /// Of the server or its client.
    async fn writer(&self, writer: usize, way: Way) -> Outcome<Box<dyn Writer>>;

    /// Visits the payloads of all records of the first so many writers, those of one writer in their order.
    ///
    /// # Errors
    /// Of the server or its client, or the visitor's.
    async fn read(&self, writers: usize, visit: &mut Visit<'_>) -> Outcome;
}

/// Looks at a payload.
pub type Visit<'a> = dyn FnMut(&[u8]) -> Outcome + Send + 'a;

/// Appends to the stream of one writer.
#[async_trait]
pub trait Writer: Send {
    /// Appends records, of which the first has that sequence, and returns when they are durable.
    ///
    /// # Errors
    /// Of the server or its client.
    async fn append(&mut self, first: u64, records: Vec<Bytes>) -> Outcome;
}

/// A client of the server at a place that was started just now.
pub type Connecting = Pin<Box<dyn Future<Output = Outcome<Arc<dyn Server>>> + Send>>;

/// Connects to a server.
pub type Connect = fn(Place) -> Connecting;
