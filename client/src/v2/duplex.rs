//! The task of a connection: it hears what the server sends, and writes what the calls have queued, all that has gathered as one
//! message.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use streamkit_protocol::limits::{DEAD_AFTER, PING_PERIOD_MAX, PING_PERIOD_MIN};
use tokio_tungstenite::tungstenite::Message;

use super::connection::Connection;
use super::route::Told;
use super::state::{State, whole_frames};
use crate::wire::{Queue, Wire};

/// Most bytes of a message, unless one frame has more.
const MESSAGE_BYTES: usize = 256 << 10;

/// What the calls of a connection have queued.
pub(super) struct Frames {
    connection: Arc<Connection>,
    /// Taken from the connection, and not by the socket yet.
    gathered: Bytes,
    /// Bytes of the message that the socket takes.
    current: usize,
    /// It has let others go first.
    has_waited: bool,
}

impl Frames {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            gathered: Bytes::new(),
            current: 0,
            has_waited: false,
        }
    }

    /// Takes what is queued, once those whose answers have just come had their turn: they are likely to call again.
    fn poll_gathered(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut state = self.connection.state();
        if state.queued_bytes() == 0 {
            if state.is_closing() {
                return Poll::Ready(false);
            }
            self.has_waited = false;
            state.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if !self.has_waited && others_may_call(&state) {
            self.has_waited = true;
            drop(state);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.has_waited = false;
        self.gathered = state.take().into();
        Poll::Ready(true)
    }
}

impl Drop for Frames {
    /// Its task may end with its runtime, and then nobody else tells those who wait.
    fn drop(&mut self) {
        self.connection.end("its task is gone");
    }
}

/// Whether more calls are open than one: then what is queued may soon be more, and goes out as one.
fn others_may_call(state: &State) -> bool {
    state.open_count() > 1 && state.queued_bytes() < MESSAGE_BYTES
}

impl Queue for Frames {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.gathered.is_empty() {
            match self.poll_gathered(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.current = whole_frames(&self.gathered, MESSAGE_BYTES);
        Poll::Ready(Some(Message::Binary(self.gathered.split_to(self.current))))
    }

    fn taken(&mut self) {
        self.connection.state().taken(self.current);
    }
}

/// Hears and writes until the connection is over, in one task: a socket has one waker then, not two that wake each other for nothing.
/// `early` came with the server's hello.
pub(super) async fn run(mut wire: Wire<Frames>, connection: Arc<Connection>, early: Bytes) {
    let mut told = Told::new();
    let mut last = Instant::now();
    let mut ping = pin!(tokio::time::sleep(ping_period()));
    let mut heard = connection.hear(early, &mut told);
    let why = loop {
        if let Err(why) = heard {
            break why;
        }
        let received = tokio::select! {
            biased;
            // First: the server must hear of a client that is busy receiving.
            () = &mut ping => {
                if last.elapsed() > DEAD_AFTER {
                    break "heartbeat timeout".to_owned();
                }
                connection.change(State::ping);
                ping.set(tokio::time::sleep(ping_period()));
                heard = Ok(());
                continue;
            }
            received = wire.next() => received,
        };
        last = Instant::now();
        heard = match received {
            Ok(Message::Binary(message)) => connection.hear(message, &mut told),
            Ok(_) => Err("the server broke the protocol: a text where frames should be".to_owned()),
            Err(why) => Err(why),
        };
    };
    connection.end(&why);
    wire.finish().await;
}

fn ping_period() -> Duration {
    rand::random_range(PING_PERIOD_MIN..PING_PERIOD_MAX)
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;
    use streamkit_protocol::v2::{Call, Hello};
    use streamkit_record::StoreId;
    use uuid::Uuid;

    use super::super::fault::Fault;
    use super::super::patience::Patience;
    use super::*;
    use crate::progress::Progress;
    use crate::terms::Terms;

    #[tokio::test]
    async fn what_many_callers_queue_goes_out_as_one_message_once_they_had_their_turn() {
        let hello = Hello {
            frame_bytes: 1 << 20,
            channels: 100,
            credit: u32::MAX,
            features: Vec::new(),
        };
        let connection = Connection::new(&hello, Progress::new(), Terms::default(), None);
        let mut frames = Frames::new(connection.clone());
        let waker = noop_waker();
        let mut cx = Context::from_waker(&waker);
        let mut pending = Vec::new();
        let patience = Patience::new(Duration::from_secs(60));
        for _ in 0..10 {
            let asked = connection.ask(StoreId(Uuid::nil()), &Call::Spaces, patience, true);
            pending.push(asked.await.unwrap());
        }
        let bytes = connection.state().queued_bytes();
        assert!(frames.poll_next(&mut cx).is_pending(), "others may call");
        let Poll::Ready(Some(message)) = frames.poll_next(&mut cx) else {
            panic!("nothing is sent")
        };
        assert_eq!(message.len(), bytes);
        assert!(!connection.state().has_taken(bytes as u64));
        frames.taken();
        assert!(connection.state().has_taken(bytes as u64));
        assert!(frames.poll_next(&mut cx).is_pending());
        connection.close();
        assert!(matches!(frames.poll_next(&mut cx), Poll::Ready(None)));
        // Whoever still waits learns that nobody writes or hears any more.
        drop(frames);
        for mut waits in pending {
            let result = waits.result(patience).await;
            assert!(matches!(result, Err(Fault::Lost(_))), "{result:?}");
        }
    }
}
