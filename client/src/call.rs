//! The things every call needs: its client's one connection, its store, and the longest silence of the server.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use streamkit_protocol::Request;
use tokio::sync::{Mutex, MutexGuard, watch};
use uuid::Uuid;

use crate::channel::Channel;
use crate::connected::Connected;
use crate::connection::Connection;
use crate::dial::Dialler;
use crate::error::Error;
use crate::hooks::{LiveEvent, LiveHook};
use crate::link::Link;
use crate::metrics::Metrics;
use crate::v2;

/// Publishes to one segment share a lane, in which one runs at a time; two segments share one by chance only.
const PUBLISH_LANES: usize = 256;

/// How long a connection may take to end in good order.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a client and its clones share.
pub(crate) struct Shared {
    link: Arc<Link>,
    timeout: Duration,
    publishing: [Mutex<()>; PUBLISH_LANES],
    live: Option<LiveHook>,
    /// Whether the client is closed. Whoever works on its behalf hears of it, and is waited for.
    closing: watch::Sender<bool>,
}

/// The close of a client, for one who works on its behalf until then.
pub(crate) struct Closing(watch::Receiver<bool>);

impl Closing {
    /// Ready once the client is closed, or gone.
    ///
    /// Cancel safe.
    pub(crate) async fn begins(&mut self) {
        let _ = self.0.wait_for(|closing| *closing).await;
    }
}

impl Shared {
    pub(crate) fn new(dialler: Dialler, timeout: Duration) -> Self {
        Self {
            live: dialler.hooks.live.clone(),
            closing: watch::Sender::new(false),
            link: Arc::new(Link::new(dialler)),
            timeout,
            publishing: std::array::from_fn(|_| Mutex::new(())),
        }
    }

    /// The live connection, dialled if there is none.
    pub(crate) async fn connection(&self) -> Result<Connected, Error> {
        self.link.connection_within(self.timeout).await
    }

    /// What was counted so far.
    pub(crate) fn metrics(&self) -> Metrics {
        self.link.counters().snapshot()
    }

    /// Ends what goes on for long, then the connection, and dialling, for good.
    pub(crate) async fn close(&self) {
        self.closing.send_replace(true);
        let _ = tokio::time::timeout(GOODBYE, self.closing.closed()).await;
        if let Some(connection) = self.link.close() {
            let _ = tokio::time::timeout(GOODBYE, connection.wait_ended()).await;
        }
    }
}

/// Calls on one store.
#[derive(Clone)]
pub(crate) struct Call {
    shared: Arc<Shared>,
    store: Uuid,
}

impl Call {
    pub(crate) fn new(shared: Arc<Shared>, store: Uuid) -> Self {
        Self { shared, store }
    }

    /// The store.
    pub(crate) fn store(&self) -> Uuid {
        self.store
    }

    /// Longest silence of the server.
    pub(crate) fn timeout(&self) -> Duration {
        self.shared.timeout
    }

    /// Held while something is published to a segment.
    pub(crate) async fn publishing(&self, space: &str, segment: &str) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        (self.store, space, segment).hash(&mut hasher);
        let lane = hasher.finish() % PUBLISH_LANES as u64;
        let lane = usize::try_from(lane).expect("fewer than 2^16 lanes");
        self.shared.publishing[lane].lock().await
    }

    /// The live connection, dialled if there is none.
    pub(crate) async fn connection(&self) -> Result<Connected, Error> {
        self.shared.connection().await
    }

    /// The same within this time.
    pub(crate) async fn connection_within(&self, longest: Duration) -> Result<Connected, Error> {
        self.shared.link.connection_within(longest).await
    }

    /// Whether the server speaks v2. Dials if there is no connection.
    pub(crate) async fn is_v2(&self) -> Result<bool, Error> {
        Ok(matches!(self.connection().await?, Connected::V2(_)))
    }

    /// The live connection, which speaks v2, within this time.
    pub(crate) async fn v2(&self, longest: Duration) -> Result<Arc<v2::Connection>, Error> {
        self.shared.link.connection_within(longest).await?.v2()
    }

    /// A fresh channel.
    pub(crate) async fn channel(&self) -> Result<Channel, Error> {
        Ok(self.channel_over(self.connection().await?.v1()?))
    }

    /// The same over this connection.
    pub(crate) fn channel_over(&self, connection: Arc<Connection>) -> Channel {
        Channel::open(self.shared.link.clone(), connection, self.store, self.timeout())
    }

    /// Tells the client's program what happens to something that goes on for long.
    pub(crate) fn tell(&self, event: &LiveEvent) {
        if let Some(hook) = &self.shared.live {
            hook(event);
        }
    }

    /// Hears when the client is closed, which waits a little for whoever has not dropped it.
    pub(crate) fn closing(&self) -> Closing {
        Closing(self.shared.closing.subscribe())
    }

    /// A channel opened with a request.
    pub(crate) async fn open(&self, request: &Request) -> Result<Channel, Error> {
        let mut channel = self.channel().await?;
        channel.request(request).await?;
        Ok(channel)
    }

    /// Does a call that changes nothing, and does it once more if the connection is lost during it: the link may have been
    /// dead for long, and this call the first to notice.
    pub(crate) async fn ask<T, Asked>(&self, call: impl Fn(Channel) -> Asked) -> Result<T, Error>
    where
        Asked: Future<Output = Result<T, Error>>,
    {
        match call(self.channel().await?).await {
            Err(Error::ConnectionLost(_)) => call(self.channel().await?).await,
            done => done,
        }
    }

    /// Does a call whose answer is a list.
    pub(crate) async fn list<T>(
        &self,
        request: &Request,
        item: impl Fn(&[u8]) -> Result<T, Error> + Copy,
    ) -> Result<Vec<T>, Error> {
        let call = async |mut channel: Channel| {
            channel.request(request).await?;
            let mut items = Vec::new();
            while let Some(message) = channel.receive().await? {
                items.push(item(&message)?);
            }
            Ok(items)
        };
        self.ask(|channel| call(channel.for_a_list())).await
    }
}
