//! A way to a server that breaks at any byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use streamkit_client::Builder;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::fixture::{Host, Listener, Stream, token};

/// Most bytes that a connection passes on while it tears.
const BYTES_MAX: u64 = 20_000;

/// Passes bytes on. While it tears, each connection breaks behind a number of bytes that looks random; while it is shut, each at once.
pub struct Torn {
    /// A client on the other side of it, which may do everything.
    pub client: Builder,
    /// That of the host.
    pub store: Uuid,
    shared: Arc<Shared>,
}

struct Shared {
    seed: AtomicU64,
    /// Most bytes that a connection passes on; 0: it does not tear.
    bytes_max: AtomicU64,
    broken: AtomicU64,
    is_shut: AtomicBool,
    cut: Notify,
}

impl Torn {
    /// One that does not tear yet.
    pub async fn start(host: &Host, seed: u64) -> Self {
        let (mut listener, client) = Listener::new(host.via).await;
        let way = host.way();
        let shared = Arc::new(Shared {
            seed: AtomicU64::new(seed),
            bytes_max: AtomicU64::new(0),
            broken: AtomicU64::new(0),
            is_shut: AtomicBool::new(false),
            cut: Notify::new(),
        });
        let passing = shared.clone();
        tokio::spawn(async move {
            loop {
                let near = listener.accept().await;
                let (way, shared) = (way.clone(), passing.clone());
                tokio::spawn(async move {
                    let cut = shared.cut.notified();
                    if shared.is_shut.load(Ordering::Relaxed) {
                        return;
                    }
                    let Ok(far) = way.connect().await else { return };
                    tokio::select! {
                        () = pass(near, far, shared.bytes()) => { shared.broken.fetch_add(1, Ordering::Relaxed); }
                        () = cut => {}
                    }
                });
            }
        });
        Self {
            client: client.token(token(&["streamkit::*"])),
            store: host.store,
            shared,
        }
    }

    /// Whether connections that come from now on break.
    pub fn tears(&self, tears: bool) {
        self.tears_within(if tears { BYTES_MAX } else { 0 });
    }

    /// That they break behind fewer bytes than so many.
    pub fn tears_within(&self, bytes: u64) {
        self.shared.bytes_max.store(bytes, Ordering::Relaxed);
        self.cut();
    }

    /// How many broke, or were closed.
    pub fn broken(&self) -> u64 {
        self.shared.broken.load(Ordering::Relaxed)
    }

    /// Whether those that come from now on are closed at once.
    pub fn shuts(&self, is_shut: bool) {
        self.shared.is_shut.store(is_shut, Ordering::Relaxed);
    }

    /// Breaks all that are there.
    pub fn cut(&self) {
        self.shared.cut.notify_waiters();
    }
}

impl Shared {
    /// How many bytes the next connection passes on.
    fn bytes(&self) -> u64 {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        if bytes_max == 0 {
            return u64::MAX;
        }
        let seed = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) % bytes_max
    }
}

/// Passes so many bytes on, of both directions together.
async fn pass(near: Box<dyn Stream>, far: Box<dyn Stream>, bytes: u64) {
    let left = AtomicU64::new(bytes);
    let ((mut of_near, mut to_near), (mut of_far, mut to_far)) = (tokio::io::split(near), tokio::io::split(far));
    tokio::select! {
        () = one_way(&mut of_near, &mut to_far, &left) => {}
        () = one_way(&mut of_far, &mut to_near, &left) => {}
    }
}

async fn one_way(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    left: &AtomicU64,
) {
    let mut buffer = vec![0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            Some(left.saturating_sub(count as u64))
        });
        let passes = before.unwrap_or_default().min(count as u64) as usize;
        if to.write_all(&buffer[..passes]).await.is_err() || to.flush().await.is_err() || passes < count {
            return;
        }
    }
}
