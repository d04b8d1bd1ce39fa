//! The ways from a client to a server: sockets, or memory within this process, and in which version of the protocol. What a client
//! promises holds over all.

use std::io::ErrorKind;

use streamkit_client::{Builder, Client, Protocol};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Via {
    Sockets,
    InProcess,
    /// Over sockets, by a client that does not offer v2.
    V1,
}

impl Via {
    /// What a client offers.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::V1 => Protocol::V1,
            Self::Sockets | Self::InProcess => Protocol::V2,
        }
    }
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a server of a test's own waits for its clients.
pub enum Listener {
    Sockets(TcpListener),
    InProcess(mpsc::UnboundedReceiver<DuplexStream>),
}

impl Listener {
    /// It, and a client of it whose token is `t`.
    pub async fn new(via: Via) -> (Self, Builder) {
        match via {
            Via::Sockets | Via::V1 => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("ws://{}", listener.local_addr().unwrap());
                let client = Client::builder(url).token("t").protocol(via.protocol());
                (Self::Sockets(listener), client)
            }
            Via::InProcess => {
                let (sender, clients) = mpsc::unbounded_channel();
                let connect = move || {
                    let (near, far) = tokio::io::duplex(64 << 10);
                    let sent = sender.send(far);
                    std::future::ready(sent.map(|()| near).map_err(|_| ErrorKind::ConnectionRefused.into()))
                };
                let client = Client::builder("ws://in-process").transport(connect).token("t");
                (Self::InProcess(clients), client)
            }
        }
    }

    /// The next client.
    pub async fn accept(&mut self) -> Box<dyn Stream> {
        match self {
            Self::Sockets(listener) => {
                let (tcp, _) = listener.accept().await.unwrap();
                // What is sent is on its way at once: a reset would discard what waits to be sent with the next.
                tcp.set_nodelay(true).unwrap();
                Box::new(tcp)
            }
            Self::InProcess(clients) => match clients.recv().await {
                Some(stream) => Box::new(stream),
                // As with sockets: nobody may come any more, and one waits.
                None => std::future::pending().await,
            },
        }
    }
}
