//! A produce over v1 that survives its connection: what is not acknowledged is kept, looked for in the segment, and sent again if it is not there.

use std::collections::VecDeque;

use streamkit_protocol::SegmentStatus;

use crate::call::Call;
use crate::error::Error;
use crate::found::{Found, found, pause};
use crate::model::NewRecord;
use crate::produce::Produced;
use crate::v2::Patience;

/// Most bytes of records that are kept. Of a produce that has sent more without an acknowledgement, a lost answer stays lost.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// A stream of records to one segment, over one connection after the other.
pub(crate) struct Surviving {
    call: Call,
    space: String,
    segment: String,
    /// `None`: it is to be opened, for the first time or again.
    produced: Option<Produced>,
    /// What is not acknowledged, from the first sequence behind `acknowledged` on.
    kept: VecDeque<NewRecord>,
    kept_bytes: usize,
    /// Records up to this one are not kept, as there were too many.
    unkept: u64,
    acknowledged: u64,
    last: Option<SegmentStatus>,
    /// Why nobody knows what became of those that are not acknowledged; since when it is found out, and how often.
    open: Option<(String, Patience)>,
    times: u32,
    /// Why it is over.
    failed: Option<Error>,
}

impl Surviving {
    pub(crate) async fn open(call: &Call, space: &str, segment: &str, first_sequence: u64) -> Result<Self, Error> {
        let produced = Produced::open(call.channel().await?, space, segment, first_sequence)?;
        Ok(Self {
            call: call.clone(),
            space: space.to_owned(),
            segment: segment.to_owned(),
            produced: Some(produced),
            kept: VecDeque::new(),
            kept_bytes: 0,
            unkept: 0,
            acknowledged: first_sequence - 1,
            last: None,
            open: None,
            times: 0,
            failed: None,
        })
    }

    /// Sends one record and returns its sequence.
    ///
    /// Cancel safe: if dropped while it waits, the record is not part of the stream.
    pub(crate) async fn send(&mut self, record: &NewRecord) -> Result<u64, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            let sent = match self.producing().await? {
                Some(produced) => produced.send(record).await,
                None => continue,
            };
            self.take_over();
            match sent {
                Ok(sequence) => {
                    self.keep(record, sequence);
                    return Ok(sequence);
                }
                Err(error) => self.broke(error).await?,
            }
        }
    }

    /// The highest sequence known to be durable.
    pub(crate) fn acknowledged(&self) -> u64 {
        let here = self.produced.as_ref().map_or(0, Produced::acknowledged);
        self.acknowledged.max(here)
    }

    /// Ends the stream and waits until everything sent is durable. `None` if nothing was sent.
    pub(crate) async fn finish(mut self) -> Result<Option<SegmentStatus>, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        loop {
            let begun = self.producing().await.map(drop);
            match begun {
                // All was found where it belongs: there is nothing more to ask for.
                Err(_) if self.is_settled() => return Ok(self.last),
                begun => begun?,
            }
            let Some(produced) = self.produced.take() else { continue };
            match produced.finish().await {
                Ok(status) => return Ok(status.or(self.last)),
                Err(error) => self.broke(error).await?,
            }
        }
    }

    /// Whether all that was sent is known to be durable.
    fn is_settled(&self) -> bool {
        self.kept.is_empty() && self.unkept <= self.acknowledged && self.last.is_some()
    }

    /// The stream under way. `None`: it could not be begun again now, and may be next time.
    async fn producing(&mut self) -> Result<Option<&mut Produced>, Error> {
        if self.produced.is_none() {
            match self.begun_again().await {
                Ok(produced) => self.produced = Some(produced),
                Err(error) => self.broke(error).await?,
            }
        }
        Ok(self.produced.as_mut())
    }

    /// Looks for what is kept, and sends what is not there.
    async fn begun_again(&mut self) -> Result<Produced, Error> {
        let (space, segment) = (self.space.as_str(), self.segment.as_str());
        let first = self.acknowledged + 1;
        let found = found(&self.call, (space, segment), first, self.kept.iter()).await?;
        match found {
            Found::All(status) => {
                self.acknowledge(status.last_sequence);
                self.goes_on();
                self.last = Some(status);
            }
            // The rest may still come from before, and stand in the way of what is sent now.
            Found::First(count) => self.acknowledge(self.acknowledged + count as u64),
            // Whoever was first stays so.
            Found::Others { ours, head } => {
                let why = match ours {
                    0 => Error::Conflict { head, got: first },
                    // A conflict would say that nothing of it is stored.
                    ours => Error::Unknown(format!(
                        "from sequence {first} on stand {ours} records as they were sent, and others behind them, up to {head}"
                    )),
                };
                self.failed = Some(why.clone());
                return Err(why);
            }
        }
        let (space, segment) = (self.space.as_str(), self.segment.as_str());
        let mut produced = Produced::open(self.call.channel().await?, space, segment, self.acknowledged + 1)?;
        for record in &self.kept {
            produced.send(record).await?;
        }
        Ok(produced)
    }

    /// It broke. Waits before it is begun again, if that may tell what became of the rest.
    async fn broke(&mut self, error: Error) -> Result<(), Error> {
        self.take_over();
        self.produced = None;
        if self.failed.is_none()
            && self.unkept <= self.acknowledged
            && let Some(patience) = self.patience(&error)
        {
            self.times += 1;
            tokio::time::sleep(pause(self.times).min(patience.left())).await;
            return Ok(());
        }
        let error = match (self.failed.take(), self.open.take()) {
            (Some(conflict), _) => conflict,
            (None, Some((why, _))) => Error::Unknown(why),
            (None, None) => error,
        };
        self.failed = Some(error.clone());
        Err(error)
    }

    /// How long it may be tried again. `None`: it may not.
    fn patience(&mut self, error: &Error) -> Option<Patience> {
        let is_lost = match error {
            Error::ConnectionLost(_) => true,
            Error::Unavailable(_) => !error.is_not_stored(),
            _ => false,
        };
        if is_lost && self.open.is_none() {
            self.open = Some((error.to_string(), Patience::new(self.call.timeout())));
        }
        let (_, patience) = self.open.as_ref()?;
        // What stands in the way may be what was sent before.
        let may_pass = error.is_transient() || matches!(error, Error::Conflict { .. });
        (may_pass && !patience.is_over()).then_some(*patience)
    }

    /// Takes over what was acknowledged.
    fn take_over(&mut self) {
        let Some(produced) = &self.produced else { return };
        if produced.acknowledged() > self.acknowledged {
            self.last = produced.last().cloned();
            let acknowledged = produced.acknowledged();
            self.acknowledge(acknowledged);
            self.goes_on();
        }
    }

    fn acknowledge(&mut self, sequence: u64) {
        for _ in self.acknowledged.max(self.unkept)..sequence {
            let gone = self.kept.pop_front().map_or(0, |record| bytes_of(&record));
            self.kept_bytes -= gone;
        }
        self.acknowledged = sequence;
    }

    /// Nothing of before can come any more: the next loss has a time of its own.
    fn goes_on(&mut self) {
        (self.open, self.times) = (None, 0);
    }

    fn keep(&mut self, record: &NewRecord, sequence: u64) {
        let bytes = bytes_of(record);
        if self.unkept > self.acknowledged || self.kept_bytes + bytes > KEPT_BYTES_MAX {
            self.kept.clear();
            self.kept_bytes = 0;
            self.unkept = sequence;
            return;
        }
        self.kept_bytes += bytes;
        self.kept.push_back(record.clone());
    }
}

fn bytes_of(record: &NewRecord) -> usize {
    let pairs = record.metadata.iter();
    record.payload.len() + pairs.map(|(key, value)| key.len() + value.len()).sum::<usize>()
}
