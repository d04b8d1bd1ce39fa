//! Accepting connections: each has a deadline for its handshake, and none of them can stop the others from being accepted.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::http::Server;

/// Pause after an error that more accepting cannot help: no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Server {
    /// Serves [`Server::router`] on a listener until [`Server::shutdown`] is called. Prefer it to `axum::serve`, which
    /// waits for a handshake for ever.
    ///
    /// Cancel safe: dropped, it accepts no more; sessions go on.
    pub async fn serve(&self, listener: TcpListener) {
        let stopping = self.stopping();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopping.cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::new(self.clone()).handshake(stream));
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
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits().handshake)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(self.router()))
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
