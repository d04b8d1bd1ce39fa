//! A host among others: it serves them what they forward, and forwards to them what they are to write.

use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::Stores;
use streamkit_hosts::forwarding::{Forwarding, ForwardingSettings};
use streamkit_hosts::link;
use streamkit_hosts::presence::Presence;
use streamkit_server_core::{Certificates, Limits, MessageBus, Server};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

/// How long other hosts may take to learn that this one leaves.
const UNTIL_KNOWN: Duration = Duration::from_secs(4);

/// The place where other hosts reach this one, and what it needs to be among them.
pub(crate) struct LinkPlace {
    pub(crate) listener: TcpListener,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) forwarding: ForwardingSettings,
    pub(crate) presence: Presence,
}

/// A host among others.
pub(crate) struct Together {
    pub(crate) forwarding: Forwarding,
    presence: Presence,
    link: Server,
}

impl Together {
    /// Serves other hosts from now on.
    pub(crate) fn begin(place: LinkPlace, direct: Arc<dyn Stores>, limits: Limits, bus: Arc<dyn MessageBus>) -> Self {
        let LinkPlace {
            listener,
            certificates,
            forwarding,
            presence,
        } = place;
        let link = link::server(direct.clone(), &forwarding.secret, forwarding.own, limits, bus);
        let accepting = link.clone();
        tokio::spawn(async move {
            match certificates {
                Some(certificates) => accepting.serve_tls(listener, certificates).await,
                None => accepting.serve(listener).await,
            }
        });
        Self {
            forwarding: Forwarding::new(direct, forwarding, presence.others(), None),
            presence,
            link,
        }
    }

    /// Other hosts learn that this one leaves. Returns until when they may not know it.
    pub(crate) async fn retire(&self) -> Instant {
        let _ = tokio::time::timeout(UNTIL_KNOWN, self.presence.leave()).await;
        Instant::now() + UNTIL_KNOWN
    }

    /// Ends what other hosts have under way here, once they know.
    pub(crate) async fn leave(&self, known: Instant) {
        sleep_until(known).await;
        self.link.shutdown().await;
    }
}
