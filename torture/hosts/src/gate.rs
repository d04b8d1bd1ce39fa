//! A way to the storage, or between hosts, that can be cut, or go silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Passes {
    All,
    /// Connections end, and new ones at once.
    Nothing,
    /// Bytes stay where they are, and nobody is told.
    Later,
    /// What a host asks is carried out, and it hears nothing of it.
    OneWay,
}

/// A gate in front of one port of the loopback address.
pub struct Gate {
    /// Where it listens.
    pub port: u16,
    passes: Arc<watch::Sender<Passes>>,
}

impl Gate {
    /// An open one.
    ///
    /// # Errors
    /// No port is free.
    pub async fn before(upstream: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let passes = Arc::new(watch::channel(Passes::All).0);
        let own = passes.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let passes = own.subscribe();
                tokio::spawn(async move {
                    let _ = between(client, upstream, passes).await;
                });
            }
        });
        Ok(Self { port, passes })
    }

    /// Cuts what goes through, for so long.
    pub async fn cut(&self, time: Duration) {
        self.for_a_while(Passes::Nothing, time).await;
    }

    /// Lets nothing through for so long; then it goes on.
    pub async fn silence(&self, time: Duration) {
        self.for_a_while(Passes::Later, time).await;
    }

    /// Lets only through what hosts ask, for so long; then it cuts these connections.
    pub async fn mute(&self, time: Duration) {
        self.for_a_while(Passes::OneWay, time).await;
        self.for_a_while(Passes::Nothing, Duration::from_millis(1)).await;
    }

    async fn for_a_while(&self, passes: Passes, time: Duration) {
        self.passes.send_replace(passes);
        tokio::time::sleep(time).await;
        self.passes.send_replace(Passes::All);
    }
}

async fn between(client: TcpStream, upstream: u16, passes: watch::Receiver<Passes>) -> std::io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut ends = passes.clone();
    tokio::select! {
        done = one_way(from_client, to_server, passes.clone(), false) => done,
        done = one_way(from_server, to_client, passes, true) => done,
        _ = ends.wait_for(|passes| *passes == Passes::Nothing) => Ok(()),
    }
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passes: watch::Receiver<Passes>,
    is_answer: bool,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let may_pass = |passes: &Passes| match passes {
            Passes::All => true,
            Passes::OneWay => !is_answer,
            Passes::Later | Passes::Nothing => false,
        };
        if passes.wait_for(may_pass).await.is_err() {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
    }
}
