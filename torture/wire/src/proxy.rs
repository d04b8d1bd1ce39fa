//! A network between clients and a server that is worse than any: what becomes of each connection, its seed decides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use streamkit_engine::Dice;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// How a connection ends behind some byte of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum End {
    /// Both directions end.
    #[default]
    Both,
    /// This one alone ends; the other goes on.
    Half,
    /// Nothing more moves in it, and nobody is told.
    Silent,
}

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Way {
    /// It ends behind so many.
    pub cut: Option<u64>,
    /// How.
    pub end: End,
    /// Behind so many, nothing moves for so long.
    pub stall: Option<(u64, Duration)>,
    /// They come so many at a time; 0: as they come.
    pub trickle: usize,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Fate {
    /// From the client to the server.
    pub up: Way,
    /// And back.
    pub down: Way,
    /// It ends with a reset.
    pub reset: bool,
    /// What the client sends first comes to the server over a second connection, too, so many bytes of it.
    pub twice: usize,
}

impl Fate {
    /// That of a connection with this number.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed.wrapping_mul(1_000_003) ^ number);
        let mut way = || Way {
            cut: dice.chance(1, 3).then(|| some_bytes(&mut dice)),
            // Not the silent one: it costs the long deadlines of whoever waits, again and again.
            end: match dice.below(4) {
                0 => End::Half,
                _ => End::Both,
            },
            stall: dice
                .chance(1, 4)
                .then(|| (some_bytes(&mut dice), Duration::from_millis(1 + dice.below(60)))),
            trickle: match dice.below(5) {
                0 => 1 + dice.below(700) as usize,
                _ => 0,
            },
        };
        let (up, down) = (way(), way());
        Self {
            up,
            down,
            reset: dice.chance(1, 2),
            twice: match dice.below(6) {
                0 => 1 + dice.below(4000) as usize,
                _ => 0,
            },
        }
    }
}

/// Few more often than many.
fn some_bytes(dice: &mut Dice) -> u64 {
    let most = 1 << (6 + dice.below(13));
    dice.below(most)
}

/// A proxy, which ends when dropped.
pub(crate) struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
    /// Bytes that went up and down, of all connections.
    moved: Arc<[AtomicU64; 2]>,
}

impl Proxy {
    /// One before a server; `fate` says what becomes of each connection, which are numbered from 0.
    ///
    /// # Errors
    /// There is no port.
    pub async fn before(
        server: SocketAddr,
        fate: impl Fn(u64) -> Fate + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let moved: Arc<[AtomicU64; 2]> = Arc::default();
        let counted = moved.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            let mut number = 0;
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(carry(client, server, fate(number), counted.clone()));
                number += 1;
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            accepting,
            moved,
        })
    }

    /// Bytes that have gone to the server, and to the clients.
    pub fn moved(&self) -> (u64, u64) {
        let [up, down] = &*self.moved;
        (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, fate: Fate, moved: Arc<[AtomicU64; 2]>) {
    let Ok(mut to) = TcpStream::connect(server).await else {
        return;
    };
    let _ = (client.set_nodelay(true), to.set_nodelay(true));
    let twin = match fate.twice {
        0 => None,
        bytes => TcpStream::connect(server).await.ok().map(|twin| (twin, bytes)),
    };
    {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = to.split();
        let [up, down] = &*moved;
        // Whichever ends first ends both, as a cable does that is pulled.
        tokio::select! {
            () = relay(from_client, to_server, fate.up, twin, up) => {}
            () = relay(from_server, to_client, fate.down, None, down) => {}
        }
    }
    if fate.reset {
        let _ = (client.set_zero_linger(), to.set_zero_linger());
    }
}

async fn relay(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    way: Way,
    mut twin: Option<(TcpStream, usize)>,
    moved: &AtomicU64,
) {
    let mut buffer = vec![0; 16 << 10];
    let (mut done, mut stall) = (0, way.stall);
    loop {
        let most = match way.trickle {
            0 => buffer.len(),
            few => few.min(buffer.len()),
        };
        let most = most.min(usize::try_from(way.cut.map_or(u64::MAX, |cut| cut - done)).unwrap_or(usize::MAX));
        if most == 0 {
            match way.end {
                End::Both => return,
                End::Half => _ = to.shutdown().await,
                End::Silent => {}
            }
            // The other direction says when all is over.
            return std::future::pending().await;
        }
        let Ok(count @ 1..) = from.read(&mut buffer[..most]).await else {
            return;
        };
        if let Some((at, time)) = stall
            && done + count as u64 > at
        {
            stall = None;
            tokio::time::sleep(time).await;
        }
        if let Some((twin, left)) = &mut twin {
            let first = count.min(*left);
            let _ = twin.write_all(&buffer[..first]).await;
            *left -= first;
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        done += count as u64;
        moved.fetch_add(count as u64, Ordering::Relaxed);
    }
}
