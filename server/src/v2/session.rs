//! The loop of one connection: it reads the socket, has its frames dealt with, and writes what is answered.

use std::pin::pin;
use std::sync::Arc;

use hyper::upgrade::Upgraded;
use streamkit_protocol::v2::{CallError, Class, Code, Malformed};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breach::Breach;
use super::conversation::Conversation;
use crate::metrics::Limit;
use crate::peer::Peer;
use crate::shared::Shared;
use crate::term::Term;
use crate::websocket::{Arrived, Broken, Form, Heard, Taken, Wire};

/// Why a connection ends, and how the WebSocket says so.
struct Parting(CallError, CloseCode);

fn in_order(code: Code, text: &str) -> Parting {
    Parting(CallError::new(code, Class::Transient, text), CloseCode::Normal)
}

fn shutting_down() -> Parting {
    in_order(Code::ShuttingDown, "the server is shutting down")
}

fn expired() -> Parting {
    in_order(Code::TokenExpired, "the token expired")
}

fn against_the_rules(breach: &Breach, shared: &Shared) -> Parting {
    tracing::debug!(why = breach.told().text, "a peer broke the protocol");
    shared.metrics.peers.broke_protocol();
    Parting(breach.told(), CloseCode::Protocol)
}

/// Serves one connection until the peer leaves, its term is over or the server stops.
pub(crate) async fn run(
    upgraded: Upgraded,
    taken: Option<Taken>,
    shared: Arc<Shared>,
    Peer { scopes, expiry, .. }: Peer,
    stopping: CancellationToken,
) {
    let (mut wire, outbound) = Wire::open(upgraded, taken.clone(), shared.clone(), scopes.tenant(), Form::Binary).await;
    let under_way = TaskTracker::new();
    let mut term = Term::new(expiry, shared.limits.token_grace, under_way.clone());
    let silence = shared.limits.silence;
    let mut conversation = Conversation::new(shared.clone(), scopes, outbound, under_way);
    conversation.greet();
    let mut heard = Heard::new(taken);
    let mut ping = pin!(tokio::time::sleep(silence / 3));
    let parting = 'conversation: loop {
        let arrived = tokio::select! {
            biased;
            () = stopping.cancelled() => break Some(shutting_down()),
            () = term.over() => break Some(expired()),
            () = &mut ping => {
                if wire.waits_for_room() {
                    // Not heard, because not listened to.
                    heard.read_on();
                }
                if heard.nothing_since() && heard.last().elapsed() > silence {
                    shared.metrics.peers.limit_hit(Limit::Silence);
                    break None;
                }
                conversation.pings().ping();
                ping.set(tokio::time::sleep(silence / 3));
                continue;
            }
            // Before the socket is written: what is answered now goes out together.
            never = conversation.serve() => match never {},
            arrived = wire.next() => arrived,
        };
        let message = match arrived {
            Arrived::Frame(message) => message,
            Arrived::Unreadable { too_large: true } => {
                shared.metrics.peers.limit_hit(Limit::FrameBytes);
                let error = CallError::new(Code::Protocol, Class::Permanent, "a frame that is too large");
                break Some(Parting(error, CloseCode::Size));
            }
            Arrived::Unreadable { too_large: false } => {
                break Some(against_the_rules(&Malformed::text().into(), &shared));
            }
            Arrived::TooSlow => {
                let error = CallError::new(Code::TooSlow, Class::Transient, "a large frame comes too slowly");
                break Some(Parting(error, CloseCode::Again));
            }
            Arrived::Over => break None,
        };
        heard.now();
        let pings = conversation.pings();
        let mut dealing = pin!(conversation.message(message));
        loop {
            tokio::select! {
                biased;
                done = wire.while_writing(dealing.as_mut()) => match done {
                    Ok(Ok(())) => break,
                    Ok(Err(breach)) => break 'conversation Some(against_the_rules(&breach, &shared)),
                    Err(Broken) => break 'conversation None,
                },
                () = stopping.cancelled() => break 'conversation Some(shutting_down()),
                () = term.over() => break 'conversation Some(expired()),
                // While it waits for room, nothing else shows that we live.
                () = &mut ping => {
                    pings.ping();
                    ping.set(tokio::time::sleep(silence / 3));
                }
            }
        }
        heard.read_on();
    };
    // Once for each connection, and larger than all that serves it.
    Box::pin(end(parting, conversation, wire)).await;
}

/// Ends every call, then the connection. With a parting word the peer still listens and is told.
async fn end(parting: Option<Parting>, conversation: Conversation, mut wire: Wire) {
    wire.waits_no_longer();
    match &parting {
        Some(Parting(why, _)) => conversation.part(why.clone()),
        None => wire.close_queue(),
    }
    let mut ending = pin!(conversation.end());
    if wire.while_writing(&mut ending).await.is_err() {
        // Nobody listens any more, but what was begun is brought to its end.
        ending.await;
    }
    let close = parting.map(|Parting(why, code)| CloseFrame {
        code,
        reason: match code {
            CloseCode::Normal => "".into(),
            _ => why.text.chars().take(100).collect::<String>().into(),
        },
    });
    wire.finish(close).await;
}
