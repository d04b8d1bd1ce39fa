//! The log of one store at one host: what happens goes in, what to do comes out. No I/O, no clock, and no chance but that of the seed.
//!
//! Each event changes what is known. Then [`SharedLog::pump`] looks at everything that is known and starts what is missing. So nothing has to
//! be woken, and an event that comes late, twice or never can only leave something to be started again.

use std::collections::BTreeMap;
use std::time::Duration;

use streamkit_engine::Dice;
use streamkit_engine::boundary::figures::LogFigures;
use uuid::Uuid;

use super::blobs::Checkpoint;
use super::call::{Call, CallId, Said};
use super::errand::{Errand, pause};
use super::event::{Action, CallerId, Event, Failure, Now, Outcome, Why};
use super::flight::Flight;
use super::group::Boot;
use super::ledger::Ledger;
use super::look::Looking;
use super::pace::Pace;
use super::place::Place;
use super::settings::Settings;
use super::spare::Spare;
use super::stage::Opening;
use super::tail::Tail;
use super::waiting::{Asked, Caller, Turn, Waiting};
use super::watch::Watch;
use crate::medium::Unanswered;

/// The log of a store at a host.
pub struct SharedLog<L: Ledger> {
    pub(super) settings: Settings,
    pub(super) home: L::Home,
    pub(super) boot: Boot,
    pub(super) dice: Dice,
    pub(super) now: Now,
    pub(super) turn: Turn,
    pub(super) phase: Phase,
    pub(super) is_leaving: bool,
    /// `None` until an open has found where the log begins, or restored a checkpoint.
    pub(super) tail: Option<Tail<L>>,
    pub(super) waiting: Waiting<L::Request>,
    pub(super) flight: Flight<L::Request>,
    /// The checkpoint that was not there when it was looked for.
    pub(super) missing: Option<Uuid>,
    pub(super) looking: Looking,
    pub(super) spare: Spare,
    pub(super) watch: Watch,
    pub(super) pace: Pace,
    /// Until when the service asked to wait.
    pub(super) throttled: Duration,
    pub(super) groups: u64,
    /// What was done and is not yet told.
    pub(super) done: LogFigures,
    /// What was known when all that wait were ruled on last, and until which event they had come.
    pub(super) ruled: Option<(Option<Place>, Turn, Turn)>,
    names: u128,
    calls: BTreeMap<CallId, Purpose>,
    last_call: u64,
    actions: Vec<Action<L>>,
}

/// Where a log is in its life.
pub(super) enum Phase {
    /// Not opened.
    Closed,
    /// On the way to its tail, for the first time or because an extent was retired meanwhile.
    Opening(Box<Opening>),
    /// At the tail.
    Open,
    /// It cannot go on.
    Failed(Failure),
    /// Left.
    Left,
}

/// What a log does, for those who watch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogState {
    /// Not opened, or left.
    Closed,
    /// On the way to the tail. What is pinned stays pinned.
    Opening,
    /// At the tail, with nothing to do.
    Idle,
    /// A group is to be inserted, and something has to come before: its body, or the clock, or the extent where it leads.
    Planned,
    /// Groups are pinned.
    InFlight,
    /// A look is under way.
    CatchingUp,
    /// It cannot go on.
    Failed,
}

/// What a call was made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    Open,
    Look,
    Body,
    Store(u64),
    Insert(u64),
    Spare,
    Clock,
    /// Nobody waits for what comes of it.
    Tidy,
}

impl<L: Ledger> SharedLog<L> {
    /// A log that is closed. `boot` is another one for each log and each start; `seed` decides pauses.
    pub fn new(settings: Settings, home: L::Home, boot: Boot, seed: u64) -> Self {
        Self {
            settings,
            home,
            boot,
            dice: Dice::new(seed),
            now: Now::default(),
            turn: 0,
            phase: Phase::Closed,
            is_leaving: false,
            tail: None,
            waiting: Waiting::new(),
            flight: Flight(Default::default()),
            missing: None,
            looking: Looking::default(),
            spare: Spare::None,
            watch: Watch::default(),
            pace: Pace::default(),
            throttled: Duration::ZERO,
            groups: 0,
            done: LogFigures::default(),
            ruled: None,
            names: 0,
            calls: BTreeMap::new(),
            last_call: 0,
            actions: Vec::new(),
        }
    }

    /// Something happens; what is to be done comes back, in order.
    pub fn step(&mut self, now: Now, event: Event<L::Request>) -> Vec<Action<L>> {
        assert!(now.uptime >= self.now.uptime, "the uptime only grows");
        self.now = now;
        self.turn += 1;
        match event {
            Event::Open => self.open(),
            Event::Ask(caller, request, deadline) => self.ask(self.caller(caller, deadline), request),
            Event::Look(caller, deadline) => self.look(self.caller(caller, deadline)),
            Event::Forget(caller) => self.gone(|waiting| waiting.id == caller, None),
            Event::Hint(place) => self.looking.hinted = self.looking.hinted.max(Some(place)),
            Event::Said(call, said) => self.said(call, said),
            Event::Tick => {}
            Event::Leave => self.leave(),
        }
        self.expire();
        self.pump();
        std::mem::take(&mut self.actions)
    }

    /// At which uptime the log has to be told that it is time, if nothing else happens before.
    pub fn wakes(&self) -> Option<Duration> {
        let is_throttled = self.is_throttled();
        let (opening, flight) = match &self.phase {
            Phase::Closed | Phase::Failed(_) | Phase::Left => return None,
            Phase::Opening(opening) => (opening.errand.wakes(), None),
            // Nothing is sent while the service asks to wait.
            Phase::Open => (None, self.flight.wakes().filter(|_| !is_throttled)),
        };
        let each = [
            self.waiting.first_deadline(),
            opening,
            flight,
            self.looking.wakes(),
            self.watch.errand.wakes().filter(|_| self.wants_clock()),
            self.spare.wakes(),
            is_throttled.then_some(self.throttled),
        ];
        each.into_iter().flatten().min()
    }

    /// What is durable, as far as this host knows; `None` before the first open has come that far.
    pub fn ledger(&self) -> Option<&L> {
        self.tail.as_ref().map(|tail| &tail.ledger)
    }

    /// Up to which place that is.
    pub fn place(&self) -> Option<Place> {
        self.tail.as_ref().map(|tail| tail.place)
    }

    /// The same as a checkpoint.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let tail = self.tail.as_ref().filter(|tail| !tail.is_unproven);
        tail.and_then(Tail::checkpoint)
    }

    /// What it does now.
    pub fn state(&self) -> LogState {
        match &self.phase {
            Phase::Closed | Phase::Left => LogState::Closed,
            Phase::Opening(_) => LogState::Opening,
            Phase::Failed(_) => LogState::Failed,
            Phase::Open if !self.flight.0.is_empty() => LogState::InFlight,
            Phase::Open if self.looking.is_on() => LogState::CatchingUp,
            Phase::Open if !self.waiting.queue.is_empty() => LogState::Planned,
            Phase::Open => LogState::Idle,
        }
    }

    /// What it did since this was asked for last.
    pub fn take_done(&mut self) -> LogFigures {
        std::mem::take(&mut self.done)
    }

    fn caller(&self, id: CallerId, deadline: Duration) -> Caller {
        let came = self.turn;
        Caller { id, came, deadline }
    }

    fn ask(&mut self, caller: Caller, request: L::Request) {
        let bytes = L::size(&request);
        let refused = self.is_shut().or_else(|| self.is_full(bytes));
        match refused {
            Some(why) => self.actions.push(Action::Answer(caller.id, Outcome::NotStored(why))),
            None => self.waiting.ask(Asked { caller, request, bytes }),
        }
    }

    fn look(&mut self, caller: Caller) {
        let refused = self.is_shut().or_else(|| self.is_full(0));
        match refused {
            Some(why) => self.actions.push(Action::Looked(caller.id, Err(why))),
            None => {
                self.done.looks += 1;
                self.waiting.look(caller);
            }
        }
    }

    fn is_full(&self, bytes: usize) -> Option<Why> {
        let most = (self.settings.waiting_bytes, self.settings.waiting_callers);
        let after = self
            .throttled
            .checked_sub(self.now.uptime)
            .filter(|_| self.is_throttled());
        (!self.waiting.has_room(bytes, most.0, most.1)).then_some(Why::Full { after })
    }

    fn is_shut(&self) -> Option<Why> {
        match &self.phase {
            Phase::Failed(failure) => Some(Why::Failed(failure.clone())),
            Phase::Closed | Phase::Left => Some(Why::Closed),
            Phase::Opening(_) | Phase::Open => self.is_leaving.then_some(Why::Closed),
        }
    }

    fn said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        let Some(purpose) = self.calls.remove(&call) else {
            return;
        };
        if let Err(Unanswered::Throttled { .. }) = &said {
            let after = pause(0, said.as_ref().expect_err("it is"), &mut self.dice);
            self.throttled = self.throttled.max(self.now.uptime + after);
        }
        if let Err(Unanswered::Refused(why)) = &said
            && purpose != Purpose::Tidy
        {
            return self.fail(Failure::Refused(why.clone()));
        }
        if let Err(Unanswered::Damaged(why)) = said {
            return self.fail(Failure::Damaged(why));
        }
        match purpose {
            Purpose::Open => self.opening_said(call, said),
            Purpose::Look => self.look_said(call, said),
            Purpose::Body => self.body_said(call, said),
            Purpose::Store(number) => self.store_said(call, number, said),
            Purpose::Insert(number) => self.insert_said(call, number, said),
            Purpose::Spare => self.spare_said(call, said),
            Purpose::Clock => self.clock_said(call, said),
            Purpose::Tidy => {}
        }
    }

    fn clock_said(&mut self, call: CallId, said: Result<Said, Unanswered>) {
        if !self.watch.errand.is_answered_by(call) {
            return;
        }
        match said {
            Ok(Said::Time(service)) => {
                self.watch.errand = Errand::default();
                self.watch.told(self.now, service);
            }
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => self.watch.errand.failed(self.now.uptime, &why, &mut self.dice),
        }
    }

    /// Starts what is missing.
    fn pump(&mut self) {
        // What a body that came now has shown may be planned on at once.
        for _ in 0..2 {
            match &self.phase {
                Phase::Closed | Phase::Failed(_) | Phase::Left => return,
                Phase::Opening(_) => self.pump_opening(),
                Phase::Open => {
                    self.plan();
                    self.send();
                }
            }
            self.pump_look();
        }
        self.pump_spare();
        if self.wants_clock() && self.watch.errand.is_due(self.now.uptime) {
            self.watch.begins(self.now);
            let call = self.call(Purpose::Clock, Call::ServiceTime);
            self.watch.errand.made(call);
        }
        self.leave_if_done();
    }

    /// Whether the clock should be checked: soon, or now, a group is to be given a commit time.
    fn wants_clock(&self) -> bool {
        let is_asked = !self.waiting.queue.is_empty() || matches!(self.phase, Phase::Opening(_));
        is_asked && !self.is_leaving && self.watch.wants_check(self.now)
    }

    pub(super) fn call(&mut self, purpose: Purpose, call: Call) -> CallId {
        self.last_call += 1;
        let id = CallId(self.last_call);
        self.calls.insert(id, purpose);
        self.actions.push(Action::Call(id, call));
        id
    }

    pub(super) fn act(&mut self, action: Action<L>) {
        self.actions.push(action);
    }

    /// A name that nothing has: random per start, and counted within it.
    pub(super) fn name(&mut self) -> Uuid {
        self.names += 1;
        Uuid::from_u128(self.boot.boot.as_u128() ^ self.names)
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.throttled > self.now.uptime
    }
}
