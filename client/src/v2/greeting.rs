//! The hellos: what each side of a fresh connection allows the other.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_protocol::v2::{FRAME_BYTES_MAX, Frame, HEAD_BYTES, Hello, Kind, ZSTD};
use tokio_tungstenite::tungstenite::Message;

use super::breach::Breach;
use super::connection::Connection;
use super::duplex::{Frames, run};
use super::state::CONNECTION_BYTES;
use crate::hooks::TraceSource;
use crate::progress::Progress;
use crate::terms::Terms;
use crate::wire::{Socket, WRITE_DEADLINE, Wire};

/// The frame of a call that has but a verb and a store.
const LEAST_CALL_BYTES: usize = HEAD_BYTES + 17;

/// Greets the server over a fresh socket, whose writes move `progress`, and starts its task once it has greeted, too. `trace` tells for
/// which trace a call is made.
///
/// # Errors
/// What it did instead.
pub(crate) async fn open(
    mut socket: Socket,
    progress: Arc<Progress>,
    terms: Terms,
    trace: Option<TraceSource>,
) -> Result<Arc<Connection>, String> {
    let known: &[&str] = if terms.compresses { &[ZSTD] } else { &[] };
    let ours = Hello {
        frame_bytes: u32::try_from(FRAME_BYTES_MAX).unwrap_or(u32::MAX),
        channels: 0,
        credit: CONNECTION_BYTES,
        features: known.iter().map(|&feature| feature.to_owned()).collect(),
    };
    let mut out = Vec::new();
    ours.put(&mut out);
    let sent = socket.send(Message::Binary(out.into())).await;
    sent.map_err(|error| error.to_string())?;
    let (hello, early) = greeted(&mut socket, known).await?;
    let connection = Connection::new(&hello, progress.clone(), terms, trace);
    let frames = Frames::new(connection.clone());
    let wire = Wire::new(socket, frames, progress, WRITE_DEADLINE);
    tokio::spawn(run(wire, connection.clone(), early));
    Ok(connection)
}

/// The server's hello, which requires nothing but what is known, and what came behind it in the same message.
async fn greeted(socket: &mut Socket, known: &[&str]) -> Result<(Hello, Bytes), String> {
    let broken = |why: String| format!("the server broke the protocol: {why}");
    loop {
        let mut message = match socket.next().await {
            Some(Ok(Message::Binary(message))) => message,
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Text(_))) => return Err(broken("a text where frames should be".to_owned())),
            Some(Ok(Message::Close(_))) | None => return Err("the server closed the connection".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
        };
        let first = Frame::take(&mut message).map_err(|error| broken(error.to_string()))?;
        let Some(first) = first else { continue };
        if first.kind != Kind::Hello {
            return Err(broken("it did not say hello first".to_owned()));
        }
        if let Some(field) = first.fields.unknown(&[]) {
            return Err(broken(Breach::field(field).to_string()));
        }
        let hello = Hello::decode(&first).map_err(|error| broken(error.to_string()))?;
        if hello.channels == 0 || (hello.frame_bytes as usize) < LEAST_CALL_BYTES {
            return Err(broken(Breach::no_calls().to_string()));
        }
        return match hello.unknown(known) {
            Some(feature) => Err(format!(
                "the server requires {feature:?}, which this client does not know"
            )),
            None => Ok((hello, message)),
        };
    }
}
