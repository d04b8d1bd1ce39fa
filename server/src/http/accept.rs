//! Accepting connections: each has a deadline for its handshake, only so many are in it at a time ([`super::places`]), and
//! none of them can stop the others from being accepted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{Request, Response};
use hyper::body::Body as _;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service as _;

use super::places::{Place, Places};
use super::server::Server;
use super::undated;
use crate::websocket::{Socket, Taken};

/// Pause after an error that more accepting cannot help: no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An answer that fits into any socket: whoever does not take it may be sent away.
const SMALL_ANSWER_BYTES: u64 = 16 << 10;

impl Server {
    /// Serves [`Server::router`] on a listener until [`Server::shutdown`] is called. Prefer it to `axum::serve`, which
    /// waits for a handshake for ever.
    ///
    /// Cancel safe: dropped, it accepts no more; sessions go on.
    pub async fn serve(&self, listener: TcpListener) {
        let stopping = self.stopping();
        let limits = self.limits();
        let places = Places::new(limits.handshakes, limits.handshakes_per_address);
        loop {
            let next = async {
                let (stream, address) = listener.accept().await?;
                std::io::Result::Ok((stream, places.take(address.ip()).await))
            };
            let accepted = tokio::select! {
                next = next => next,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, (place, gave_way))) => {
                    if let Some(why) = gave_way {
                        self.metrics().peers.handshake_gave_way(why);
                    }
                    tokio::spawn(Arc::new(self.clone()).handshake(stream, place));
                }
                // The peer was gone before we came to it.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::error!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Speaks HTTP until the connection is upgraded or over.
    async fn handshake(self: Arc<Self>, stream: TcpStream, place: Place) {
        // Frames are small and answers are waited for.
        let _ = stream.set_nodelay(true);
        let taken = Taken::default();
        if !undated::has_date(SystemTime::now()) {
            tracing::error!("{}", undated::WHY);
            let refused = undated::refuse(Socket::new(stream, taken), self.limits().handshake, place.gives_way()).await;
            return refused
                .unwrap_or_else(|error| tracing::debug!(%error, "a connection ended before it was answered"));
        }
        let place = Arc::new(place);
        let router = self.router().layer(axum::Extension(taken.clone()));
        let guest = place.clone();
        let answer = move |request: Request<hyper::body::Incoming>| {
            guest.busy(true);
            let (guest, answered) = (guest.clone(), router.clone().call(request));
            async move {
                let answer = answered.await;
                let small = |answer: &Response<axum::body::Body>| {
                    let bytes = answer.body().size_hint().upper();
                    bytes.is_some_and(|bytes| bytes <= SMALL_ANSWER_BYTES)
                };
                if answer.as_ref().is_ok_and(small) {
                    guest.busy(false);
                }
                answer
            }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits().handshake)
            .serve_connection(TokioIo::new(Socket::new(stream, taken.clone())), service_fn(answer))
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stopping = self.stopping();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = place.gives_way().cancelled() => {
                taken.abandon();
                return;
            }
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended before it was upgraded");
        }
    }
}
