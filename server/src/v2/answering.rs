//! How a call of v2 is answered: its messages as the peer has credit for them, then its result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamkit_protocol::v2::{CallError, Class, Code, HEAD_BYTES, Kind, frame};
use tokio::time::timeout;

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
    /// How long what was read waits for credit, while others may wait for its room.
    patience: Duration,
    /// Whether it waited for longer.
    gave_way: AtomicBool,
    /// What the call ends with.
    result: Mutex<Vec<u8>>,
}

impl Answering {
    pub(super) fn new(
        (channel, is_packing): (u32, bool),
        outbound: Outbound,
        (own, of_connection): (Arc<Credit>, Arc<Credit>),
        patience: Duration,
    ) -> Self {
        Self {
            channel,
            is_packing,
            outbound,
            credit: Both { own, of_connection },
            patience,
            gave_way: AtomicBool::new(false),
            result: Mutex::default(),
        }
    }

    /// That the call has to end since its peer left what was read for it without credit.
    pub(super) fn gave_way(&self) -> Option<CallError> {
        let text = "what was read waited too long for credit of the connection";
        let why = || CallError::new(Code::TooSlow, Class::Transient, text);
        self.gave_way.load(Ordering::Relaxed).then(why)
    }

    /// Ends the call with its result. Of a connection that is gone, does nothing.
    pub(super) async fn end(&self) {
        let result = std::mem::take(&mut *self.result.lock().unwrap_or_else(PoisonError::into_inner));
        let body = |out: &mut Vec<u8>| out.extend_from_slice(&result);
        self.last(Kind::End, result.len(), body).await;
    }

    /// Ends it with an error. Of a connection that is gone, does nothing.
    pub(super) async fn fail(&self, error: &CallError) {
        self.last(Kind::Error, 0, |out| error.put(out)).await;
    }

    /// Sends the last frame, whose body has `bytes` at least.
    async fn last(&self, kind: Kind, bytes: usize, body: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::with_capacity(HEAD_BYTES + bytes);
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
            // It had credit when it was read, and another call was faster. It holds room that is not only this connection's.
            let takes = self.credit.take(counted);
            let spent = match share {
                None => takes.await?,
                Some(_) => timeout(self.patience, takes).await.unwrap_or_else(|_| {
                    self.gave_way.store(true, Ordering::Relaxed);
                    Err(Ended)
                })?,
            };
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use streamkit_engine::Name;

    use super::*;
    use crate::budgets::Budgets;
    use crate::limits::Limits;
    use crate::verbs::Batch as _;
    use crate::websocket::queue;

    fn row(answers: &Answering) -> Outcomes {
        let mut batch = answers.batch();
        batch.name(&Name::new("a").unwrap());
        batch
    }

    /// A peer without credit for its connection holds no room of others for long.
    #[tokio::test]
    async fn what_was_read_waits_for_credit_no_longer_than_a_peer_that_takes_nothing_may() {
        let limits = Limits::default();
        let budgets = Arc::new(Budgets::new(&limits));
        let (outbound, _queue) = queue(&limits, budgets.clone());
        let (own, of_connection) = (Arc::new(Credit::new(1000)), Arc::new(Credit::new(0)));
        let credits = (own.clone(), of_connection.clone());
        let answers = Answering::new((1, false), outbound, credits, Duration::from_millis(1));
        let share = budgets.outgoing.take(1000).await;
        let sent = answers.send_of(row(&answers), share).await;
        assert_eq!(sent, Err(Ended));
        assert_eq!(answers.gave_way().map(|why| why.code), Some(Code::TooSlow));
        assert!(own.is_there(), "what is not sent takes nothing");
        assert!(!budgets.outgoing.is_short_of(1000));
        // Something small holds nothing of others, and waits.
        let mut waits = Box::pin(answers.send(row(&answers)));
        assert!(waits.as_mut().now_or_never().is_none());
        of_connection.add(1);
        assert_eq!(waits.await, Ok(()));
    }
}
