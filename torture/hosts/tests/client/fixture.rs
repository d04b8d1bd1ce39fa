//! What the tests in `served` ask for: here, a balancer of their own in front of the hosts that all of them share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamkit_client::{Builder, Client};
use streamkit_torture_hosts::balancer::Balancer;
use streamkit_torture_wire::host::token_for;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::hosts::Hosts;
pub use crate::via::{Listener, Stream, Via};

/// Generous: for events that come, sooner or later.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The ways that lead here.
pub const WAYS: [Via; 2] = [Via::Sockets, Via::V1];

/// How many histories are tried: each of their steps takes some calls of the emulator.
pub const CASES: u32 = 4;

/// Makes a test of each function that takes a [`Via`], for both versions.
macro_rules! over_both {
    ($($name:ident)*) => {
        crate::fixture::over_v2! { $($name)* }
        mod in_v1 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Via::V1).await;
            })*
        }
    };
}
pub(crate) use over_both;

/// The same of what only v2 can do.
macro_rules! over_v2 {
    ($($name:ident)*) => {
        mod in_v2 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::fixture::Via::Sockets).await;
            })*
        }
    };
}
pub(crate) use over_v2;

/// What clients take for one host.
pub struct Host {
    pub url: String,
    /// One that nothing else uses.
    pub store: Uuid,
    pub via: Via,
    balancer: Balancer,
    _hosts: Arc<Hosts>,
}

impl Host {
    pub async fn start() -> Self {
        Self::via(Via::Sockets).await
    }

    /// One whose clients come this way.
    pub async fn via(via: Via) -> Self {
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let hosts = tokio::task::spawn_blocking(Hosts::shared).await.unwrap();
        let mut addresses = hosts.addresses.clone();
        // Each begins with another one.
        let first = TESTS.fetch_add(1, Ordering::Relaxed) % addresses.len();
        addresses.rotate_left(first);
        let balancer = Balancer::before(addresses).await.unwrap();
        Self {
            url: format!("ws://{}", balancer.address),
            store: Uuid::new_v4(),
            via,
            balancer,
            _hosts: hosts,
        }
    }

    /// The same, whose clients come this way.
    pub fn by(self, via: Via) -> Self {
        Self { via, ..self }
    }

    /// A client that may do everything, and has time where many share a machine.
    pub fn client(&self) -> Builder {
        let client = Client::builder(format!("{}/", self.url));
        client
            .token(token(&["streamkit::*"]))
            .protocol(self.via.protocol())
            .timeout(PATIENCE)
    }

    /// How one comes to it, for what stands between it and a client.
    pub fn way(&self) -> Way {
        Way(self.balancer.address)
    }

    /// What clients see of a host that goes: each connection breaks, and the next ones lead to others.
    pub async fn restart(self) -> Self {
        self.balancer.cut();
        self
    }

    /// Nobody listens there any more.
    pub async fn stop(self) {}
}

#[derive(Clone)]
pub struct Way(SocketAddr);

impl Way {
    pub async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(Box::new(TcpStream::connect(self.0).await?))
    }
}

pub fn token(scopes: &[&str]) -> String {
    token_for(scopes).unwrap()
}
