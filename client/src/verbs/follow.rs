//! Follows: what is there, then what comes, also over further connections.

use std::time::Duration;

use bytes::Bytes;
use streamkit_protocol::v2::{Batches, Call as Asked, Follow as Follows, Told};
use streamkit_record::{Entry, LogCursor};

use super::again::Missed;
use super::heads::Heads;
use super::order::Disorder;
use super::read::{check, explained};
use super::resuming::Resuming;
use crate::asked::{Follow, Followed};
use crate::call::Call;
use crate::error::Error;
use crate::v2::{Channel, Fault, Heard, Patience, WINDOW_BYTES};

/// An idle server tells where it stands as often as it is asked to, within these bounds.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

/// A follow under way.
pub(crate) struct Following {
    call: Call,
    /// The rest: behind what was told last.
    follow: Follow,
    /// `None` before it is opened, and while there is no connection.
    channel: Option<Channel>,
    batches: Batches,
    heads: Heads,
    /// The commit time of the last entry.
    last_time: i64,
    /// Whether it was told that all that was there has been; and whether over this channel.
    is_caught_up: bool,
    is_caught_up_here: bool,
    heartbeat: Duration,
    resuming: Resuming,
}

impl Following {
    /// Of what was asked for; nothing is sent yet.
    pub(crate) fn new(call: Call, follow: Follow) -> Result<Self, Error> {
        check(&follow.filter)?;
        let heartbeat = match follow.heartbeat {
            Duration::ZERO => call.timeout() / 3,
            heartbeat => heartbeat,
        };
        Ok(Self {
            heads: Heads::new(&follow.parts, &follow.filter, false),
            heartbeat: heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX),
            call,
            follow,
            channel: None,
            batches: Batches::default(),
            last_time: i64::MAX,
            is_caught_up: false,
            is_caught_up_here: false,
            resuming: Resuming::default(),
        })
    }

    fn asked(&self) -> Asked {
        let heartbeat = u32::try_from(self.heartbeat.as_millis());
        Asked::Follow(Follows {
            credit: WINDOW_BYTES,
            parts: self.follow.parts.clone(),
            cursor: self.follow.behind.clone(),
            is_from_now: self.follow.from_now,
            heartbeat: heartbeat.unwrap_or(u32::MAX),
            filter: self.follow.filter.clone(),
        })
    }

    /// What is told next. A follow has no end but an error.
    pub(crate) async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            match self.message().await {
                Ok(message) => {
                    let told = Told::decode(&message).map_err(Error::malformed)?;
                    return self.told(told).await;
                }
                Err(missed) => {
                    self.channel = None;
                    self.resuming.go_on(&self.call, missed).await?;
                }
            }
        }
    }

    async fn message(&mut self) -> Result<Bytes, Missed> {
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => {
                let opened = self.resuming.open(&self.call, &self.asked()).await?;
                self.is_caught_up_here = false;
                self.channel.insert(opened)
            }
        };
        let longest = self.call.timeout().max(self.heartbeat * 3);
        match channel.next(Patience::new(longest)).await.map_err(Missed::Made)? {
            Heard::Message(message) => Ok(message),
            Heard::End(_) => Err(Missed::Made(Fault::protocol("a follow ended without an error"))),
        }
    }

    async fn told(&mut self, told: Told) -> Result<Followed, Error> {
        Ok(match told {
            Told::Batch(cursor, batch) => {
                let mut entries = Vec::with_capacity(batch.len() / 256);
                self.batches.read(&batch, &mut entries).map_err(Error::malformed)?;
                self.follows(&entries).await?;
                self.go_behind(&cursor)?;
                self.resuming.went_on();
                Followed::Batch(entries, cursor)
            }
            Told::CaughtUp(cursor) => {
                if std::mem::replace(&mut self.is_caught_up_here, true) {
                    return Err(Error::Protocol("a follow caught up twice".to_owned()));
                }
                self.go_behind(&cursor)?;
                self.resuming.has_begun();
                match std::mem::replace(&mut self.is_caught_up, true) {
                    // Each channel tells it, and the caller hears it once.
                    true => Followed::At(cursor),
                    false => Followed::CaughtUp(cursor),
                }
            }
            Told::At(cursor) => {
                self.go_behind(&cursor)?;
                self.resuming.went_on();
                Followed::At(cursor)
            }
        })
    }

    /// Goes on from there, whatever happens to the connection.
    fn go_behind(&mut self, cursor: &LogCursor) -> Result<(), Error> {
        if cursor.bytes().is_empty() && !self.follow.behind.bytes().is_empty() {
            return Err(Error::Protocol("a follow goes back to the beginning".to_owned()));
        }
        self.follow.behind = cursor.clone();
        // Without bytes it is the beginning: now is then, and no longer.
        self.follow.from_now = false;
        Ok(())
    }

    /// Whether entries are those that come next; if not, whether some were removed meanwhile.
    async fn follows(&mut self, entries: &[Entry]) -> Result<(), Error> {
        let before = self.last_time;
        self.last_time = entries.last().map_or(before, |entry| entry.timestamp.0);
        match self.heads.check(entries) {
            Ok(()) => Ok(()),
            Err(Disorder::Wrong(error)) => Err(error),
            Err(Disorder::Missing { path, expected, got }) => {
                Err(explained(&self.call, &path, (expected, got), before).await)
            }
        }
    }
}
