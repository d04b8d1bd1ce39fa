//! A client and its settings. All calls of a client share one connection.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::connection::Connection;
use crate::dial::{Dialler, Hooks, TokenSource};
use crate::error::Error;
use crate::link::Link;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// Publishes to one segment share a lane, in which one runs at a time; two segments share one by chance only.
const PUBLISH_LANES: usize = 256;

/// Settings of a client.
#[derive(Clone)]
pub struct Builder {
    url: String,
    token: TokenSource,
    retry: RetryPolicy,
    timeout: Duration,
    hooks: Hooks,
}

impl Builder {
    /// A token that stays the same.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.token_source(move || std::future::ready(Ok(token.clone())))
    }

    /// Where to get a token; asked before every dial.
    #[must_use]
    pub fn token_source<F, Fut>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.token = Arc::new(move || Box::pin(source()));
        self
    }

    /// How often to dial. [`RetryPolicy::DEFAULT`] unless set.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Longest silence of the server within a call, and longest a call waits for a connection. 30 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Called with the reason of each failed dial.
    #[must_use]
    pub fn on_dial_failed(mut self, hook: impl Fn(String) + Send + Sync + 'static) -> Self {
        self.hooks.dial_failed = Some(Arc::new(hook));
        self
    }

    /// Called after each connection but the first, with how many there have been.
    #[must_use]
    pub fn on_reconnected(mut self, hook: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.hooks.reconnected = Some(Arc::new(hook));
        self
    }

    /// The client. It connects at its first call.
    pub fn build(self) -> Client {
        let dialler = Dialler {
            url: format!("{}/streamz", self.url.trim_end_matches('/')),
            token: self.token,
            retry: self.retry,
            hooks: self.hooks,
        };
        Client {
            inner: Arc::new(Inner {
                link: Link::new(dialler),
                timeout: self.timeout,
                publishing: std::array::from_fn(|_| Mutex::new(())),
            }),
        }
    }
}

/// A client of one server. Cheap to clone; clones share the connection, which closes with the last of them.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    timeout: Duration,
    publishing: [Mutex<()>; PUBLISH_LANES],
}

impl Client {
    /// Settings for the server at a base address such as `ws://host:8080`; `/streamz` is added.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            token: Arc::new(|| Box::pin(std::future::ready(Err("no token was configured".to_owned())))),
            retry: RetryPolicy::DEFAULT,
            timeout: Duration::from_secs(30),
            hooks: Hooks::default(),
        }
    }

    /// One store of the server.
    pub fn store(&self, id: Uuid) -> StoreClient {
        StoreClient::new(self.clone(), id)
    }

    /// Connects now instead of at the first call.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], [`Error::Connect`], [`Error::Closed`].
    pub async fn connect(&self) -> Result<(), Error> {
        self.connection().await.map(drop)
    }

    /// Ends the connection, and dialling too. Calls in flight end with [`Error::ConnectionLost`] or [`Error::Closed`], later
    /// ones with [`Error::Closed`].
    pub async fn close(&self) {
        if let Some(connection) = self.inner.link.close() {
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.wait_ended()).await;
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Held while something is published to a segment.
    pub(crate) async fn publishing(&self, segment: impl Hash) -> MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        segment.hash(&mut hasher);
        let lane = hasher.finish() % PUBLISH_LANES as u64;
        self.inner.publishing[usize::try_from(lane).expect("fewer than 2^16 lanes")]
            .lock()
            .await
    }

    /// The live connection, dialled if there is none.
    pub(crate) async fn connection(&self) -> Result<Arc<Connection>, Error> {
        let link = &self.inner.link;
        match tokio::time::timeout(self.inner.timeout, link.connection()).await {
            Ok(dialled) => dialled,
            Err(_) => Err(Error::Connect {
                url: link.url().to_owned(),
                cause: format!("no connection within {:?}", self.inner.timeout),
            }),
        }
    }
}
