//! The state of a connection that its task and its calls share: what may be sent and received, by the rules of docs/PROTOCOL-V2.md, and
//! what waits to be sent. Nothing here waits or does I/O.

use std::collections::HashMap;
use std::task::Waker;

use streamkit_protocol::v2::{
    Call, CallError, Class, Code, Credit, FRAME_BYTES_MAX, Frame, GoAway, HEAD_BYTES, Hello, Kind, Malformed, Trace,
    frame, pack_frame,
};
use streamkit_record::StoreId;

use super::breach::Breach;
use super::fault::Fault;
use super::route::{Arrived, Outcome, Route, Told};
use super::waiting::Waiting;

/// Bytes of messages that the server may send over a connection before some of them are in the inboxes of their channels.
pub(super) const CONNECTION_BYTES: u32 = 16 << 20;

/// Bytes that are given back together.
pub(super) const GIVEN_BACK: u32 = CONNECTION_BYTES / 4;

/// Most credit for calls that is made use of, whatever the server gives: so much may wait to be sent, and one call.
pub(super) const CREDIT_MAX: i64 = 64 << 20;

/// More than usually waits to be sent: then no ping is answered, for what waits shows as well that we live.
const USUAL_BYTES: usize = 64 << 10;

/// How a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It takes calls.
    Serves,
    /// It takes none any more, and closes with the last that is open.
    Retired,
    /// It is gone.
    Over,
}

/// A call that is to begin.
pub(super) struct Opening<'a> {
    pub(super) store: StoreId,
    pub(super) call: &'a Call,
    /// For which trace it is made.
    pub(super) trace: Option<Trace>,
}

/// What becomes of a call that is to begin.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Begin {
    /// It is queued, over this channel; the server has heard it once it has so many bytes.
    Begun(u32, u64),
    /// It has to wait: nothing was queued.
    Waits,
    /// Another connection has to take it.
    Elsewhere,
    /// A frame of so many bytes, and the server takes less.
    TooLarge(usize),
}

pub(super) struct State {
    frame_bytes: usize,
    channels: usize,
    /// Whether both sides have zstd.
    is_packing: bool,
    /// The number of the next call.
    next: u32,
    /// Bytes of calls that the server takes.
    credit: i64,
    open: HashMap<u32, Route>,
    pub(super) waiting: Waiting,
    /// Bytes of messages that the server may send.
    heard: i64,
    /// Bytes in inboxes that the server has no credit for yet.
    unreturned: u32,
    pub(super) phase: Phase,
    /// Why the server leaves, if it said so.
    pub(super) farewell: Option<String>,
    out: Vec<u8>,
    /// Bytes ever queued, and how many of them the socket has taken.
    queued: u64,
    taken: u64,
    /// Nothing is queued after what is.
    closing: bool,
    /// Who writes, while it has nothing to.
    pub(super) writer: Option<Waker>,
}

impl State {
    pub(super) fn new(hello: &Hello, next: u32) -> Self {
        Self {
            frame_bytes: hello.frame_bytes as usize,
            channels: hello.channels as usize,
            is_packing: false,
            next,
            credit: i64::from(hello.credit).min(CREDIT_MAX),
            open: HashMap::new(),
            waiting: Waiting::default(),
            heard: CONNECTION_BYTES.into(),
            unreturned: 0,
            phase: Phase::Serves,
            farewell: None,
            out: Vec::new(),
            queued: 0,
            taken: 0,
            closing: false,
            writer: None,
        }
    }

    /// Compresses calls from now on, and takes compressed messages.
    pub(super) fn packing(mut self) -> Self {
        self.is_packing = true;
        self
    }

    /// Most bytes of a frame that the server takes.
    pub(super) fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// Calls that are not over.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    fn may_begin(&self) -> bool {
        self.credit > 0 && self.open.len() < self.channels
    }

    /// Queues a call; who has its turn passes those who wait.
    pub(super) fn begin(&mut self, opening: &Opening<'_>, has_turn: bool, route: impl FnOnce() -> Route) -> Begin {
        if self.phase == Phase::Serves && self.next == u32::MAX {
            // No number comes twice.
            self.retire();
        }
        if self.phase != Phase::Serves {
            return Begin::Elsewhere;
        }
        if !self.may_begin() || !has_turn && !self.waiting.is_empty() {
            return Begin::Waits;
        }
        let before = self.out.len();
        let fields = |out: &mut Vec<u8>| {
            if let Some(trace) = &opening.trace {
                trace.put(out);
            }
        };
        let body = |out: &mut Vec<u8>| opening.call.put(opening.store, out);
        frame(&mut self.out, (self.next, Kind::Call), fields, body);
        let bytes = self.out.len() - before;
        if bytes > self.frame_bytes {
            self.out.truncate(before);
            return Begin::TooLarge(bytes);
        }
        // Credit counts what the server has once it has unpacked it.
        self.credit -= bytes as i64; // at most 32 MiB
        if self.is_packing {
            pack_frame(&mut self.out, before);
        }
        self.queued += (self.out.len() - before) as u64;
        let channel = self.next;
        self.open.insert(channel, route());
        self.next += 1;
        Begin::Begun(channel, self.queued)
    }

    /// Gives the next one who waits its turn, if it can take it.
    pub(super) fn pass_on(&mut self) {
        if self.may_begin() && self.phase == Phase::Serves {
            self.waiting.next();
        }
    }

    /// Nobody waits for a channel any more.
    pub(super) fn cancel(&mut self, channel: u32) {
        if let Some(route) = self.open.get_mut(&channel) {
            *route = Route::Cancelled(route.credit());
            self.put(|out| frame(out, (channel, Kind::Cancel), |_| {}, |_| {}));
        }
    }

    /// Queues a further message of a call that is open, if there is credit for it; whether there was.
    pub(super) fn more(&mut self, channel: u32, body: impl FnOnce(&mut Vec<u8>)) -> bool {
        let may = self.credit > 0 && self.open.contains_key(&channel);
        if may {
            let before = self.out.len();
            self.put(|out| frame(out, (channel, Kind::More), |_| {}, body));
            self.credit -= (self.out.len() - before) as i64; // a few bytes
        }
        may
    }

    /// Lets the server send more to a channel.
    pub(super) fn give_back(&mut self, channel: u32, bytes: u32) {
        if let Some(Route::Messages { credit, .. }) = self.open.get_mut(&channel) {
            *credit = credit.saturating_add(bytes.into());
            self.put(|out| Credit { channel, bytes }.put(out));
        }
    }

    /// Queues a ping.
    pub(super) fn ping(&mut self) {
        if self.out.len() < USUAL_BYTES {
            self.put(|out| frame(out, (0, Kind::Ping), |_| {}, |out| out.extend_from_slice(&[0; 8])));
        }
    }

    fn put(&mut self, frame: impl FnOnce(&mut Vec<u8>)) {
        let before = self.out.len();
        frame(&mut self.out);
        self.queued += (self.out.len() - before) as u64;
    }

    /// Does what a frame of the server says.
    ///
    /// # Errors
    /// It breaks the rules.
    pub(super) fn hear(&mut self, came: Frame, told: &mut Told) -> Result<(), Breach> {
        if came.is_packed() && !self.is_packing {
            return Err(Malformed::compression().into());
        }
        if came.bytes() > FRAME_BYTES_MAX {
            return Err(Breach::too_large(came.bytes()));
        }
        let required = came.fields.unknown(&[]).map(Breach::field);
        match came.kind {
            Kind::Data => return self.message(came, required),
            Kind::End | Kind::Error => {
                let outcome = match required {
                    Some(breach) => Err(Fault::protocol(breach)),
                    None if came.kind == Kind::End => Ok(came.body),
                    None => Err(Fault::Failed(CallError::decode(&came.body)?)),
                };
                return self.over(came.channel, outcome, told);
            }
            _ => required.map_or(Ok(()), Err)?,
        }
        match came.kind {
            Kind::Ping | Kind::Pong if came.body.len() != 8 => return Err(Breach::ping()),
            Kind::Ping => {
                if self.out.len() < USUAL_BYTES {
                    let body = |out: &mut Vec<u8>| out.extend_from_slice(&came.body);
                    self.put(|out| frame(out, (0, Kind::Pong), |_| {}, body));
                }
            }
            Kind::Pong => {}
            Kind::Credit => {
                let credit = Credit::decode(&came)?;
                if credit.channel == 0 {
                    self.credit = self.credit.saturating_add(credit.bytes.into()).min(CREDIT_MAX);
                    self.pass_on();
                }
            }
            Kind::GoAway => {
                let GoAway { last, why } = GoAway::decode(&came)?;
                self.left(last, &why, told);
            }
            Kind::Call | Kind::Cancel | Kind::More => return Err(Malformed::side().into()),
            Kind::Hello | Kind::Data | Kind::End | Kind::Error => return Err(Malformed::order().into()),
        }
        Ok(())
    }

    /// A message of a call; or one that asks for what this client does not know, and is the last it takes of that call.
    fn message(&mut self, came: Frame, required: Option<Breach>) -> Result<(), Breach> {
        let bytes = u32::try_from(came.bytes()).unwrap_or(u32::MAX);
        if self.heard <= 0 {
            return Err(Malformed::credit().into());
        }
        self.heard -= i64::from(bytes);
        match self.open.get_mut(&came.channel) {
            Some(Route::Messages { credit, .. } | Route::Cancelled(credit)) if *credit <= 0 => {
                return Err(Malformed::credit().into());
            }
            Some(Route::Messages { queue, credit, any }) => {
                *credit -= i64::from(bytes);
                *any = true;
                let is_refused = required.is_some();
                let channel = came.channel;
                let _ = queue.send(match required {
                    None => Arrived::Message(came),
                    Some(breach) => Arrived::Over(Err(Fault::protocol(breach))),
                });
                if is_refused {
                    self.cancel(channel);
                }
            }
            Some(Route::Cancelled(credit)) => *credit -= i64::from(bytes),
            Some(Route::Result(_)) | None => return Err(Malformed::order().into()),
        }
        self.unreturned = self.unreturned.saturating_add(bytes);
        if self.unreturned >= GIVEN_BACK {
            let bytes = std::mem::take(&mut self.unreturned);
            self.heard = self.heard.saturating_add(bytes.into());
            self.put(|out| Credit { channel: 0, bytes }.put(out));
        }
        Ok(())
    }

    fn over(&mut self, channel: u32, outcome: Outcome, told: &mut Told) -> Result<(), Breach> {
        let route = self.open.remove(&channel).ok_or(Malformed::order())?;
        let outcome = match outcome {
            Err(Fault::Failed(error)) if leaves(&error) => {
                self.retire();
                match route {
                    // Some of it came.
                    Route::Messages { any: true, .. } => Err(Fault::Failed(error)),
                    _ => Err(Fault::NotBegun(error.text)),
                }
            }
            outcome => outcome,
        };
        route.tell(outcome, told);
        self.pass_on();
        self.close_if_done();
        Ok(())
    }

    /// The server begins no further calls.
    fn left(&mut self, last: u32, why: &CallError, told: &mut Told) {
        self.retire();
        self.farewell = Some(why.text.clone());
        let not_begun: Vec<u32> = self.open.keys().copied().filter(|&channel| channel > last).collect();
        for channel in not_begun {
            if let Some(route) = self.open.remove(&channel) {
                route.tell(Err(Fault::NotBegun(why.text.clone())), told);
            }
        }
        self.close_if_done();
    }

    /// Takes no further calls; those that wait for their turn go elsewhere.
    pub(super) fn retire(&mut self) {
        if self.phase == Phase::Serves {
            self.phase = Phase::Retired;
            self.waiting.close();
        }
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        self.closing |= self.phase == Phase::Retired && self.open.is_empty();
    }

    /// Closes behind what is queued.
    pub(super) fn close(&mut self) {
        self.retire();
        self.closing = true;
    }

    /// It is gone: whoever waits learns it.
    pub(super) fn end(&mut self) {
        self.phase = Phase::Over;
        self.waiting.close();
        self.open.clear();
    }

    /// Takes all that is queued.
    pub(super) fn take(&mut self) -> Vec<u8> {
        // As much comes at a time as came the last time, or about as much, unless that was large.
        let next = Vec::with_capacity(self.out.len().min(USUAL_BYTES));
        std::mem::replace(&mut self.out, next)
    }

    /// Whether something is queued; its bytes.
    pub(super) fn queued_bytes(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing comes behind what is queued.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// The socket has taken so many bytes more.
    pub(super) fn taken(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// Whether the socket has taken all up to a byte, or all that is queued if that is less.
    pub(super) fn has_taken(&self, up_to: u64) -> bool {
        self.taken >= up_to.min(self.queued)
    }
}

/// Whether an error ends a call that this connection cannot have, and another may.
fn leaves(error: &CallError) -> bool {
    error.class == Class::Transient && matches!(error.code, Code::TokenExpired | Code::ShuttingDown)
}

/// Where the whole frames end that fit into so many bytes, or the first if none does.
pub(super) fn whole_frames(out: &[u8], most: usize) -> usize {
    if out.len() <= most {
        return out.len();
    }
    let mut end = 0;
    while let Some(length) = out.get(end..).and_then(<[u8]>::first_chunk::<4>) {
        let next = end + HEAD_BYTES + u32::from_le_bytes(*length) as usize;
        if next > most && end > 0 {
            break;
        }
        end = next;
    }
    end.min(out.len())
}
