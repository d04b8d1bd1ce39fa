//! What waits to be sent over a connection of v1: frames, each a text of its own.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::connection::{Connection, Outgoing};
use crate::here::here;
use crate::wire::Queue;

/// The queue of a connection.
pub(crate) struct Queued {
    queued: mpsc::UnboundedReceiver<Outgoing>,
    connection: Arc<Connection>,
    /// Frames the socket has taken in part, and how many of them.
    current: Option<(Outgoing, usize)>,
}

impl Queued {
    pub(crate) fn new(queued: mpsc::UnboundedReceiver<Outgoing>, connection: Arc<Connection>) -> Self {
        Self {
            queued,
            connection,
            current: None,
        }
    }

    /// The next frame of those that are sent together.
    fn frame(frames: &Bytes, ends: &[usize], sent: usize) -> Option<Message> {
        let &end = ends.get(sent)?;
        let start = sent.checked_sub(1).map_or(0, |before| ends[before]);
        let text = Utf8Bytes::try_from(frames.slice(start..end));
        // What we encode is UTF-8.
        Some(Message::Text(text.unwrap_or_default()))
    }

    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<Option<Outgoing>> {
        match here(&mut self.queued) {
            Ok(outgoing) => Poll::Ready(Some(outgoing)),
            Err(_) => self.queued.poll_recv(cx),
        }
    }
}

impl Queue for Queued {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            match &self.current {
                Some((Outgoing::Frames { frames, ends, .. }, sent)) => {
                    if let Some(frame) = Self::frame(frames, ends, *sent) {
                        return Poll::Ready(Some(frame));
                    }
                    self.current = None;
                }
                Some((Outgoing::Goodbye, _)) => return Poll::Ready(None),
                None => match self.poll_queued(cx) {
                    Poll::Ready(Some(outgoing)) => self.current = Some((outgoing, 0)),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                },
            }
        }
    }

    fn taken(&mut self) {
        let Some((
            Outgoing::Frames {
                ends, permits, sender, ..
            },
            sent,
        )) = &mut self.current
        else {
            return;
        };
        *sent += 1;
        if *sent == ends.len() {
            self.connection.sent(*permits);
            if let Some(sender) = sender {
                sender.sent();
            }
            self.current = None;
        }
    }
}
