//! A connection's bytes, behind the handshake and below the WebSocket. What it reads of a large message waits for room that
//! is shared with others: the library would take it all in, message by message without an end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::ahead::Ahead;
use super::assembly::{Assembly, Size};
use super::form::Form;
use crate::metrics::Traffic;

/// The WebSocket over it.
pub(crate) type WebSocket = WebSocketStream<Stream>;

/// Buffer of the WebSocket reader, bytes. Every idle connection has one, and the library fills all of it with zeroes whenever it looks
/// for more, as it does after each write. The library's default is 128 KiB.
const READ_BUFFER_BYTES: usize = 2 << 10;

/// Bytes that the WebSocket writer gathers before it writes.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// Bytes of an unfinished message that a connection may always have.
pub(super) const ALWAYS_BYTES: u64 = 16 << 10;

/// The connection.
pub(crate) struct Stream {
    io: TokioIo<Upgraded>,
    ahead: Ahead,
    assembly: Assembly,
    form: Form,
    /// Bytes that the message which arrives may have.
    granted: u64,
    read: u64,
    written: u64,
    traffic: Traffic,
}

impl Stream {
    /// A WebSocket over an upgraded connection.
    pub(crate) async fn open(upgraded: Upgraded, form: Form, traffic: Traffic) -> WebSocket {
        let stream = Self {
            io: TokioIo::new(upgraded),
            ahead: Ahead::default(),
            assembly: Assembly::default(),
            form,
            granted: ALWAYS_BYTES,
            read: 0,
            written: 0,
            traffic,
        };
        WebSocketStream::from_raw_socket(stream, Role::Server, Some(config(form))).await
    }

    /// Bytes that the peer has sent.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Bytes that the peer has taken, or its host for it.
    pub(super) fn bytes_written(&self) -> u64 {
        self.written
    }

    fn wrote(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.traffic.sent(bytes as u64);
    }

    /// The room that the message which arrives needs and has not: until it is granted, nothing is read.
    pub(super) fn needs(&self) -> Option<u64> {
        let needs = match self.assembly.size() {
            Size::Known(bytes) => bytes,
            Size::AtLeast(bytes) if bytes <= ALWAYS_BYTES => bytes,
            Size::AtLeast(bytes) => bytes.max(self.form.bytes_max() as u64),
        };
        (needs > self.granted).then_some(needs)
    }

    /// Grants room to the message that arrives.
    pub(super) fn grant(&mut self, bytes: u64) {
        self.granted = bytes.max(ALWAYS_BYTES);
    }

    /// Whether no part of a frame, or of a message, is here.
    pub(super) fn is_between_messages(&self) -> bool {
        self.assembly.is_between()
    }
}

fn config(form: Form) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(form.bytes_max()))
        .max_frame_size(Some(form.bytes_max()))
}

/// A WebSocket without the buffers that large messages have left in it, which the library keeps as long as the connection.
/// To be called when all is written and nothing of a message is here, so that they are empty.
pub(super) fn renewed(socket: WebSocket, form: Form) -> Option<WebSocket> {
    WebSocketStream::from_raw_socket(socket.into_inner(), Role::Server, Some(config(form))).now_or_never()
}

impl AsyncRead for Stream {
    /// Pending also while [`Stream::needs`] something: whoever grants it polls again.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.needs().is_some() {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let Self { io, ahead, .. } = &mut *self;
        ready!(ahead.poll_read(Pin::new(io), cx, buf))?;
        let bytes = &buf.filled()[before..];
        self.read += bytes.len() as u64;
        self.traffic.received(bytes.len() as u64);
        self.assembly.read(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs))?;
        self.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
