//! What a subscription tells: what is there, then each change, over one connection after the other.

use std::sync::Arc;
use std::time::Duration;

use streamkit_protocol::v2::{Call as Asked, Subscribe as OverV2, statuses};
use streamkit_protocol::{Request, SegmentStatus, SubscribeToSegmentStatus};

use super::channel::{Ask, Came, LiveChannel, Stopped, WINDOW_BYTES};
use super::pending::Pending;
use super::resuming::Resuming;
use super::standing::{LivePhase, Standing};
use super::subscribe::Subscribe;
use crate::call::Call;
use crate::error::Error;
use crate::hooks::LiveEvent;
use crate::verbs::{name, range};

/// All segments of a space, in a request of v1.
const ALL: &str = "*";

/// A server is taken for dead after so many heartbeats that did not come.
const BEATS_MISSED: u32 = 3;

/// An idle server says that it is there as often as it is asked to, within these bounds.
const HEARTBEAT_MIN: Duration = Duration::from_secs(1);
const HEARTBEAT_MAX: Duration = Duration::from_secs(300);

/// A subscription under way.
pub(super) struct Statuses {
    call: Call,
    of: Subscribe,
    ask: Ask,
    silence: Duration,
    /// `None` before it is opened, and while there is no connection.
    channel: Option<LiveChannel>,
    /// Whether the server said over this channel that it has told what there is.
    is_settled: bool,
    pending: Pending,
    /// Why the channel is over, told behind what is pending.
    stopped: Option<Stopped>,
    /// Of one segment, what was told last.
    last: Option<SegmentStatus>,
    resuming: Resuming,
    standing: Arc<Standing>,
}

impl Statuses {
    /// Of what is asked for; nothing is sent yet.
    pub(super) fn new(
        call: Call,
        of: Subscribe,
        standing: Arc<Standing>,
        resuming: impl FnOnce(Duration) -> Resuming,
    ) -> Result<Self, Error> {
        let asked = match of.heartbeat {
            Duration::ZERO => call.timeout() / BEATS_MISSED,
            heartbeat => heartbeat,
        };
        // v1 counts whole seconds.
        let seconds = asked.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX).as_millis().div_ceil(1000);
        let heartbeat = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        let patience = match of.patience {
            Duration::ZERO => call.timeout(),
            patience => patience,
        };
        Ok(Self {
            ask: ask(&of, heartbeat)?,
            call,
            of,
            silence: heartbeat * BEATS_MISSED,
            channel: None,
            is_settled: false,
            pending: Pending::default(),
            stopped: None,
            last: None,
            resuming: resuming(patience),
            standing,
        })
    }

    /// What is told next. It has no end but an error.
    pub(super) async fn next(&mut self) -> Result<SegmentStatus, Error> {
        loop {
            self.take_what_is_here();
            if let Some(status) = self.pending.pop() {
                if self.of.segment.is_some() {
                    if self.last.as_ref() == Some(&status) {
                        continue;
                    }
                    self.last = Some(status.clone());
                }
                self.standing.change(|state| state.statuses += 1);
                return Ok(status);
            }
            match self.stopped.take() {
                Some(stopped) => self.go_on(stopped).await?,
                None => {
                    if let Err(stopped) = self.wait().await {
                        self.stop(stopped);
                    }
                }
            }
        }
    }

    /// Takes what has arrived, as far as there is room: the newest of each segment is told, and the server keeps the rest.
    fn take_what_is_here(&mut self) {
        while self.pending.has_room()
            && let Some(channel) = &mut self.channel
            && let Some(came) = channel.try_next()
        {
            if let Err(stopped) = came.and_then(|came| self.take(&came)) {
                self.stop(stopped);
            }
        }
    }

    /// Waits for something that is not here yet.
    async fn wait(&mut self) -> Result<(), Stopped> {
        let channel = match &mut self.channel {
            Some(channel) => channel,
            None => {
                let patience = self.resuming.patience();
                let opened = LiveChannel::open(&self.call, &self.ask, Some(self.silence), patience).await?;
                self.is_settled = false;
                self.channel.insert(opened)
            }
        };
        let came = channel.next().await?;
        self.take(&came)
    }

    fn take(&mut self, came: &Came) -> Result<(), Stopped> {
        let told = match came {
            Came::V1(message) => vec![SegmentStatus::decode(message).map_err(Error::malformed)?],
            Came::V2(message) => {
                let told = statuses(message).map_err(Error::malformed)?;
                told.iter().map(range).collect()
            }
        };
        let is_heartbeat = told.iter().all(|status| status.heartbeat);
        match self.is_settled {
            true => self.resuming.went_on(),
            false => self.resuming.has_begun(),
        }
        self.is_settled |= is_heartbeat;
        self.is_live();
        let mut coalesced = 0;
        for status in told.into_iter().filter(|status| !status.heartbeat) {
            let is_of_it = self
                .of
                .segment
                .as_ref()
                .is_none_or(|segment| *segment == status.segment);
            if status.space != self.of.space || !is_of_it {
                let (space, segment) = (&status.space, &status.segment);
                let why = format!("a status of {space}/{segment} in a subscription to {}", self.of);
                return Err(Error::Protocol(why).into());
            }
            coalesced += u64::from(self.pending.put(status));
        }
        self.standing.change(|state| state.coalesced += coalesced);
        Ok(())
    }

    fn is_live(&self) {
        if matches!(self.standing.now().phase, LivePhase::Live) {
            return;
        }
        self.standing.change(|state| {
            state.phase = LivePhase::Live;
            state.connections += 1;
        });
        let (space, segment) = (self.of.space.clone(), self.of.segment.clone());
        self.call.tell(&LiveEvent::SubscriptionLive { space, segment });
    }

    fn stop(&mut self, stopped: Stopped) {
        self.channel = None;
        self.stopped = Some(stopped);
    }

    /// Goes on over another channel, if it may.
    async fn go_on(&mut self, stopped: Stopped) -> Result<(), Error> {
        let Stopped::Failed(error) = stopped else {
            // It asks again for what is there now.
            return Ok(());
        };
        let why = error.to_string();
        let was_live = matches!(self.standing.now().phase, LivePhase::Live);
        if was_live && error.is_transient() {
            tracing::info!(of = %self.of, why, "a subscription broke off, and is made anew");
            let phase = LivePhase::Reconnecting(why.clone());
            self.standing.change(|state| state.phase = phase);
            let (space, segment) = (self.of.space.clone(), self.of.segment.clone());
            self.call.tell(&LiveEvent::SubscriptionBroken { space, segment, why });
        }
        let failed = self.resuming.go_on(error).await;
        failed.inspect_err(|error| failed_for_good(&self.call, &self.of, error, &self.standing))
    }
}

/// Notes and tells that it is over.
pub(super) fn failed_for_good(call: &Call, of: &Subscribe, error: &Error, standing: &Standing) {
    standing.change(|state| state.phase = LivePhase::Failed(error.clone()));
    let (space, segment, why) = (of.space.clone(), of.segment.clone(), error.to_string());
    call.tell(&LiveEvent::SubscriptionFailed { space, segment, why });
}

/// What is asked for, in either version.
fn ask(of: &Subscribe, heartbeat: Duration) -> Result<Ask, Error> {
    let space = name(&of.space, "space")?;
    let segment = of.segment.as_deref();
    let segment = segment.map(|segment| name(segment, "segment")).transpose()?;
    if segment.as_ref().is_some_and(|segment| segment.as_str() == ALL) {
        let why = "invalid segment: `*` stands for all segments where a space is followed";
        return Err(Error::Invalid(why.to_owned()));
    }
    let v1 = SubscribeToSegmentStatus {
        space: of.space.clone(),
        segment: of.segment.clone().unwrap_or_else(|| ALL.to_owned()),
        heartbeat_interval_seconds: heartbeat.as_secs().cast_signed(),
    };
    let v2 = OverV2 {
        credit: WINDOW_BYTES,
        space,
        segment,
        heartbeat: Some(heartbeat),
    };
    Ok(Ask {
        v1: Request::SubscribeToSegmentStatus(v1),
        v2: Asked::Subscribe(v2),
    })
}
