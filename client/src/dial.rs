//! Making a connection: address, token, handshake, retries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use streamkit_protocol::limits::FRAME_BYTES_MAX;
use streamkit_protocol::{FRAMES_HEADER, FRAMES_IN_ORDER};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};

use crate::connected::Connected;
use crate::error::Error;
use crate::handshake::shake;
use crate::hooks::Hooks;
use crate::metrics::Counters;
use crate::progress::{Metered, Progress};
use crate::retry::RetryPolicy;
use crate::terms::Terms;
use crate::tls::{Failed, Tls};
use crate::tls_error::TlsError;
use crate::token;
use crate::transport::{Target, Way, network};
use crate::version::Protocol;
use crate::{duplex, v2};

/// Longest a single attempt to connect may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// What we say that we come from: Go servers refuse a handshake without one.
const ORIGIN: &str = "http://localhost";

/// Characters of a refusal that are passed on.
const SAID_MAX: usize = 200;

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, String>> + Send>>;
pub(crate) type TokenSource = Arc<dyn Fn() -> TokenFuture + Send + Sync>;
/// What it takes to make a connection.
#[derive(Clone)]
pub(crate) struct Dialler {
    pub(crate) url: String,
    pub(crate) way: Way,
    pub(crate) token: TokenSource,
    pub(crate) retry: RetryPolicy,
    pub(crate) hooks: Hooks,
    /// Where all is counted.
    pub(crate) counters: Arc<Counters>,
    /// The newest version that is offered.
    pub(crate) protocol: Protocol,
    /// Whether frames may be compressed.
    pub(crate) compresses: bool,
}

/// Why an attempt failed, and whether another can help.
enum DialError {
    Permanent(Error),
    Transient(String),
}

impl DialError {
    fn of(failed: Failed, url: &str) -> Self {
        match failed {
            Failed::Tls(why) => Self::Permanent(Error::Tls {
                url: url.to_owned(),
                why,
            }),
            Failed::Io(error) => Self::Transient(error.to_string()),
        }
    }
}

impl Dialler {
    /// Dials until there is a connection, the server refuses the token, or the attempts are used up.
    pub(crate) async fn dial_with_retries(&self) -> Result<Connected, Error> {
        let retry = self.retry;
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
        self.counters.dial_failed();
        tracing::debug!(url = self.url, why, "dialling failed");
        if let Some(hook) = &self.hooks.dial_failed {
            hook(why.to_owned());
        }
    }

    async fn dial(&self) -> Result<Connected, DialError> {
        let invalid = |what: String| DialError::Permanent(Error::Invalid(what));
        let token = (self.token)().await.map_err(DialError::Transient)?;
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|error| invalid(format!("bad address {:?}: {error}", self.url)))?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| invalid("the token contains characters that no header can carry".to_owned()))?;
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        request
            .headers_mut()
            .insert(header::ORIGIN, HeaderValue::from_static(ORIGIN));
        // Ours go through one queue, to one writer. Go servers ignore it.
        request
            .headers_mut()
            .insert(FRAMES_HEADER, HeaderValue::from_static(FRAMES_IN_ORDER));
        let target = target(&self.url, request.uri()).map_err(DialError::Permanent)?;
        let bytes = self.way.connect(&target).await;
        let bytes = bytes.map_err(|failed| DialError::of(failed, &self.url))?;
        let progress = Progress::new();
        let metered = Metered::new(bytes, progress.clone(), self.counters.clone());
        match shake(request, metered, self.protocol, config).await {
            Ok((socket, answer, version)) => {
                let terms = Terms::new(&token, &answer)
                    .compressing(self.compresses)
                    .counted(self.counters.clone());
                match version {
                    Protocol::V1 => Ok(Connected::V1(duplex::start(socket, progress, terms))),
                    Protocol::V2 => {
                        let opened = v2::open(socket, progress, terms, self.hooks.trace.clone()).await;
                        opened.map(Connected::V2).map_err(DialError::Transient)
                    }
                }
            }
            Err(tungstenite::Error::Http(response)) if response.status() == StatusCode::UNAUTHORIZED => {
                Err(DialError::Permanent(token::refused(&token)))
            }
            // The token is good, and who brings it may not come in all the same.
            Err(tungstenite::Error::Http(response)) if response.status() == StatusCode::FORBIDDEN => {
                Err(DialError::Permanent(forbidden(&self.url, response.body().as_deref())))
            }
            Err(tungstenite::Error::Http(response)) => Err(DialError::Transient(format!(
                "the server answered {}",
                response.status()
            ))),
            // With TLS 1.3 a server says only now what it thinks of our certificate.
            Err(tungstenite::Error::Io(error)) => Err(DialError::of(self.way.failed(error), &self.url)),
            Err(tungstenite::Error::Protocol(ProtocolError::HttparseError(_))) if !target.is_secure => {
                Err(DialError::of(Failed::Tls(TlsError::NotDialled), &self.url))
            }
            Err(error) => Err(DialError::Transient(error.to_string())),
        }
    }
}

/// What the library may take and keep.
fn config(version: Protocol) -> WebSocketConfig {
    let (buffer, most) = match version {
        Protocol::V1 => (16 << 10, FRAME_BYTES_MAX),
        Protocol::V2 => (64 << 10, 2 * streamkit_protocol::v2::FRAME_BYTES_MAX),
    };
    WebSocketConfig::default()
        .read_buffer_size(buffer)
        .write_buffer_size(16 << 10)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

/// That a server lets us not come in, with what it says.
fn forbidden(url: &str, said: Option<&[u8]>) -> Error {
    let said = String::from_utf8_lossy(said.unwrap_or_default());
    let line = said.lines().next().unwrap_or_default();
    let line: String = line.chars().take(SAID_MAX).collect();
    let why = if line.is_empty() { line } else { format!(": {line}") };
    Error::Refused(format!("{url} answers 403 Forbidden to the origin {ORIGIN}{why}"))
}

fn target(url: &str, uri: &Uri) -> Result<Target, Error> {
    let invalid = || Error::Invalid(format!("bad address {url:?}: use ws://host:port or wss://host:port"));
    Target::of(uri).ok_or_else(invalid)
}

/// A stream of bytes to the server at a base address, over TCP, or over TLS if the address begins with `wss` or `https`: for requests
/// beside the protocol, such as `GET /readyz`. It has no deadline of its own.
///
/// # Errors
/// [`Error::Invalid`], [`Error::Connect`], [`Error::Tls`].
pub async fn connect(url: &str, tls: &Tls) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Error> {
    let uri = url.parse::<Uri>();
    let uri = uri.map_err(|error| Error::Invalid(format!("bad address {url:?}: {error}")))?;
    match network(&target(url, &uri)?, tls).await {
        Ok(bytes) => Ok(bytes),
        Err(failed) => Err(match DialError::of(failed, url) {
            DialError::Permanent(error) => error,
            DialError::Transient(cause) => {
                let url = url.to_owned();
                Error::Connect { url, cause }
            }
        }),
    }
}
