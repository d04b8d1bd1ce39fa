//! Stands before the real server and passes all on, but for one lie.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_wire_conformance::wire::frame::{Frame, frames, kind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

/// What a proxy knows of a connection.
#[derive(Default)]
pub struct Seen {
    /// The verb of each call.
    pub verbs: BTreeMap<u32, u8>,
    /// Messages of each channel so far, the one that is looked at among them.
    pub messages: BTreeMap<u32, usize>,
    /// What a lie keeps for later.
    pub kept: Vec<Frame>,
}

impl Seen {
    /// Whether a frame is of a call of this verb.
    pub fn is_of(&self, frame: &Frame, verb: u8) -> bool {
        self.verbs.get(&frame.channel) == Some(&verb)
    }
}

/// What becomes of a frame.
pub type Turn = fn(&mut Seen, Frame) -> Vec<Frame>;

/// A lie, told by whoever stands between.
#[derive(Clone, Copy)]
pub struct Lie {
    /// What it does.
    pub name: &'static str,
    /// The check that catches it.
    pub caught_by: &'static str,
    /// What becomes of a frame of the client.
    pub asked: Turn,
    /// What becomes of a frame of the server.
    pub told: Turn,
}

/// Passes a frame on.
pub fn as_it_is(_: &mut Seen, frame: Frame) -> Vec<Frame> {
    vec![frame]
}

/// A proxy before a server; it ends with its task.
pub async fn before(server: SocketAddr, lie: Lie) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move { connection(client, server, lie).await });
        }
    });
    (address, accepting)
}

/// One connection. The handshake passes as it is, whatever it says.
async fn connection(mut client: TcpStream, server: SocketAddr, lie: Lie) -> Option<()> {
    let mut upstream = TcpStream::connect(server).await.ok()?;
    let asked = head(&mut client).await?;
    upstream.write_all(&asked).await.ok()?;
    let told = head(&mut upstream).await?;
    client.write_all(&told).await.ok()?;
    if !String::from_utf8_lossy(&told).contains("streamkit.v2") {
        tokio::io::copy_bidirectional(&mut client, &mut upstream).await.ok()?;
        return Some(());
    }
    let mut client = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
    let mut server = WebSocketStream::from_raw_socket(upstream, Role::Client, None).await;
    let mut seen = Seen::default();
    loop {
        tokio::select! {
            message = client.next() => {
                let message = message?.ok()?;
                let message = through(message, &mut seen, lie.asked);
                if let Some(message) = message {
                    server.send(message).await.ok()?;
                }
            }
            message = server.next() => {
                let message = message?.ok()?;
                let message = through(message, &mut seen, lie.told);
                if let Some(message) = message {
                    client.send(message).await.ok()?;
                }
            }
        }
    }
}

/// The head of a request or an answer, byte by byte: what is behind it stays where it is.
async fn head(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(head)
}

fn through(message: Message, seen: &mut Seen, turn: Turn) -> Option<Message> {
    let Message::Binary(bytes) = &message else {
        return Some(message);
    };
    // What is no row of frames is the client's own lie.
    let Ok(frames) = frames(bytes) else {
        return Some(message);
    };
    let mut out = Vec::new();
    for frame in frames {
        match frame.kind {
            kind::CALL => {
                seen.verbs
                    .insert(frame.channel, frame.body.first().copied().unwrap_or(0));
            }
            kind::DATA => *seen.messages.entry(frame.channel).or_default() += 1,
            _ => {}
        }
        out.extend(turn(seen, frame).iter().flat_map(Frame::encode));
    }
    (!out.is_empty()).then(|| Message::Binary(out.into()))
}
