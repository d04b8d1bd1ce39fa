//! A peer of its own, with little credit and no patience: it checks what our client never sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use streamkit_client::record::ReadSource;
use streamkit_client::record::{LogCursor, Wanted};
use streamkit_engine::Dice;
use streamkit_protocol::v2::{
    Append, Appended, Call, CallError, Class, Code, Credit, Follow, Frame, GoAway, Kind, Read, frame,
};
use tokio_tungstenite::tungstenite::Message;

use crate::dial::{Socket, dial, put_call, put_hello};
use crate::host::Trouble;
use crate::witness::{Broken, Part, SEGMENTS, Witness, name};

/// What is known of a channel.
struct Channel {
    credit: i64,
    /// The attempt, if it is an append.
    attempt: Option<usize>,
}

/// The peer.
pub(crate) struct Raw {
    socket: Socket,
    witness: Arc<Witness>,
    dice: Dice,
    last: u32,
    /// Bytes that the server may still send.
    credit: i64,
    open: BTreeMap<u32, Channel>,
    /// Nothing above it was begun.
    left_at: Option<u32>,
    /// Of each segment, the channel and the sequence of the append that was acknowledged with the highest channel.
    newest: [(u32, u64); SEGMENTS.len()],
}

const FIRST_CREDIT: u32 = 3000;

impl Raw {
    /// Connects and greets.
    ///
    /// # Errors
    /// The server is not there.
    pub async fn connect(address: SocketAddr, witness: Arc<Witness>, dice: Dice) -> Result<Self, Trouble> {
        let socket = dial(address, None).await?;
        let mut raw = Self {
            socket,
            witness,
            dice,
            last: 0,
            credit: FIRST_CREDIT.into(),
            open: BTreeMap::new(),
            left_at: None,
            newest: [(0, 0); SEGMENTS.len()],
        };
        raw.send(|out| put_hello(FIRST_CREDIT, out)).await?;
        Ok(raw)
    }

    async fn send(&mut self, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Trouble> {
        let mut out = Vec::new();
        put(&mut out);
        Ok(self.socket.send(Message::Binary(out.into())).await?)
    }

    fn call(&mut self, out: &mut Vec<u8>, call: &Call, credit: u32, attempt: Option<usize>) {
        self.last += 1;
        put_call(self.last, call, out);
        let credit = credit.into();
        self.open.insert(self.last, Channel { credit, attempt });
    }

    /// Works until the server leaves, or the connection is lost.
    pub async fn work(mut self) {
        match self.works().await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => self.witness.breaks(why),
            // The network, or the server, is gone.
            Err(_) => {}
        }
        // Of what was begun, nobody knows; what was not is not there.
        for (number, channel) in std::mem::take(&mut self.open) {
            let Some(attempt) = channel.attempt else { continue };
            match self.left_at.is_some_and(|last| number > last) {
                true => self.witness.refused(attempt, "not begun"),
                false => self.witness.unknown(attempt),
            }
        }
    }

    async fn works(&mut self) -> Result<Result<(), Broken>, Trouble> {
        let mut greeted = false;
        loop {
            if greeted && self.left_at.is_none() {
                self.begin_some().await?;
            }
            let wait = Duration::from_millis(1 + self.dice.below(8));
            // Now and then it listens to nobody, for long enough that everything it gave credit for has come.
            if self.dice.chance(1, 8) {
                tokio::time::sleep(wait).await;
            }
            if let Ok(next) = tokio::time::timeout(wait, self.socket.next()).await {
                let Some(Ok(message)) = next else {
                    return Ok(Ok(()));
                };
                match message {
                    Message::Binary(mut message) => {
                        if let Err(why) = self.message(&mut message, &mut greeted) {
                            return Ok(Err(why));
                        }
                    }
                    Message::Close(_) => return Ok(self.all_is_ended()),
                    _ => {}
                }
            }
            self.grant().await?;
        }
    }

    /// Calls with messages, a few at a time, and appends, many in one message.
    async fn begin_some(&mut self) -> Result<(), Trouble> {
        let mut out = Vec::new();
        let with_messages = self.open.values().filter(|channel| channel.attempt.is_none()).count();
        if with_messages < 4 && self.dice.chance(1, 2) {
            let parts = ["orders", "ledger"].map(|space| Wanted::Space(name(space))).to_vec();
            let credit = 1 + self.dice.below(3000) as u32;
            let call = match self.dice.chance(1, 2) {
                true => Call::Follow(Follow {
                    credit,
                    parts,
                    cursor: LogCursor::default(),
                    is_from_now: false,
                    heartbeat: 0,
                    filter: Default::default(),
                }),
                false => Call::Read(Read::all(ReadSource::Log(parts, LogCursor::default()), credit)),
            };
            self.call(&mut out, &call, credit, None);
        }
        let under_way = self.open.values().filter(|channel| channel.attempt.is_some()).count();
        if under_way < 20 {
            for _ in 0..self.dice.below(6) {
                let attempt = self.witness.attempt(
                    vec![Part {
                        segment: self.dice.below(SEGMENTS.len() as u64) as usize,
                        first: 0,
                        count: 1 + self.dice.below(2) as u32,
                        extra: self.dice.below(200) as u32,
                    }],
                    Vec::new(),
                );
                let call = Call::Append(Append {
                    id: self.witness.id(attempt),
                    conflict_bytes: 0,
                    fence: None,
                    conditions: Vec::new(),
                    sections: self.witness.sections(attempt, false),
                });
                self.call(&mut out, &call, 0, Some(attempt));
            }
        }
        match out.is_empty() {
            true => Ok(()),
            false => self.send(|all| all.extend_from_slice(&out)).await,
        }
    }

    /// Gives a little credit here and there, and cancels now and then.
    async fn grant(&mut self) -> Result<(), Trouble> {
        let mut out = Vec::new();
        if self.dice.chance(1, 2) {
            let bytes = 1 + self.dice.below(4000) as u32;
            self.credit += i64::from(bytes);
            Credit { channel: 0, bytes }.put(&mut out);
        }
        let numbers: Vec<u32> = self.open.keys().copied().collect();
        for number in numbers {
            let Some(channel) = self.open.get_mut(&number) else {
                continue;
            };
            if channel.attempt.is_some() {
                continue;
            }
            match self.dice.below(12) {
                0..=3 => {
                    let bytes = 1 + self.dice.below(3000) as u32;
                    channel.credit += i64::from(bytes);
                    Credit { channel: number, bytes }.put(&mut out);
                }
                4 => frame(&mut out, (number, Kind::Cancel), |_| {}, |_| {}),
                _ => {}
            }
        }
        match out.is_empty() {
            true => Ok(()),
            false => self.send(|all| all.extend_from_slice(&out)).await,
        }
    }

    fn message(&mut self, message: &mut Bytes, greeted: &mut bool) -> Result<(), Broken> {
        let broken = |why: &str| Err(format!("the server {why}"));
        while let Some(came) = Frame::take(message).map_err(|why| format!("the server sends {why}"))? {
            if *greeted == (came.kind == Kind::Hello) {
                return broken("does not greet first, and once");
            }
            match came.kind {
                Kind::Hello => *greeted = true,
                Kind::Data => self.data(&came)?,
                Kind::End | Kind::Error => {
                    let Some(channel) = self.open.remove(&came.channel) else {
                        return broken("ends a channel that is not open");
                    };
                    if self.left_at.is_some_and(|last| came.channel > last) {
                        return broken("ends a channel that it says it has not begun");
                    }
                    self.over(came.channel, channel, &came)?;
                }
                Kind::GoAway => {
                    let GoAway { last, .. } = GoAway::decode(&came).map_err(|why| why.to_string())?;
                    if last > self.last {
                        return broken("says that it has begun what was never called");
                    }
                    self.left_at = Some(last);
                }
                Kind::Ping | Kind::Pong | Kind::Credit => {}
                Kind::Call | Kind::Cancel | Kind::More => return broken("sends what only clients send"),
            }
        }
        Ok(())
    }

    /// A server that says goodbye has ended what it has begun.
    fn all_is_ended(&self) -> Result<(), Broken> {
        let begun = |number: &&u32| self.left_at.is_some_and(|last| **number <= last);
        match self.open.keys().find(begun) {
            None => Ok(()),
            Some(number) => Err(format!(
                "the server leaves channel {number} without an end, and closes in good order"
            )),
        }
    }

    fn data(&mut self, came: &Frame) -> Result<(), Broken> {
        let Some(channel) = self.open.get_mut(&came.channel) else {
            return Err("the server sends a message of a channel that is not open".to_owned());
        };
        if channel.attempt.is_none() && channel.credit <= 0 || self.credit <= 0 {
            return Err(format!(
                "the server sends {} bytes on channel {} with a credit of {} there and {} in all",
                came.bytes(),
                came.channel,
                channel.credit,
                self.credit
            ));
        }
        channel.credit -= came.bytes() as i64;
        self.credit -= came.bytes() as i64;
        Ok(())
    }

    fn over(&mut self, number: u32, channel: Channel, came: &Frame) -> Result<(), Broken> {
        let Some(attempt) = channel.attempt else { return Ok(()) };
        if came.kind == Kind::End {
            let appended = Appended::decode(&came.body).map_err(|why| why.to_string())?;
            let firsts: Vec<u64> = appended.sections.iter().map(|(first, _)| first.0).collect();
            let told = (appended.position, appended.timestamp.0);
            self.witness.acknowledged(attempt, told, &firsts, appended.is_known);
            // What waits for another segment may be overtaken, but not in its own.
            let segment = self.witness.attempts()[attempt].parts[0].segment;
            let (this, other) = ((number, firsts[0]), self.newest[segment]);
            let (earlier, later) = (this.min(other), this.max(other));
            if earlier.1 >= later.1 {
                return Err(format!(
                    "an append overtakes another of its connection: {earlier:?}, {later:?}"
                ));
            }
            self.newest[segment] = later;
            return Ok(());
        }
        let error = CallError::decode(&came.body).map_err(|why| why.to_string())?;
        match (error.class, error.code) {
            (Class::Unknown, _) => self.witness.unknown(attempt),
            (Class::Transient, _) => self.witness.refused(attempt, &error.text),
            (Class::Permanent, Code::Conflict) => {
                return Err(format!("a conflict of what takes any sequence: {error:?}"));
            }
            (Class::Permanent, _) => return Err(format!("an append fails for no reason: {error:?}")),
        }
        Ok(())
    }
}
