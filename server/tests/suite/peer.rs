//! A server on a free port, and a peer that speaks raw frames to it.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_client::{Builder, Client};
use streamkit_engine::{Engine, EngineConfig, Stores};
use streamkit_protocol::{Control, Frame, FrameHead, Request, Terminal};
use streamkit_server_core::{Authenticate, Key, Limits, Server};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::via::{Stream, Via};

pub const STORE: Uuid = Uuid::from_u128(0x6f1c1e0e_3c0b_4e9e_9a51_0a6f3f2d9b10);
pub const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// Generous: for events that come, sooner or later.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where clients in this process find a server: none while it restarts.
pub type Door = Arc<Mutex<Option<Server>>>;

/// Through the door, to whichever server is behind it now.
fn through(door: &Door) -> io::Result<DuplexStream> {
    match &*door.lock().unwrap() {
        Some(server) => server.in_process(),
        None => Err(ErrorKind::ConnectionRefused.into()),
    }
}

/// The way to a server, for what stands between it and a client.
#[derive(Clone)]
pub enum Way {
    Socket(String),
    Memory(Door),
}

impl Way {
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Socket(address) => Box::new(TcpStream::connect(address).await?),
            Self::Memory(door) => Box::new(through(door)?),
        })
    }
}

pub struct Host {
    pub url: String,
    /// One that nothing else uses.
    pub store: Uuid,
    pub server: Server,
    pub engine: Engine,
    serving: tokio::task::JoinHandle<()>,
    dir: Arc<tempfile::TempDir>,
    pub via: Via,
    door: Door,
}

impl Host {
    pub async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    /// One whose clients come this way.
    pub async fn via(via: Via) -> Self {
        Self::start().await.by(via)
    }

    /// The same, whose clients come this way.
    pub fn by(self, via: Via) -> Self {
        Self { via, ..self }
    }

    pub async fn with_limits(limits: Limits) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), limits, "127.0.0.1:0").await
    }

    async fn on(dir: Arc<tempfile::TempDir>, limits: Limits, address: &str) -> Self {
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config))
            .await
            .unwrap()
            .unwrap();
        Self::over(Arc::new(engine.clone()), engine, dir, limits, address).await
    }

    pub async fn over(
        stores: Arc<dyn Stores>,
        engine: Engine,
        dir: Arc<tempfile::TempDir>,
        limits: Limits,
        address: &str,
    ) -> Self {
        let auth = Key::hs256(SECRET).unwrap();
        Self::knowing(auth, stores, engine, dir, limits, address).await
    }

    /// One that lets others in.
    pub async fn letting_in(auth: impl Authenticate) -> Self {
        Self::letting_in_with(auth, Limits::default()).await
    }

    /// The same with these limits.
    pub async fn letting_in_with(auth: impl Authenticate, limits: Limits) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let config = EngineConfig::new(dir.path());
        let engine = tokio::task::spawn_blocking(|| Engine::open(config))
            .await
            .unwrap()
            .unwrap();
        Self::knowing(auth, Arc::new(engine.clone()), engine, dir, limits, "127.0.0.1:0").await
    }

    async fn knowing(
        auth: impl Authenticate,
        stores: Arc<dyn Stores>,
        engine: Engine,
        dir: Arc<tempfile::TempDir>,
        limits: Limits,
        address: &str,
    ) -> Self {
        let server = Server::new(stores, auth, limits);
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let door = Door::new(Mutex::new(Some(server.clone())));
        let accepting = server.clone();
        let serving = tokio::spawn(async move { accepting.serve(listener).await });
        Self {
            url,
            store: STORE,
            server,
            engine,
            serving,
            dir,
            via: Via::Sockets,
            door,
        }
    }

    /// A client that may do everything.
    pub fn client(&self) -> Builder {
        let client = match self.via {
            Via::Sockets | Via::V1 => Client::builder(format!("{}/", self.url)),
            Via::InProcess => {
                let door = self.door.clone();
                Client::builder("ws://in-process").transport(move || std::future::ready(through(&door)))
            }
        };
        client.token(token(&["streamkit::*"])).protocol(self.via.protocol())
    }

    /// How one comes to it, also when it has started again.
    pub fn way(&self) -> Way {
        match self.via {
            Via::Sockets | Via::V1 => Way::Socket(self.url.trim_start_matches("ws://").to_owned()),
            Via::InProcess => Way::Memory(self.door.clone()),
        }
    }

    /// Its data directory.
    pub fn data(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Stops it and starts it again on the same folder and port.
    pub async fn restart(self) -> Self {
        let (dir, via, door) = (self.dir.clone(), self.via, self.door.clone());
        let address = self.url.trim_start_matches("ws://").to_owned();
        self.stop().await;
        let host = Self::on(dir, Limits::default(), &address).await;
        *door.lock().unwrap() = Some(host.server.clone());
        Self { via, door, ..host }
    }

    pub async fn stop(self) {
        self.door.lock().unwrap().take();
        self.serving.abort();
        self.server.shutdown().await;
        self.engine.close().await;
    }

    pub async fn connect(&self) -> Peer {
        self.connect_with(&token(&["streamkit::*"])).await.unwrap()
    }

    pub async fn connect_with(&self, token: &str) -> Result<Peer, Error> {
        connect(&self.url, token).await
    }
}

/// What asks for a WebSocket.
pub fn request(url: &str, token: &str) -> tokio_tungstenite::tungstenite::handshake::client::Request {
    let mut request = format!("{url}/streamz").into_client_request().unwrap();
    request
        .headers_mut()
        .insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

pub async fn connect(url: &str, token: &str) -> Result<Peer, Error> {
    let (socket, response) = tokio_tungstenite::connect_async(request(url, token)).await?;
    assert!(response.headers().get("sec-websocket-protocol").is_none());
    assert!(response.headers().get("sec-websocket-extensions").is_none());
    Ok(Peer {
        socket,
        answers_pings: false,
    })
}

pub fn token(scopes: &[&str]) -> String {
    let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
    Key::hs256(SECRET)
        .unwrap()
        .mint(&scopes, Duration::from_secs(3600))
        .unwrap()
}

pub struct Peer<S = MaybeTlsStream<tokio::net::TcpStream>> {
    pub socket: WebSocketStream<S>,
    /// As clients do; most tests are over before they are asked.
    pub answers_pings: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub async fn send_text(&mut self, text: String) {
        self.socket.send(Message::Text(text.into())).await.unwrap();
    }

    pub async fn send(&mut self, head: FrameHead, message: &[u8]) {
        self.send_text(String::from_utf8(head.data(message)).unwrap()).await;
    }

    /// Opens a channel with a request.
    pub async fn open(&mut self, request: &Request) -> FrameHead {
        self.open_in(STORE, request).await
    }

    /// The same in another store.
    pub async fn open_in(&mut self, store: Uuid, request: &Request) -> FrameHead {
        let head = FrameHead::new(store, Uuid::new_v4());
        self.send(head, &request.encode()).await;
        head
    }

    /// The next frame that is no ping; `None` when the connection ends.
    pub async fn frame(&mut self) -> Option<Frame> {
        loop {
            let next = tokio::time::timeout(Duration::from_secs(20), self.socket.next()).await;
            match next.expect("the server is silent") {
                Some(Ok(Message::Text(text))) => {
                    let frame = Frame::decode(text.as_bytes()).unwrap();
                    if frame.control != Control::Ping {
                        return Some(frame);
                    }
                    if self.answers_pings {
                        self.send_text(String::from_utf8(Frame::connection(Control::Pong).encode()).unwrap())
                            .await;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// The messages of a channel and how it ended. Frames of other channels must not come.
    pub async fn finish(&mut self, head: FrameHead) -> (Vec<String>, Terminal) {
        let mut messages = Vec::new();
        loop {
            let frame = self.frame().await.expect("the connection ended");
            assert_eq!((frame.store_id, frame.channel_id), (head.store_id, head.channel_id));
            let message = frame.message();
            if let Some(terminal) = Terminal::decode(&message) {
                return (messages, terminal);
            }
            messages.push(String::from_utf8(message.to_vec()).unwrap());
        }
    }

    /// A request that sends nothing more.
    pub async fn call(&mut self, request: &Request) -> (Vec<String>, Terminal) {
        let head = self.open(request).await;
        self.finish(head).await
    }

    /// Produces messages as they are and half-closes.
    pub async fn produce(&mut self, space: &str, segment: &str, records: &[&str]) -> (Vec<String>, Terminal) {
        let head = self.open(&produce(space, segment)).await;
        for record in records {
            self.send(head, record.as_bytes()).await;
        }
        self.send(head, &Terminal::Close.encode()).await;
        self.finish(head).await
    }

    /// Is the connection alive, and is nothing left over on it?
    pub async fn answers_ping(&mut self) {
        self.send_text(String::from_utf8(Frame::connection(Control::Ping).encode()).unwrap())
            .await;
        assert_eq!(self.frame().await.expect("the connection ended").control, Control::Pong);
    }
}

pub fn produce(space: &str, segment: &str) -> Request {
    Request::Produce(streamkit_protocol::Produce {
        space: space.into(),
        segment: segment.into(),
    })
}

pub fn peek(space: &str, segment: &str) -> Request {
    Request::Peek(streamkit_protocol::Peek {
        space: space.into(),
        segment: segment.into(),
    })
}

pub fn consume(space: &str, segment: &str) -> streamkit_protocol::ConsumeSegment {
    streamkit_protocol::ConsumeSegment {
        space: space.into(),
        segment: segment.into(),
        ..Default::default()
    }
}

pub fn record(sequence: u64) -> String {
    format!("{{\"sequence\":{sequence},\"payload\":\"eA==\"}}")
}

pub fn refused(why: &str) -> Terminal {
    Terminal::CloseError(why.to_owned())
}
