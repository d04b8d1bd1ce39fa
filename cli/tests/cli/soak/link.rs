//! The link of one client: it may pause, and break.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

pub struct Link {
    pub url: String,
    paused: watch::Sender<bool>,
    cut: Arc<Notify>,
}

impl Link {
    pub async fn to(url: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("ws://{}", listener.local_addr().unwrap());
        let (paused, cut) = (watch::Sender::new(false), Arc::new(Notify::new()));
        let (pauses, cutting) = (paused.subscribe(), cut.clone());
        let target = url.trim_start_matches("ws://").to_owned();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (target, pauses, cutting) = (target.clone(), pauses.clone(), cutting.clone());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(target).await else {
                        return;
                    };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
                    let both = futures_util::future::join(
                        pass(from_near, to_far, pauses.clone()),
                        pass(from_far, to_near, pauses),
                    );
                    tokio::select! {
                        _ = both => {}
                        () = cutting.notified() => {}
                    }
                });
            }
        });
        Self { url: own, paused, cut }
    }

    /// Whether nothing is passed on.
    pub fn pause(&self, paused: bool) {
        self.paused.send_replace(paused);
    }

    /// Breaks the connections that there are.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut paused: watch::Receiver<bool>) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if paused.wait_for(|paused| !*paused).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}
