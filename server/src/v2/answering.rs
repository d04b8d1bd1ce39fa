//! How a call of v2 is answered: its messages as the peer has credit for them, then its result.

use std::sync::{Arc, Mutex, PoisonError};

use streamkit_protocol::v2::{CallError, Kind, frame};

use super::credit::{Both, Credit};
use super::outcomes::{Credited, Outcomes};
use crate::budgets::{Ended, Share};
use crate::verbs::{Answers, Failure};
use crate::websocket::{Frames, Outbound};

/// Where a call is answered.
pub(super) struct Answering {
    channel: u32,
    is_packing: bool,
    outbound: Outbound,
    credit: Both,
    /// What the call ends with.
    result: Mutex<Vec<u8>>,
}

impl Answering {
    pub(super) fn new(
        (channel, is_packing): (u32, bool),
        outbound: Outbound,
        (own, of_connection): (Arc<Credit>, Arc<Credit>),
    ) -> Self {
        Self {
            channel,
            is_packing,
            outbound,
            credit: Both { own, of_connection },
            result: Mutex::default(),
        }
    }

    /// Ends the call with its result. Of a connection that is gone, does nothing.
    pub(super) async fn end(&self) {
        let result = std::mem::take(&mut *self.result.lock().unwrap_or_else(PoisonError::into_inner));
        self.last(Kind::End, |out| out.extend_from_slice(&result)).await;
    }

    /// Ends it with an error. Of a connection that is gone, does nothing.
    pub(super) async fn fail(&self, error: &CallError) {
        self.last(Kind::Error, |out| error.put(out)).await;
    }

    async fn last(&self, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        frame(&mut out, (self.channel, kind), |_| {}, body);
        let _ = self.outbound.send(out.into()).await;
    }

    /// What of a batch is to be sent now; its result is kept for the end.
    fn frames(&self, batch: Outcomes) -> Credited {
        let (frames, result) = batch.into_frames();
        if !result.is_empty() {
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = result;
        }
        frames
    }

    /// Sends what there is credit for at once, or frame by frame as there is.
    async fn pay(&self, frames: Credited, mut share: Option<Share>) -> Result<(), Ended> {
        let counted = frames.counted();
        if counted.is_empty() {
            return self.queue(frames.together(), share).await;
        }
        if let Some(spent) = self.credit.try_take(&counted) {
            self.queue(frames.together(), share).await?;
            spent.sent();
            return Ok(());
        }
        for (frame, counted) in frames.one_by_one() {
            let spent = self.credit.take(counted).await?;
            self.queue(frame, share.take()).await?;
            spent.sent();
        }
        Ok(())
    }

    async fn queue(&self, frames: Frames, share: Option<Share>) -> Result<(), Ended> {
        match share {
            Some(share) => self.outbound.send_of(frames, share).await,
            None => self.outbound.send(frames).await,
        }
    }
}

impl Answers for Answering {
    type Batch = Outcomes;

    fn batch(&self) -> Outcomes {
        Outcomes::new(self.channel, self.is_packing)
    }

    async fn has_room(&self) -> Result<(), Ended> {
        self.credit.there().await?;
        self.outbound.has_room().await
    }

    fn is_roomy(&self) -> bool {
        self.credit.own.has_ended() || self.credit.is_there() && self.outbound.is_roomy()
    }

    async fn send_of(&self, batch: Outcomes, share: Share) -> Result<(), Ended> {
        self.pay(self.frames(batch), Some(share)).await
    }

    async fn send(&self, batch: Outcomes) -> Result<(), Ended> {
        self.pay(self.frames(batch), None).await
    }

    async fn acknowledge(&self, batch: Outcomes) -> Result<(), Failure> {
        // A result waits for no credit.
        Ok(self.outbound.send(self.frames(batch).together()).await?)
    }
}
