//! Follows: what is there, then what comes.

use std::time::Duration;

use streamkit_protocol::v2::{Batches, Call as Asked, Follow as Follows, Told};

use super::again::TIMES_MAX;
use super::read::{check, open};
use crate::asked::{Follow, Followed};
use crate::call::Call;
use crate::error::Error;
use crate::v2::{Channel, Fault, Heard, Patience, WINDOW_BYTES};

/// A follow under way.
pub(crate) struct Following {
    call: Call,
    follow: Follow,
    /// `None` before it is opened.
    channel: Option<Channel>,
    batches: Batches,
    /// The number of the last transaction.
    last: u64,
    is_caught_up: bool,
    heartbeat: Duration,
    /// How often a connection ended before the server began it.
    times: u32,
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
            call,
            follow,
            channel: None,
            batches: Batches::default(),
            last: 0,
            is_caught_up: false,
            heartbeat,
            times: 0,
        })
    }

    fn asked(&self) -> Asked {
        let heartbeat = self.heartbeat.as_millis().clamp(1, u32::MAX.into());
        Asked::Follow(Follows {
            credit: WINDOW_BYTES,
            parts: self.follow.parts.clone(),
            cursor: self.follow.behind.clone(),
            is_from_now: self.follow.from_now,
            heartbeat: u32::try_from(heartbeat).unwrap_or(u32::MAX),
            filter: self.follow.filter.clone(),
        })
    }

    /// What is told next. A follow has no end but an error.
    pub(crate) async fn next(&mut self) -> Result<Followed, Error> {
        loop {
            if self.channel.is_none() {
                self.channel = Some(open(&self.call, &self.asked()).await?);
            }
            let Some(channel) = &mut self.channel else { continue };
            let longest = self.call.timeout().max(self.heartbeat.saturating_mul(3));
            match channel.next(Patience::new(longest)).await {
                Ok(Heard::Message(message)) => return self.told(Told::decode(&message).map_err(Error::malformed)?),
                Ok(Heard::End(_)) => return Err(Error::Protocol("a follow ended without an error".to_owned())),
                Err(Fault::NotBegun(_)) if self.times < TIMES_MAX => {
                    self.times += 1;
                    self.channel = None;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    fn told(&mut self, told: Told) -> Result<Followed, Error> {
        match told {
            Told::Batch(cursor, batch) => {
                let mut entries = Vec::with_capacity(batch.len() / 512);
                self.batches.read(&batch, &mut entries).map_err(Error::malformed)?;
                for entry in &entries {
                    if entry.trx.number < self.last {
                        return Err(Error::Protocol("a follow goes back in the log".to_owned()));
                    }
                    self.last = entry.trx.number;
                }
                Ok(Followed::Batch(entries, cursor))
            }
            Told::CaughtUp(_) if std::mem::replace(&mut self.is_caught_up, true) => {
                Err(Error::Protocol("a follow caught up twice".to_owned()))
            }
            Told::CaughtUp(cursor) => Ok(Followed::CaughtUp(cursor)),
            Told::At(cursor) => Ok(Followed::At(cursor)),
        }
    }
}
