//! How a client gets a fresh stream of bytes to its server: over the network, or in a way of its caller's.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::http::Uri;

use crate::tls::{Failed, Tls};

/// A way to a server, asked for a stream at each dial; the WebSocket handshake with its token goes over that. Also any closure that
/// returns a future of a stream is one. Given to [`Builder::transport`](crate::Builder::transport).
pub trait Transport: Send + Sync + 'static {
    /// Bytes to the server and back.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// A fresh stream.
    ///
    /// # Errors
    /// There is no way to the server now. The client's [`RetryPolicy`](crate::RetryPolicy) says how often it tries again.
    fn connect(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl<F, Fut, S> Transport for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Stream = S;

    fn connect(&self) -> impl Future<Output = io::Result<S>> + Send {
        self()
    }
}

type Connecting = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send>>;

/// A way to the server of a client.
#[derive(Clone)]
pub(crate) enum Way {
    /// To the host and the port in its address, over TLS where that says so.
    Network(Tls),
    /// Its caller's.
    Own(Arc<dyn Fn() -> Connecting + Send + Sync>),
}

impl Way {
    pub(crate) fn own(transport: impl Transport) -> Self {
        let transport = Arc::new(transport);
        Self::Own(Arc::new(move || {
            let transport = transport.clone();
            Box::pin(async move { Ok(Bytes::Own(Box::new(transport.connect().await?))) })
        }))
    }

    /// A fresh stream to the server.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Bytes, Failed> {
        match self {
            Self::Network(tls) => network(target, tls).await,
            Self::Own(connect) => Ok(connect().await?),
        }
    }

    /// What an error of such a stream means.
    pub(crate) fn failed(&self, error: io::Error) -> Failed {
        match self {
            Self::Network(tls) => tls.failed(error),
            Self::Own(_) => Failed::Io(error),
        }
    }
}

/// Where a server is on the network.
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) is_secure: bool,
}

impl Target {
    /// The one in an address: `ws` and `wss`, or `http` and `https`, which are the same.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let (is_secure, usual) = match uri.scheme_str()? {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => return None,
        };
        Some(Self {
            host: uri.host().filter(|host| !host.is_empty())?.to_owned(),
            port: uri.port_u16().unwrap_or(usual),
            is_secure,
        })
    }
}

/// Over TCP, and TLS if that is asked for.
pub(crate) async fn network(target: &Target, tls: &Tls) -> Result<Bytes, Failed> {
    let tcp = TcpStream::connect(format!("{}:{}", target.host, target.port)).await?;
    tcp.set_nodelay(true)?;
    match target.is_secure {
        false => Ok(Bytes::Tcp(tcp)),
        true => Ok(Bytes::Tls(Box::new(tls.secure(&target.host, tcp).await?))),
    }
}

/// What a caller's transport gives.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Bytes to a server and back.
pub(crate) enum Bytes {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Own(Box<dyn Duplex>),
}

/// Does the same with whichever it is.
macro_rules! whichever {
    ($bytes:expr, $stream:ident => $does:expr) => {
        match $bytes {
            Bytes::Tcp($stream) => $does,
            Bytes::Tls($stream) => $does,
            Bytes::Own($stream) => $does,
        }
    };
}

impl AsyncRead for Bytes {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Bytes {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        whichever!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
