//! Which way an append goes: here, or over the link to another host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamkit_client::Tls;
use streamkit_engine::StoreId;
use streamkit_engine::boundary::figures::ForwardingFigures;
use tokio::sync::watch;

use super::counts::ForwardingCounts;
use crate::choose::preferred;
use crate::host::{Host, HostId};
use crate::link::{HostSecret, Peer};

/// A log that knows who was faster.
pub trait Contended: Send + Sync + 'static {
    /// The host that had the last two places, or more in a row, that this host wanted in the log of a store; `None` once it has had one itself. What is
    /// appended next goes to that host. Waits for nothing.
    fn winner(&self, store: StoreId) -> Option<HostId>;
}

/// How appends are forwarded.
#[derive(Clone)]
pub struct ForwardingSettings {
    /// This host.
    pub own: HostId,
    /// What all hosts have in common.
    pub secret: HostSecret,
    /// Whom to trust, and what to show, at links with TLS.
    pub tls: Tls,
    /// How long another host may take for an append, before it is appended here. 1.5 s by default: whoever
    /// waits is to be answered within two.
    pub patience: Duration,
}

impl ForwardingSettings {
    /// With defaults for everything else.
    pub fn new(own: HostId, secret: HostSecret) -> Self {
        Self {
            own,
            secret,
            tls: Tls::default(),
            patience: Duration::from_millis(1500),
        }
    }
}

/// The ways to other hosts.
pub(super) struct Ways {
    settings: ForwardingSettings,
    others: watch::Receiver<Arc<[Host]>>,
    contended: Option<Arc<dyn Contended>>,
    peers: Mutex<HashMap<HostId, Arc<Peer>>>,
    /// The host leaves: it sends nothing any more.
    is_closed: AtomicBool,
    pub(super) counts: ForwardingCounts,
}

impl Ways {
    pub(super) fn new(
        settings: ForwardingSettings,
        others: watch::Receiver<Arc<[Host]>>,
        contended: Option<Arc<dyn Contended>>,
    ) -> Self {
        Self {
            settings,
            others,
            contended,
            peers: Mutex::default(),
            is_closed: AtomicBool::new(false),
            counts: ForwardingCounts::default(),
        }
    }

    /// The other host that is to write a store; `None`: this one.
    pub(super) fn other(&self, store: StoreId) -> Option<Arc<Peer>> {
        if self.is_closed.load(Ordering::Acquire) {
            return None;
        }
        let others = self.others.borrow().clone();
        let find = |id: HostId| others.iter().find(|host| host.id == id);
        let winner = self.contended.as_ref().and_then(|contended| contended.winner(store));
        let host = match winner.and_then(find) {
            Some(host) => host,
            None => {
                let ids = others.iter().map(|host| host.id);
                find(preferred(store, ids.chain([self.settings.own]))?)?
            }
        };
        (host.id != self.settings.own).then(|| self.peer(host, &others))
    }

    /// The connection to a host, which may not be made yet.
    fn peer(&self, host: &Host, others: &[Host]) -> Arc<Peer> {
        let mut peers = self.peers();
        if let Some(peer) = peers.get(&host.id).filter(|peer| peer.host() == host) {
            return peer.clone();
        }
        // Seldom: a host came. Whoever is gone, or was another start, loses its connection with the last call over it.
        peers.retain(|_, peer| others.contains(peer.host()));
        let Self { settings, .. } = self;
        let peer = Peer::new(host.clone(), &settings.secret, settings.tls.clone(), settings.patience);
        let peer = Arc::new(peer);
        peers.insert(host.id, peer.clone());
        peer
    }

    pub(super) fn figures(&self) -> ForwardingFigures {
        self.counts.now(self.others.borrow().len())
    }

    /// Ends all connections, for good.
    pub(super) async fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let peers: Vec<Arc<Peer>> = self.peers().drain().map(|(_, peer)| peer).collect();
        futures_util::future::join_all(peers.iter().map(|peer| peer.close())).await;
    }

    fn peers(&self) -> MutexGuard<'_, HashMap<HostId, Arc<Peer>>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
