//! What the frames of a connection ask for, one after the other.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use streamkit_protocol::v2::{
    CallError, Credit as Grant, FRAME_BYTES_MAX, Frame, GoAway, HEAD_BYTES, Hello, Kind, Malformed, SignOfLife, ZSTD,
    frame,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::breach::Breach;
use super::calls::Calls;
use super::credit::{Credit, Window};
use super::lines::Lines;
use super::room::Rooms;
use crate::auth::Scopes;
use crate::budgets::{ALWAYS_BYTES, Reads};
use crate::shared::Shared;
use crate::websocket::Outbound;

/// Frames of one message after which others have their turn.
const FRAMES_AT_A_TIME: usize = 256;

/// A call on its way to its answer.
pub(super) type ServedCall = Pin<Box<dyn Future<Output = ()> + Send>>;

/// One with a peer.
pub(super) struct Conversation {
    pub(super) shared: Arc<Shared>,
    pub(super) scopes: Scopes,
    pub(super) outbound: Outbound,
    pub(super) calls: Arc<Calls>,
    /// Appends, which this task serves itself.
    pub(super) appends: FuturesUnordered<ServedCall>,
    pub(super) lines: Lines,
    /// The last channel that was begun.
    pub(super) last: u32,
    /// What the peer may send.
    pub(super) window: Arc<Window>,
    pub(super) rooms: Rooms,
    /// What the peer wants to hear.
    pub(super) credit: Arc<Credit>,
    /// That of a call which bounds nothing itself.
    pub(super) unbounded: Arc<Credit>,
    pub(super) was_greeted: bool,
    /// Whether both sides have zstd.
    pub(super) is_packing: bool,
    pub(super) reads: Reads,
    pub(super) ending: CancellationToken,
    pub(super) why: Arc<OnceLock<CallError>>,
    pub(super) tasks: TaskTracker,
    /// Calls that end by themselves. Closed when the token has expired.
    pub(super) under_way: TaskTracker,
}

/// Says that the server lives.
pub(super) struct Pinger(Outbound);

impl Pinger {
    pub(super) fn ping(&self) {
        self.0.ping(|| {
            let mut out = Vec::new();
            frame(&mut out, (0, Kind::Ping), |_| {}, |out| out.extend_from_slice(&[0; 8]));
            out
        });
    }
}

impl Conversation {
    pub(super) fn new(shared: Arc<Shared>, scopes: Scopes, outbound: Outbound, under_way: TaskTracker) -> Self {
        Self {
            scopes,
            outbound,
            calls: Arc::default(),
            appends: FuturesUnordered::new(),
            lines: Lines::default(),
            last: 0,
            window: Arc::new(Window::new()),
            rooms: Rooms::new(shared.budgets.inbound.clone()),
            credit: Arc::new(Credit::new(0)),
            unbounded: Arc::new(Credit::unbounded()),
            was_greeted: false,
            is_packing: false,
            reads: Reads::new(&shared.limits, shared.budgets.clone()),
            ending: CancellationToken::new(),
            why: Arc::default(),
            tasks: TaskTracker::new(),
            under_way,
            shared,
        }
    }

    pub(super) fn pings(&self) -> Pinger {
        Pinger(self.outbound.clone())
    }

    /// Sends the first frame.
    pub(super) fn greet(&self) {
        let hello = Hello {
            frame_bytes: u32::try_from(FRAME_BYTES_MAX).unwrap_or(u32::MAX),
            channels: u32::try_from(self.shared.limits.channels).unwrap_or(u32::MAX),
            credit: Window::BYTES,
            features: self.features().iter().map(|&feature| feature.to_owned()).collect(),
        };
        let mut out = Vec::new();
        hello.put(&mut out);
        self.outbound.last(out);
    }

    /// What this server can do beyond the plain protocol.
    fn features(&self) -> &'static [&'static str] {
        match self.shared.limits.compression {
            true => &[ZSTD],
            false => &[],
        }
    }

    /// Goes on with appends for ever.
    ///
    /// Cancel safe.
    pub(super) async fn serve(&mut self) -> Infallible {
        serve(&mut self.appends).await
    }

    /// Does what the frames of a message ask for. It waits for room alone.
    ///
    /// # Errors
    /// [`Breach`].
    pub(super) async fn message(&mut self, mut message: Bytes) -> Result<(), Breach> {
        let cancelled = cancelled_in(&message, self.last, self.shared.limits.channels);
        let message_bytes = message.len();
        let mut count = 0;
        while let Some(came) = Frame::take(&mut message)? {
            count += 1;
            if count % FRAMES_AT_A_TIME == 0 {
                // A message may hold millions, and other connections wait for this thread.
                tokio::task::yield_now().await;
            }
            if (came.kind == Kind::Hello) == self.was_greeted {
                return Err(Malformed::order().into());
            }
            if came.is_packed() && !self.is_packing {
                return Err(Malformed::compression().into());
            }
            if came.kind != Kind::Call
                && let Some(name) = came.fields.unknown(&[])
            {
                return Err(Breach::UnknownField(name.to_owned()));
            }
            match came.kind {
                Kind::Hello => self.greeted(&Hello::decode(&came)?)?,
                Kind::Ping | Kind::Pong if came.body.len() != 8 => return Err(Malformed::ping().into()),
                Kind::Ping => self.outbound.pong(|| {
                    let mut out = Vec::new();
                    let body = |out: &mut Vec<u8>| out.extend_from_slice(&came.body);
                    frame(&mut out, (0, Kind::Pong), |_| {}, body);
                    out
                }),
                Kind::Pong => {}
                Kind::Credit => self.wants(&Grant::decode(&came)?),
                Kind::Call => {
                    let is_cancelled = cancelled.contains(&came.channel);
                    self.begin(on_its_own(came, message_bytes), is_cancelled).await?;
                }
                Kind::Cancel => {
                    if let Some(call) = self.calls.find(came.channel) {
                        call.cancelled.cancel();
                    }
                }
                Kind::More => self.more(&came)?,
                Kind::GoAway | Kind::Data | Kind::End | Kind::Error => return Err(Malformed::side().into()),
            }
        }
        Ok(())
    }

    fn greeted(&mut self, hello: &Hello) -> Result<(), Breach> {
        if let Some(name) = hello.unknown(self.features()) {
            return Err(Breach::UnknownFeature(name.to_owned()));
        }
        if (hello.frame_bytes as usize) < FRAME_BYTES_MAX {
            return Err(Malformed::frame_bytes().into());
        }
        self.was_greeted = true;
        self.is_packing = self.features().contains(&ZSTD) && hello.has(ZSTD);
        self.credit.add(hello.credit);
        Ok(())
    }

    fn wants(&self, grant: &Grant) {
        match grant.channel {
            0 => self.credit.add(grant.bytes),
            channel => {
                if let Some(call) = self.calls.find(channel) {
                    call.credit.add(grant.bytes);
                }
            }
        }
    }

    /// What a worker says of itself. Its call may be over.
    fn more(&self, came: &Frame) -> Result<(), Malformed> {
        if !self.window.take(came.bytes()) {
            return Err(Malformed::credit());
        }
        if came.channel > self.last {
            return Err(Malformed::order());
        }
        let SignOfLife(at) = SignOfLife::decode(&came.body)?;
        if let Some(signs) = self.calls.find(came.channel).and_then(|call| call.signs) {
            signs.send_replace(at);
        }
        self.answered(came.bytes());
        Ok(())
    }

    /// Gives back what was answered, if it is much.
    pub(super) fn answered(&self, bytes: usize) {
        give_back(&self.window, bytes, &self.outbound);
    }

    /// Tells the peer why the connection ends, and what was not begun.
    pub(super) fn part(&self, why: CallError) {
        let _ = self.why.set(why.clone());
        let mut out = Vec::new();
        GoAway { last: self.last, why }.put(&mut out);
        self.outbound.last(out);
    }

    /// Endings all calls, and waits until each has ended.
    pub(super) async fn end(mut self) {
        // Those that wait for credit are told as well.
        self.credit.end();
        self.unbounded.end();
        self.calls.end_credit();
        self.ending.cancel();
        self.tasks.close();
        while self.appends.next().await.is_some() {}
        self.tasks.wait().await;
    }
}

/// A call that keeps no message of so many bytes in memory of which it is less than half: what it stores may wait for long, and the
/// room that it has is for its own bytes.
fn on_its_own(mut came: Frame, message_bytes: usize) -> Frame {
    if message_bytes > ALWAYS_BYTES && came.body.len() < message_bytes / 2 {
        came.body = Bytes::copy_from_slice(&came.body);
    }
    came
}

/// The channels that a message cancels, of so many behind the last one: a call among them is ended as it begins.
fn cancelled_in(message: &[u8], last: u32, channels: usize) -> HashSet<u32> {
    let next = u64::from(last) + 1..=u64::from(last).saturating_add(channels as u64);
    let mut cancelled = HashSet::new();
    let mut rest = message;
    while let Some(head) = rest.first_chunk::<HEAD_BYTES>() {
        let [b0, b1, b2, b3, c0, c1, c2, c3, kind, ..] = *head;
        let channel = u32::from_le_bytes([c0, c1, c2, c3]);
        if kind == Kind::Cancel as u8 && next.contains(&channel.into()) {
            cancelled.insert(channel);
        }
        let body_bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        rest = rest
            .get(HEAD_BYTES..)
            .and_then(|rest| rest.get(body_bytes..))
            .unwrap_or_default();
    }
    cancelled
}

pub(super) fn give_back(window: &Window, answered: usize, outbound: &Outbound) {
    if let Some(bytes) = window.answered(answered) {
        let mut out = Vec::new();
        Grant { channel: 0, bytes }.put(&mut out);
        outbound.last(out);
    }
}

pub(super) async fn serve(appends: &mut FuturesUnordered<ServedCall>) -> Infallible {
    poll_fn(|cx| {
        while let Poll::Ready(Some(())) = appends.poll_next_unpin(cx) {}
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(bytes: usize, count: u32) -> Bytes {
        let mut out = Vec::new();
        for channel in 1..=count {
            frame(
                &mut out,
                (channel, Kind::Call),
                |_| {},
                |out| out.resize(out.len() + bytes, 7),
            );
            if channel % 2 == 0 {
                frame(&mut out, (channel, Kind::Cancel), |_| {}, |_| {});
            }
        }
        out.into()
    }

    #[test]
    fn a_small_call_of_a_large_message_does_not_keep_that() {
        for (bytes, count, keeps) in [(100, 1000, false), (100, 10, true), (100_000, 1, true)] {
            let message = calls(bytes, count);
            let mut rest = message.clone();
            let came = Frame::take(&mut rest).unwrap().unwrap();
            let came = on_its_own(came, message.len());
            assert_eq!(came.body, vec![7; bytes]);
            assert_eq!(message.as_ptr_range().contains(&came.body.as_ptr()), keeps, "{bytes}");
        }
    }

    #[test]
    fn the_cancels_of_a_message_are_known_before_its_calls_are_begun_however_it_is_cut() {
        let message = calls(100, 10);
        assert_eq!(cancelled_in(&message, 0, 100), [2, 4, 6, 8, 10].into());
        assert_eq!(
            cancelled_in(&message, 4, 4),
            [6, 8].into(),
            "others are none of the next calls"
        );
        for end in 0..message.len() {
            assert!(cancelled_in(&message[..end], 0, 100).len() <= 5, "{end}");
        }
        assert!(cancelled_in(&[0xff; 100], 0, 100).is_empty());
    }
}
