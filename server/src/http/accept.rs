//! Accepting connections: each has a deadline for its handshake, only so many are in it at a time ([`super::places`]), and
//! none of them can stop the others from being accepted: whoever accepts waits for nobody.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::DuplexStream;
use tokio::net::{TcpListener, TcpStream};

use super::guest::Guest;
use super::places::Place;
use super::server::Server;
use super::{undated, unheard};
use crate::metrics::Limit;
use crate::tls::{self, Certificates};
use crate::websocket::{Socket, Taken};

/// Pause after an error that more accepting cannot help: no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bytes on their way in each direction between a peer in this process and us: as many as a socket has at least.
const PIPE_BYTES: usize = 64 << 10;

/// Where peers in this process come from: nowhere on any network.
const IN_PROCESS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

impl Server {
    /// Serves [`Server::router`] on a listener until [`Server::shutdown`] is called. Prefer it to `axum::serve`, which
    /// waits for a handshake for ever.
    ///
    /// Cancel safe: dropped, it accepts no more; sessions go on.
    pub async fn serve(&self, listener: TcpListener) {
        self.accept(listener, None).await;
    }

    /// The same over TLS 1.2 or 1.3. The TLS handshake counts as a part of the connection's handshake, against the same limits. Files
    /// of certificates that change are taken within ten seconds, for who connects from then on.
    ///
    /// Cancel safe: dropped, it accepts no more; sessions go on.
    pub async fn serve_tls(&self, listener: TcpListener, certificates: Certificates) {
        let tell = |now: &Certificates| self.metrics().tls.certificate_expires(now.expires());
        tokio::select! {
            () = self.accept(listener, Some(&certificates)) => {}
            () = certificates.watch(tell) => {}
        }
    }

    async fn accept(&self, listener: TcpListener, certificates: Option<&Certificates>) {
        let stopping = self.stopping();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, address)) => self.receive(stream, address.ip(), certificates),
                // The peer was gone before we came to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Begins the handshake of a connection, unless its address comes too often. Waits for nothing.
    fn receive(&self, stream: TcpStream, from: IpAddr, certificates: Option<&Certificates>) {
        let is_too_often = !self.pace().admits(from, Instant::now());
        if is_too_often {
            self.metrics().peers.limit_hit(Limit::HandshakeRate);
            // Whoever would have to be told by TLS is not.
            if certificates.is_some() {
                return;
            }
        }
        // Frames are small and answers are waited for.
        let _ = stream.set_nodelay(true);
        let (server, config) = (self.clone(), certificates.map(Certificates::current));
        tokio::spawn(async move {
            let Some(place) = server.place(from).await else {
                return;
            };
            match config {
                _ if is_too_often => server.too_often(stream, place).await,
                None => server.plain(stream, place).await,
                Some(config) => server.secure(stream, config, place).await,
            }
        });
    }

    /// A stream of bytes to this server for a peer in the same process, which may be an HTTP client or the WebSocket client of a
    /// test: the whole handshake goes over it, with token and limits. All such peers count as one address.
    ///
    /// The session runs on the runtime this is called on. The peer ends it by dropping the stream.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionRefused`]: the server stops, or has stopped.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn in_process(&self) -> io::Result<DuplexStream> {
        if self.stopping().is_cancelled() {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let server = self.clone();
        tokio::spawn(async move {
            let Some(place) = server.place(IN_PROCESS).await else {
                return;
            };
            let (taken, deadline) = (Taken::default(), server.limits().handshake);
            server
                .handshake(Socket::memory(near, taken.clone()), taken, place, deadline)
                .await;
        });
        Ok(far)
    }

    /// A place in the handshake for who comes from an address; `None` if none is to be had in the time of a handshake.
    ///
    /// Cancel safe.
    async fn place(&self, from: IpAddr) -> Option<Place> {
        let stopping = self.stopping();
        let place = tokio::select! {
            place = tokio::time::timeout(self.limits().handshake, self.places().take(from)) => place.ok().flatten(),
            () = stopping.cancelled() => return None,
        };
        let Some((place, gave_way)) = place else {
            self.metrics().peers.limit_hit(Limit::Handshakes);
            return None;
        };
        if let Some(why) = gave_way {
            self.metrics().peers.handshake_gave_way(why);
        }
        Some(place)
    }

    async fn too_often(self, stream: TcpStream, place: Place) {
        let socket = Socket::tcp(stream, Taken::default());
        let answer = (
            StatusCode::TOO_MANY_REQUESTS,
            "too many connections of this address, wait a little\n",
        );
        let answered = unheard::answer(socket, self.limits().handshake, place.gives_way(), answer).await;
        answered.unwrap_or_else(|error| tracing::debug!(%error, "a connection ended before it was answered"));
    }

    async fn plain(self, stream: TcpStream, place: Place) {
        let (taken, deadline) = (Taken::default(), self.limits().handshake);
        self.handshake(Socket::tcp(stream, taken.clone()), taken, place, deadline)
            .await;
    }

    /// Speaks TLS first. What time that takes, the rest of the handshake has not.
    async fn secure(self, stream: TcpStream, config: Arc<ServerConfig>, place: Place) {
        if !undated::has_date(SystemTime::now()) {
            // TLS has no date then, either, so nobody can be told.
            tracing::error!("{}", undated::WHY);
            return;
        }
        let (taken, begun, deadline) = (Taken::default(), Instant::now(), self.limits().handshake);
        let stopping = self.stopping();
        let secured = tokio::select! {
            secured = tokio::time::timeout(deadline, Socket::tls(stream, config, taken.clone())) => secured,
            () = place.gives_way().cancelled() => return,
            () = stopping.cancelled() => return,
        };
        if secured.is_err() {
            self.metrics().peers.limit_hit(Limit::Handshake);
        }
        match secured.unwrap_or_else(|late| Err(late.into())) {
            Ok(socket) => {
                let left = deadline.saturating_sub(begun.elapsed()).max(Duration::from_millis(1));
                self.handshake(socket, taken, place, left).await;
            }
            Err(error) => {
                let reason = tls::reason(&error);
                tracing::debug!(%error, reason, "a connection ended in its TLS handshake");
                self.metrics().tls.handshake_failed(reason);
            }
        }
    }

    /// Speaks HTTP until the connection is upgraded or over. Its request's head is there by the deadline, or it ends.
    async fn handshake(self, socket: Socket, taken: Taken, place: Place, deadline: Duration) {
        if !undated::has_date(SystemTime::now()) {
            tracing::error!("{}", undated::WHY);
            let refused = undated::refuse(socket, deadline, place.gives_way()).await;
            return refused
                .unwrap_or_else(|error| tracing::debug!(%error, "a connection ended before it was answered"));
        }
        let router = self.router().layer(axum::Extension(taken.clone()));
        let guest = Guest::new(place, taken.clone());
        let answering = guest.clone();
        let answer = move |request| answering.clone().answer(router.clone(), request);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(deadline)
            .max_buf_size(unheard::HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(socket), service_fn(answer))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stopping = self.stopping();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = guest.gives_way().cancelled() => {
                taken.abandon();
                return;
            }
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            if guest.is_late(&error) {
                self.metrics().peers.limit_hit(Limit::Handshake);
            }
            tracing::debug!(%error, "a connection ended before it was upgraded");
        }
    }
}
