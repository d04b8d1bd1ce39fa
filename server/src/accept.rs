//! Accepting connections: each has a deadline for its handshake, only so many are in it at a time, and none of them can stop
//! the others from being accepted for longer than that.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::http::Server;
use crate::socket::{Socket, Taken};

/// Pause after an error that more accepting cannot help: no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves [`Server::router`] on a listener until [`Server::shutdown`] is called. Prefer it to `axum::serve`, which
    /// waits for a handshake for ever.
    ///
    /// Cancel safe: dropped, it accepts no more; sessions go on.
    pub async fn serve(&self, listener: TcpListener) {
        let stopping = self.stopping();
        let handshakes = Arc::new(Semaphore::new(
            self.limits().handshakes.clamp(1, Semaphore::MAX_PERMITS),
        ));
        loop {
            let next = async {
                // Who comes when too many are here waits in the listener's queue.
                let place = handshakes.clone().acquire_owned().await;
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                next = next => next,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let handshake = Arc::new(self.clone()).handshake(stream);
                    tokio::spawn(async move {
                        handshake.await;
                        drop(place);
                    });
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
    async fn handshake(self: Arc<Self>, stream: TcpStream) {
        // Frames are small and answers are waited for.
        let _ = stream.set_nodelay(true);
        let taken = Taken::default();
        let router = self.router().layer(axum::Extension(taken.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits().handshake)
            .serve_connection(
                TokioIo::new(Socket::new(stream, taken)),
                TowerToHyperService::new(router),
            )
            .with_upgrades();
        let mut connection = std::pin::pin!(connection);
        let stopping = self.stopping();
        let ended = tokio::select! {
            ended = &mut connection => ended,
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
