//! To be there as a worker, until one leaves.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use streamkit_protocol::v2::{Call as Asked, OwnWorker, Workers as OverV2};
use streamkit_protocol::{Metadata, Request, SubscribeWorkers};
use streamkit_record::Timestamp;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::channel::{Ask, LiveChannel, Stopped, WINDOW_BYTES};
use super::resuming::Resuming;
use super::standing::LivePhase;
use super::workers::inventory;
use crate::call::Call;
use crate::error::Error;
use crate::hooks::LiveEvent;

/// A worker says that it is there so often, within these bounds.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

/// A server is taken for dead after so many heartbeats that did not come.
const BEATS_MISSED: u32 = 3;

/// How a server of v1 tells a worker that it heard too little of it.
const NOT_HEARD_OF: &str = "no presence for ";

/// Most bytes of a key or value of metadata, and most pairs.
const METADATA_TEXT_MAX: usize = u16::MAX as usize;

/// A worker that comes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewWorker {
    /// Its identity. One that comes later under the same id takes its place.
    pub id: Uuid,
    /// What it says of itself: at most 65 535 pairs, of texts of at most 65 535 bytes. All workers of a store have 256 KiB together.
    pub metadata: Metadata,
    /// How often it says that it is there, and the server as often, in whole seconds between one and 300. The server takes a worker for gone
    /// after three times as long, 30 s at least; a server of which nothing is heard for three times as long is taken for dead.
    pub heartbeat: Duration,
    /// How long it may be without a server before it fails. Zero: as long as the client's timeout.
    pub patience: Duration,
}

impl NewWorker {
    /// Under this id, with a heartbeat of 10 s.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            metadata: Metadata::new(),
            heartbeat: Duration::from_secs(10),
            patience: Duration::ZERO,
        }
    }

    /// The same, which says this of itself, too.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

/// A worker that is there, until this is dropped, or the client closed. If its connection ends, it comes again over the next one.
pub struct Presence {
    id: Uuid,
    phase: watch::Receiver<LivePhase>,
    stop: watch::Sender<bool>,
    task: AbortHandle,
}

impl Presence {
    /// Comes, and waits until the server has said so.
    pub(super) async fn join(call: Call, worker: NewWorker) -> Result<Self, Error> {
        let (phase, mut stands) = watch::channel(LivePhase::Begins);
        let (stop, stops) = watch::channel(false);
        let id = worker.id;
        let member = Member::new(call, worker, phase)?;
        let joined = Self {
            id,
            phase: stands.clone(),
            stop,
            task: tokio::spawn(member.run(stops)).abort_handle(),
        };
        let begun = stands.wait_for(|phase| !matches!(phase, LivePhase::Begins)).await;
        match begun.map(|phase| phase.clone()) {
            Ok(LivePhase::Failed(error)) => Err(error),
            Ok(LivePhase::Ended) | Err(_) => Err(Error::Closed),
            Ok(_) => Ok(joined),
        }
    }

    /// Its id.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// How it stands.
    pub fn phase(&self) -> LivePhase {
        self.phase.borrow().clone()
    }

    /// Leaves.
    pub fn leave(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until it is there no longer, for good.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// Why it failed, such as [`Error::Refused`] where another came under its id; no error if [`Presence::leave`] or
    /// [`crate::Client::close`] ended it.
    pub async fn ended(&self) -> Result<(), Error> {
        let mut phase = self.phase.clone();
        let over = phase.wait_for(|phase| matches!(phase, LivePhase::Failed(_) | LivePhase::Ended));
        match over.await.map(|phase| phase.clone()) {
            Ok(LivePhase::Failed(error)) => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Member {
    call: Call,
    id: Uuid,
    heartbeat: Duration,
    ask: Ask,
    resuming: Resuming,
    phase: watch::Sender<LivePhase>,
}

impl Member {
    fn new(call: Call, worker: NewWorker, phase: watch::Sender<LivePhase>) -> Result<Self, Error> {
        let NewWorker {
            id,
            metadata,
            heartbeat,
            patience,
        } = worker;
        if id.is_nil() {
            return Err(Error::Invalid(
                "invalid worker: the nil id stands for nobody".to_owned(),
            ));
        }
        // v2 would cut what is longer.
        let is_too_long = |text: &String| text.len() > METADATA_TEXT_MAX;
        if metadata.len() > METADATA_TEXT_MAX
            || metadata
                .iter()
                .any(|(key, value)| is_too_long(key) || is_too_long(value))
        {
            let why = format!(
                "invalid worker: at most {METADATA_TEXT_MAX} pairs of metadata, and as many bytes of each text"
            );
            return Err(Error::Invalid(why));
        }
        // v1 counts whole seconds.
        let seconds = heartbeat.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX).as_millis().div_ceil(1000);
        let heartbeat = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let v1 = SubscribeWorkers {
            worker_id: id,
            metadata: metadata.clone(),
            heartbeat_interval_seconds: heartbeat.as_secs().cast_signed(),
        };
        let own = OwnWorker {
            id,
            heartbeat,
            is_answered: true,
            metadata,
        };
        let v2 = OverV2 {
            credit: WINDOW_BYTES,
            own: Some(own),
        };
        let patience = match patience {
            Duration::ZERO => call.timeout(),
            patience => patience,
        };
        Ok(Self {
            call,
            id,
            heartbeat,
            ask: Ask {
                v1: Request::SubscribeWorkers(v1),
                v2: Asked::Workers(v2),
            },
            resuming: Resuming::new(patience),
            phase,
        })
    }

    async fn run(mut self, mut stops: watch::Receiver<bool>) {
        let mut closing = self.call.closing();
        let ended = tokio::select! {
            biased;
            _ = stops.wait_for(|stops| *stops) => LivePhase::Ended,
            () = closing.begins() => LivePhase::Ended,
            error = self.stays() => LivePhase::Failed(error),
        };
        if let LivePhase::Failed(error) = &ended {
            let (worker, why) = (self.id, error.to_string());
            tracing::warn!(%worker, why, "a worker is there no longer");
            self.call.tell(&LiveEvent::WorkerFailed { worker, why });
        }
        self.phase.send_replace(ended);
    }

    /// Is there, over one connection after the other, until it fails for good.
    async fn stays(&mut self) -> Error {
        loop {
            let Err(stopped) = self.is_there().await;
            let error = match stopped {
                // It is not told any more, and comes again.
                Stopped::Behind => continue,
                Stopped::Failed(Error::Refused(why)) if why.starts_with(NOT_HEARD_OF) => Error::Unavailable(why),
                Stopped::Failed(error) => error,
            };
            if matches!(*self.phase.borrow(), LivePhase::Live) && error.is_transient() {
                let (worker, why) = (self.id, error.to_string());
                self.call.tell(&LiveEvent::WorkerBroken { worker, why });
                self.phase.send_replace(LivePhase::Reconnecting(error.to_string()));
            }
            if let Err(error) = self.resuming.go_on(error).await {
                return error;
            }
        }
    }

    async fn is_there(&mut self) -> Result<Infallible, Stopped> {
        let silence = Some(self.heartbeat * BEATS_MISSED);
        let patience = self.resuming.patience();
        let mut channel = LiveChannel::open(&self.call, &self.ask, silence, patience).await?;
        let mut beats = tokio::time::interval(self.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_known = false;
        loop {
            tokio::select! {
                biased;
                _ = beats.tick() => channel.lives(self.id, now(), self.heartbeat).await?,
                came = channel.next() => {
                    inventory(&came?)?;
                    match std::mem::replace(&mut is_known, true) {
                        true => self.resuming.went_on(),
                        false => self.is_known(),
                    }
                }
            }
        }
    }

    /// The server has told something: it knows the worker.
    fn is_known(&mut self) {
        self.resuming.has_begun();
        self.phase.send_replace(LivePhase::Live);
        self.call.tell(&LiveEvent::WorkerPresent { worker: self.id });
    }
}

/// The time of day, as workers tell it.
fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
