//! Making the connection: address, token, handshake, retries. All calls of a client share one connection; the first call
//! that finds none dials, the others wait for it.

use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use streamkit_protocol::limits::FRAME_BYTES_MAX;
use tokio::sync::{Mutex, MutexGuard};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};
use uuid::Uuid;

use crate::connection::Connection;
use crate::error::Error;
use crate::retry::RetryPolicy;
use crate::store::StoreClient;

/// Longest a single attempt to connect may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Publishes to one segment share a lane, in which one runs at a time; two segments share one by chance only.
const PUBLISH_LANES: usize = 256;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
type TokenSource = Arc<dyn Fn() -> TokenFuture + Send + Sync>;
type Hook<T> = Option<Arc<dyn Fn(T) + Send + Sync>>;

/// Callbacks about the connection; they must not block.
#[derive(Clone, Default)]
pub struct Hooks {
    dial_failed: Hook<String>,
    reconnected: Hook<u64>,
}

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

    /// Longest silence of the server within a call. 30 s unless set.
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
        let url = format!("{}/streamz", self.url.trim_end_matches('/'));
        Client {
            inner: Arc::new(Inner {
                url,
                settings: self,
                link: Mutex::new(Link::default()),
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
    url: String,
    settings: Builder,
    link: Mutex<Link>,
    publishing: [Mutex<()>; PUBLISH_LANES],
}

#[derive(Default)]
struct Link {
    current: Option<Arc<Connection>>,
    dialled: u64,
    closed: bool,
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

    /// Ends the connection. Calls in flight end with [`Error::ConnectionLost`], later ones with [`Error::Closed`].
    pub async fn close(&self) {
        let mut link = self.inner.link.lock().await;
        link.closed = true;
        if let Some(connection) = link.current.take() {
            connection.close();
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.wait_ended()).await;
        }
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.inner.settings.timeout
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
        let mut link = self.inner.link.lock().await;
        if link.closed {
            return Err(Error::Closed);
        }
        if let Some(connection) = link.current.as_ref().filter(|c| c.ended().is_none()) {
            return Ok(connection.clone());
        }
        let connection = self.inner.dial_with_retries().await?;
        link.current = Some(connection.clone());
        link.dialled += 1;
        if link.dialled > 1
            && let Some(hook) = &self.inner.settings.hooks.reconnected
        {
            hook(link.dialled);
        }
        Ok(connection)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(connection) = self.link.get_mut().current.take() {
            connection.close();
        }
    }
}

/// Why an attempt failed, and whether another can help.
enum DialError {
    Permanent(Error),
    Transient(String),
}

impl Inner {
    async fn dial_with_retries(&self) -> Result<Arc<Connection>, Error> {
        let retry = self.settings.retry;
        let mut failures = 0;
        loop {
            let cause = match tokio::time::timeout(DIAL_TIMEOUT, self.dial()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(DialError::Permanent(error))) => {
                    self.tell_failed(&error.to_string());
                    return Err(error);
                }
                Ok(Err(DialError::Transient(cause))) => cause,
                Err(_) => format!("no answer within {DIAL_TIMEOUT:?}"),
            };
            self.tell_failed(&cause);
            failures += 1;
            if failures >= retry.attempts {
                let url = self.url.clone();
                return Err(Error::Connect { url, cause });
            }
            tokio::time::sleep(retry.pause(failures)).await;
        }
    }

    fn tell_failed(&self, why: &str) {
        tracing::debug!(url = self.url, why, "dialling failed");
        if let Some(hook) = &self.settings.hooks.dial_failed {
            hook(why.to_owned());
        }
    }

    async fn dial(&self) -> Result<Arc<Connection>, DialError> {
        let invalid = |what: String| DialError::Permanent(Error::Invalid(what));
        let token = (self.settings.token)().await.map_err(DialError::Transient)?;
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|error| invalid(format!("bad address {:?}: {error}", self.url)))?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| invalid("the token contains characters that no header can carry".to_owned()))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        // Go servers refuse a handshake without one.
        request
            .headers_mut()
            .insert(header::ORIGIN, HeaderValue::from_static("http://localhost"));
        let config = WebSocketConfig::default()
            .read_buffer_size(16 << 10)
            .write_buffer_size(16 << 10)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        match tokio_tungstenite::connect_async_with_config(request, Some(config), true).await {
            Ok((socket, _)) => Ok(Connection::start(socket)),
            Err(tungstenite::Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(DialError::Permanent(Error::Unauthorized))
            }
            Err(tungstenite::Error::Http(response)) => Err(DialError::Transient(format!(
                "the server answered {}",
                response.status()
            ))),
            Err(tungstenite::Error::Url(error)) => Err(invalid(format!(
                "bad address {:?}: {error}; use ws://host:port",
                self.url
            ))),
            Err(error) => Err(DialError::Transient(error.to_string())),
        }
    }
}
