//! The task of a connection: it reads and routes incoming messages, and writes the queue.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use streamkit_protocol::limits::{DEAD_AFTER, PING_PERIOD_MAX, PING_PERIOD_MIN};
use streamkit_protocol::{Control, Frame, Terminal};
use tokio_tungstenite::tungstenite::Message;

use crate::connection::{Connection, Inbound};
use crate::outgoing::Queued;
use crate::progress::Progress;
use crate::terms::Terms;
use crate::wire::{Socket, WRITE_DEADLINE, Wire};

/// Starts the task of a fresh socket, whose writes move `progress`.
pub(crate) fn start(socket: Socket, progress: Arc<Progress>, terms: Terms) -> Arc<Connection> {
    let (connection, queued) = Connection::new(progress.clone(), terms);
    let queued = Queued::new(queued, connection.clone());
    let wire = Wire::new(socket, queued, progress, WRITE_DEADLINE);
    tokio::spawn(run(wire, connection.clone()));
    connection
}

/// Reads, routes and writes until the connection is over, in one task: a socket has one waker then, not two that wake each
/// other for nothing.
async fn run(mut wire: Wire<Queued>, connection: Arc<Connection>) {
    let mut last_frame = Instant::now();
    let mut ping = pin!(tokio::time::sleep(ping_period()));
    let why = loop {
        let received = tokio::select! {
            biased;
            // First: the server must hear of a client that is busy receiving.
            () = &mut ping => {
                if last_frame.elapsed() > DEAD_AFTER {
                    break "heartbeat timeout".to_owned();
                }
                connection.control(Control::Ping);
                ping.set(tokio::time::sleep(ping_period()));
                continue;
            }
            received = wire.next() => received,
        };
        let decoded = |message: Message| Frame::decode(&message.into_data()).map_err(|error| error.to_string());
        let frame = match received.and_then(decoded) {
            Ok(frame) => frame,
            Err(why) => break why,
        };
        last_frame = Instant::now();
        match frame.control {
            Control::Data => {
                let id = frame.channel_id;
                let message = frame.message();
                let inbound = match Terminal::decode(&message) {
                    Some(terminal) => Inbound::End(terminal),
                    None => Inbound::Message(message),
                };
                connection.deliver(id, inbound);
            }
            Control::Error => {
                let id = frame.channel_id;
                // Whatever it says, an error frame is no clean end.
                let terminal = Terminal::decode(&frame.message()).filter(|terminal| *terminal != Terminal::Close);
                let terminal = terminal.unwrap_or_else(|| Terminal::Error("unknown error".to_owned()));
                connection.deliver(id, Inbound::End(terminal));
            }
            Control::Ping => connection.control(Control::Pong),
            Control::Pong | Control::Unknown(_) => {}
            Control::Close => {
                connection.left();
                break "the server closed the connection".to_owned();
            }
        }
    };
    connection.end(&why);
    wire.finish().await;
}

fn ping_period() -> std::time::Duration {
    rand::random_range(PING_PERIOD_MIN..PING_PERIOD_MAX)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use futures_util::StreamExt as _;
    use tokio::io::AsyncWriteExt as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::connection::Outgoing;
    use crate::here::here;
    use crate::wire::tests::socket;

    #[tokio::test]
    async fn a_server_that_pings_and_reads_nothing_does_not_fill_the_memory() {
        let progress = Progress::new();
        let (socket, mut far) = socket(progress.clone()).await;
        let (connection, mut queued) = Connection::new(progress.clone(), Terms::default());
        // Nobody takes from the queue.
        let (_held, nothing) = mpsc::unbounded_channel();
        let nothing = Queued::new(nothing, connection.clone());
        let wire = Wire::new(socket, nothing, progress, WRITE_DEADLINE);
        let pings = tokio::spawn(async move {
            let ping = streamkit_protocol::Frame::connection(streamkit_protocol::Control::Ping).encode();
            let mut frame = vec![0x81, 126];
            frame.extend_from_slice(&u16::try_from(ping.len()).unwrap().to_be_bytes());
            frame.extend_from_slice(&ping);
            far.write_all(&frame.repeat(100_000)).await.unwrap();
        });
        tokio::time::timeout(Duration::from_secs(60), run(wire, connection))
            .await
            .unwrap();
        pings.await.unwrap();
        let mut bytes = 0;
        while let Ok(outgoing) = here(&mut queued) {
            if let Outgoing::Frames { frames, .. } = outgoing {
                bytes += frames.len();
            }
        }
        assert!(bytes > 0 && bytes <= 4 << 20, "{bytes}");
    }

    /// What a Go client and a Go server said to each other.
    const CONVERSATIONS: &str = include_str!("../protocol/tests/data/wire-v1/conversations.jsonl");

    #[tokio::test(start_paused = true)]
    async fn an_idle_client_pings_as_recorded() {
        let first = CONVERSATIONS.lines().next().unwrap();
        let recorded: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!(recorded["case"], "connection");
        let (near, far) = tokio::io::duplex(64 << 10);
        let near = std::sync::Mutex::new(Some(near));
        let client = crate::Client::builder("ws://in-process")
            .transport(move || {
                std::future::ready(near.lock().unwrap().take().ok_or(ErrorKind::ConnectionRefused.into()))
            })
            .protocol(crate::Protocol::V1)
            .token("t")
            .build();
        let far = tokio::spawn(async move {
            let mut socket = tokio_tungstenite::accept_async(far).await.unwrap();
            loop {
                let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
                let frame = Frame::decode(text.as_bytes()).unwrap();
                if frame.control != Control::Data {
                    return text.to_string();
                }
            }
        });
        let mut follows = client.store(uuid::Uuid::nil()).subscribe_space("orders");
        tokio::select! {
            biased;
            said = far => assert_eq!(said.unwrap(), recorded["steps"][0]["frame"].as_str().unwrap()),
            told = follows.next() => panic!("{told:?}"),
        }
    }
}
