//! How a call of v2 is answered: its messages as the peer has credit for them, then its result.

use std::sync::{Arc, Mutex, PoisonError};

use streamkit_protocol::v2::{CallError, Kind, frame};

use super::credit::Credit;
use super::outcomes::Outcomes;
use crate::budgets::{Ended, Share};
use crate::verbs::{Answers, Failure};
use crate::websocket::{Frames, Outbound};

/// Where a call is answered.
pub(super) struct Answering {
    channel: u32,
    is_packing: bool,
    outbound: Outbound,
    own: Arc<Credit>,
    of_connection: Arc<Credit>,
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
            own,
            of_connection,
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

    /// What of a batch is to be sent at once, and what that takes off the credit; its result is kept for the end.
    fn frames(&self, batch: Outcomes) -> (Frames, usize) {
        let (frames, counted, result) = batch.into_frames();
        if !result.is_empty() {
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = result;
        }
        (frames, counted)
    }

    async fn credit(&self) -> Result<(), Ended> {
        loop {
            self.own.there().await?;
            self.of_connection.there().await?;
            if self.own.is_there() {
                return Ok(());
            }
        }
    }

    /// Takes what is sent off the credit.
    fn spend(&self, bytes: usize) {
        self.own.spend(bytes);
        self.of_connection.spend(bytes);
    }
}

impl Answers for Answering {
    type Batch = Outcomes;

    fn batch(&self) -> Outcomes {
        Outcomes::new(self.channel, self.is_packing)
    }

    async fn has_room(&self) -> Result<(), Ended> {
        self.credit().await?;
        self.outbound.has_room().await
    }

    fn is_roomy(&self) -> bool {
        let has_credit = self.own.is_there() && self.of_connection.is_there();
        self.own.has_ended() || has_credit && self.outbound.is_roomy()
    }

    async fn send_of(&self, batch: Outcomes, share: Share) -> Result<(), Ended> {
        let (frames, counted) = self.frames(batch);
        if !frames.ends.is_empty() {
            self.credit().await?;
        }
        self.spend(counted);
        self.outbound.send_of(frames, share).await
    }

    async fn send(&self, batch: Outcomes) -> Result<(), Ended> {
        let (frames, counted) = self.frames(batch);
        if !frames.ends.is_empty() {
            self.credit().await?;
        }
        self.spend(counted);
        self.outbound.send(frames).await
    }

    async fn acknowledge(&self, batch: Outcomes) -> Result<(), Failure> {
        // A result waits for no credit.
        let (frames, _) = self.frames(batch);
        Ok(self.outbound.send(frames).await?)
    }
}
