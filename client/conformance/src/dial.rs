//! The handshake: a WebSocket to the server, and what it answered.

use std::time::Duration;

use streamkit_client::{Tls, connect};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self};

/// Bytes to a server and back.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A WebSocket to the server.
pub type Socket = WebSocketStream<Box<dyn Duplex>>;

/// Where the server is.
#[derive(Clone)]
pub struct Server {
    /// Its address, `/streamz` included.
    pub url: String,
    /// Whom the client trusts.
    pub tls: Tls,
}

/// What a handshake came to.
pub enum Shaken {
    /// A WebSocket, and the subprotocol that the server answered.
    Open(Box<Socket>, Option<String>),
    /// An answer of HTTP.
    Refused(u16),
}

/// More than the largest frame that a client has to take.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

impl Server {
    /// The server at an address; its path may be left out.
    pub fn at(url: &str, tls: Tls) -> Self {
        let base = url.trim_end_matches('/');
        let has_path = base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
        let url = match has_path {
            true => base.to_owned(),
            false => format!("{base}/streamz"),
        };
        Self { url, tls }
    }

    /// Dials, with these subprotocols and this token.
    ///
    /// # Errors
    /// There is no server, or it is none of WebSockets.
    pub async fn dial(&self, offered: &str, token: &str, wait: Duration) -> Result<Shaken, String> {
        let shaken = tokio::time::timeout(wait, self.shake(offered, token)).await;
        shaken.map_err(|_| format!("no answer of {} within {wait:?}", self.url))?
    }

    async fn shake(&self, offered: &str, token: &str) -> Result<Shaken, String> {
        let said = |error: tungstenite::Error| format!("{}: {error}", self.url);
        let mut request = self.url.as_str().into_client_request().map_err(said)?;
        let mut set = |name, value: &str| {
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            request.headers_mut().insert(name, value);
            Ok::<_, String>(())
        };
        if !token.is_empty() {
            set(header::AUTHORIZATION, &format!("Bearer {token}"))?;
        }
        if !offered.is_empty() {
            set(header::SEC_WEBSOCKET_PROTOCOL, offered)?;
        }
        set(header::ORIGIN, "http://localhost")?;
        let stream = connect(&self.url, &self.tls).await;
        let stream: Box<dyn Duplex> = Box::new(stream.map_err(|error| error.to_string())?);
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, answer)) => {
                let chosen = answer.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
                let chosen = chosen.map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
                Ok(Shaken::Open(Box::new(socket), chosen))
            }
            Err(tungstenite::Error::Http(answer)) => Ok(Shaken::Refused(answer.status().as_u16())),
            Err(error) => Err(said(error)),
        }
    }
}
