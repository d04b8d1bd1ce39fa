//! A client and its settings. All calls of a client share one connection.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use streamkit_protocol::v2::Trace;
use uuid::Uuid;

use crate::call::{Call, Shared};
use crate::dial::{Dialler, TokenSource};
use crate::error::Error;
use crate::hooks::{Hooks, LiveEvent};
use crate::metrics::Metrics;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;
use crate::tls::Tls;
use crate::transport::{Transport, Way};
use crate::version::Protocol;

/// Settings of a client.
#[derive(Clone)]
pub struct Builder {
    url: String,
    way: Way,
    token: TokenSource,
    retry: RetryPolicy,
    timeout: Duration,
    hooks: Hooks,
    protocol: Protocol,
    compresses: bool,
}

impl Builder {
    /// A token that stays the same.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        let token = token.into();
        self.token_source(move || std::future::ready(Ok(token.clone())))
    }

    /// A source of tokens, asked before every dial.
    #[must_use]
    pub fn token_source<F, Fut>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, String>> + Send + 'static,
    {
        self.token = Arc::new(move || Box::pin(source()));
        self
    }

    /// Whom to trust, and what to show, at a `wss` address. Without, that is who this machine trusts, and nothing.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.way = Way::Network(tls);
        self
    }

    /// Another way to the server than over the network, such as to one in this process; a closure is one, too. The address then only
    /// names the server, in requests and errors: `ws://in-process` will do. No TLS is spoken over it.
    ///
    /// ```no_run
    /// # fn in_process() -> std::io::Result<tokio::io::DuplexStream> { unreachable!() }
    /// # use streamkit_client::Client;
    /// let client = Client::builder("ws://in-process")
    ///     .transport(|| std::future::ready(in_process()))
    ///     .token("…")
    ///     .build();
    /// ```
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.way = Way::own(transport);
        self
    }

    /// The newest version of the protocol to speak. Default [`Protocol::V2`]; a server that knows v1 alone is spoken to in v1.
    #[must_use]
    pub fn protocol(mut self, newest: Protocol) -> Self {
        self.protocol = newest;
        self
    }

    /// Compresses calls, and lets the server compress what it answers, if it does so, too: for payloads that compress well, over a
    /// network that is slower than some hundred MB/s. Over v1 it changes nothing. Default false.
    #[must_use]
    pub fn compression(mut self, compresses: bool) -> Self {
        self.compresses = compresses;
        self
    }

    /// How often to dial. Default [`RetryPolicy::DEFAULT`].
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Longest silence of the server within a call, and longest wait of a call for a connection. Default 30 s.
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

    /// Called after each connection but the first, with the number of connections so far.
    #[must_use]
    pub fn on_reconnected(mut self, hook: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.hooks.reconnected = Some(Arc::new(hook));
        self
    }

    /// Asked at each call for the trace, and the span in it, for which the call is made, where the caller polls it: such as those of the
    /// current span of a telemetry library. The spans of the server continue it. `None`: the call belongs to no trace. Only a server that
    /// speaks v2 is told.
    #[must_use]
    pub fn trace_source(mut self, source: impl Fn() -> Option<Trace> + Send + Sync + 'static) -> Self {
        self.hooks.trace = Some(Arc::new(source));
        self
    }

    /// Called with what happens to subscriptions, workers and leases.
    #[must_use]
    pub fn on_live(mut self, hook: impl Fn(&LiveEvent) + Send + Sync + 'static) -> Self {
        self.hooks.live = Some(Arc::new(hook));
        self
    }

    /// Makes the client. It connects at its first call.
    pub fn build(self) -> Client {
        let dialler = Dialler {
            url: format!("{}/streamz", self.url.trim_end_matches('/')),
            way: self.way,
            token: self.token,
            retry: self.retry,
            hooks: self.hooks,
            counters: Arc::default(),
            protocol: self.protocol,
            compresses: self.compresses,
        };
        Client {
            shared: Arc::new(Shared::new(dialler, self.timeout)),
        }
    }
}

/// A client of one server. Cheap to clone; clones share the connection, which closes with the last of them.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// Settings for the server at a base address such as `ws://host:8080`, or `wss://host` for TLS; the client adds `/streamz`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            way: Way::Network(Tls::default()),
            token: Arc::new(|| Box::pin(std::future::ready(Err("no token was configured".to_owned())))),
            retry: RetryPolicy::DEFAULT,
            timeout: Duration::from_secs(30),
            hooks: Hooks::default(),
            protocol: Protocol::V2,
            compresses: false,
        }
    }

    /// One store of the server.
    pub fn store(&self, id: Uuid) -> StoreClient {
        StoreClient::new(Call::new(Arc::clone(&self.shared), id))
    }

    /// Connects now instead of at the first call.
    ///
    /// # Errors
    /// [`Error::Unauthorized`], [`Error::Connect`], [`Error::Closed`].
    pub async fn connect(&self) -> Result<(), Error> {
        self.shared.connection().await.map(drop)
    }

    /// What the client and its clones have counted so far: calls, bytes, connections. It costs some hundred loads, and takes no lock.
    pub fn metrics(&self) -> Metrics {
        self.shared.metrics()
    }

    /// Ends the connection, and any dialling. Before, for 2 s at most, handlers of subscriptions come to their end, workers leave, and
    /// leases are given back. Calls in flight end with [`Error::ConnectionLost`] or [`Error::Closed`], later ones with
    /// [`Error::Closed`].
    pub async fn close(&self) {
        self.shared.close().await;
    }
}
