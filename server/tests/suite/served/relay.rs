//! A link to a server that fails when it is told to.

use std::sync::Arc;

use streamkit_client::Builder;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::fixture::{Host, Listener, Stream};

/// Passes bytes on until it is told to drop the connections it has.
pub struct Relay {
    /// A client on the other side of it.
    pub client: Builder,
    /// That of the host.
    pub store: Uuid,
    cut: Arc<Notify>,
    stall: Arc<Notify>,
    shut: watch::Sender<bool>,
}

impl Relay {
    pub async fn start(host: &Host) -> Self {
        let (mut listener, client) = Listener::new(host.via).await;
        let way = host.way();
        let cut = Arc::new(Notify::new());
        let stall = Arc::new(Notify::new());
        let (shut, shuts) = watch::channel(false);
        let (cutting, stalling) = (cut.clone(), stall.clone());
        tokio::spawn(async move {
            loop {
                let near = listener.accept().await;
                let way = way.clone();
                let faults = (cutting.clone(), stalling.clone());
                let mut shuts = shuts.clone();
                tokio::spawn(async move {
                    let _ = shuts.wait_for(|shut| !shut).await;
                    if let Ok(far) = way.connect().await {
                        relay(near, far, faults).await;
                    }
                });
            }
        });
        Self {
            client,
            store: host.store,
            cut,
            stall,
            shut,
        }
    }

    /// From now on nothing passes over the connections it has, and they stay.
    pub fn stall(&self) {
        self.stall.notify_waiters();
    }

    /// From now on nothing passes, over those it has nor over others, until it opens.
    pub fn shut(&self) {
        self.shut.send_replace(true);
        self.stall();
    }

    /// Others pass from now on.
    pub fn open(&self) {
        self.shut.send_replace(false);
    }

    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

async fn relay(mut near: Box<dyn Stream>, mut far: Box<dyn Stream>, faults: (Arc<Notify>, Arc<Notify>)) {
    let (cut, stall) = faults;
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
        () = cut.notified() => {}
        () = stall.notified() => cut.notified().await,
    }
}
