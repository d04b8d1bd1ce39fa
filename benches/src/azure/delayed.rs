//! A proxy that keeps back everything that a client sends for some time, as the way to a storage account takes it, and counts requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What begins a request.
const VERBS: [&[u8]; 6] = [b"GET ", b"PUT ", b"POST ", b"DELETE ", b"HEAD ", b"MERGE "];

/// A running proxy.
pub struct Delayed {
    /// Where it listens on the loopback address.
    pub port: u16,
    requests: Arc<AtomicU64>,
}

impl Delayed {
    /// In front of this port.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start(upstream: u16, delay: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let requests = Arc::new(AtomicU64::new(0));
        let counted = requests.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let counted = counted.clone();
                tokio::spawn(async move {
                    let _ = between(client, upstream, delay, &counted).await;
                });
            }
        });
        Ok(Self { port, requests })
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn between(client: TcpStream, upstream: u16, delay: Duration, counted: &AtomicU64) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let sending = tokio::spawn(async move {
        while let Some((at, bytes)) = due.recv().await {
            sleep_until(at).await;
            if to_server.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let answering = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
        let _ = to_client.shutdown().await;
    });
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = from_client.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        let bytes = buffer[..read].to_vec();
        if VERBS.iter().any(|verb| bytes.starts_with(verb)) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        if late.send((Instant::now() + delay, bytes)).is_err() {
            break;
        }
    }
    drop(late);
    let _ = sending.await;
    answering.abort();
    Ok(())
}
