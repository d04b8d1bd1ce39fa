//! What those who wait are told: an answer, that it is unknown, or why there is none.

use super::event::{Action, Failure, Outcome, Why};
use super::ledger::Ledger;
use super::machine::{Phase, SharedLog};
use super::spare::Spare;
use super::waiting::Caller;

impl<L: Ledger> SharedLog<L> {
    pub(super) fn answer(&mut self, caller: Caller, outcome: Outcome<L>) {
        self.waiting.goes(&caller);
        self.act(Action::Answer(caller.id, outcome));
    }

    fn looked(&mut self, caller: Caller, result: Result<(), Why>) {
        self.waiting.goes(&caller);
        self.act(Action::Looked(caller.id, result));
    }

    /// Answers the looks that are no newer than what is known.
    pub(super) fn answer_looks(&mut self) {
        while let Some(caller) = self.waiting.looks.front().copied() {
            if caller.came > self.looking.known {
                break;
            }
            self.waiting.looks.pop_front();
            self.looked(caller, Ok(()));
        }
    }

    /// The deadlines that have passed.
    pub(super) fn expire(&mut self) {
        let now = self.now.uptime;
        if self.waiting.first_deadline().is_some_and(|first| first <= now) {
            self.gone(|caller| caller.deadline <= now, Some(Why::Late));
        }
    }

    /// Some wait no longer, and are told why if there is a reason. What is pinned stays pinned.
    pub(super) fn gone(&mut self, is_gone: impl Fn(&Caller) -> bool, why: Option<Why>) {
        for caller in std::mem::take(&mut self.waiting.looks) {
            match (is_gone(&caller), &why) {
                (false, _) => self.waiting.looks.push_back(caller),
                (true, Some(why)) => self.looked(caller, Err(why.clone())),
                (true, None) => self.waiting.goes(&caller),
            }
        }
        for asked in std::mem::take(&mut self.waiting.queue) {
            if !is_gone(&asked.caller) {
                self.waiting.queue.push_back(asked);
                continue;
            }
            self.waiting.forgets(asked.bytes);
            match &why {
                Some(why) => self.answer(asked.caller, Outcome::NotStored(why.clone())),
                None => self.waiting.goes(&asked.caller),
            }
        }
        let mut told = Vec::new();
        for pinned in self.flight.0.iter_mut().flat_map(|pinned| &mut pinned.requests) {
            if pinned.is_awaited && is_gone(&pinned.asked.caller) {
                pinned.is_awaited = false;
                told.push((pinned.asked.caller, L::id(&pinned.asked.request)));
            }
        }
        for (caller, id) in told {
            match &why {
                Some(why) => self.answer(caller, Outcome::Unknown(id, why.clone())),
                None => self.waiting.goes(&caller),
            }
        }
    }

    /// Nothing can go on.
    pub(super) fn fail(&mut self, failure: Failure) {
        self.phase = Phase::Failed(failure.clone());
        self.looking.stop();
        self.gone(|_| true, Some(Why::Failed(failure)));
        if self.is_leaving {
            self.left();
        }
    }

    pub(super) fn leave(&mut self) {
        self.is_leaving = true;
        for caller in std::mem::take(&mut self.waiting.looks) {
            self.looked(caller, Err(Why::Closed));
        }
        self.turn_away();
        if matches!(self.phase, Phase::Closed | Phase::Failed(_)) {
            self.left();
        }
    }

    /// Nothing that is not pinned will be.
    pub(super) fn turn_away(&mut self) {
        for asked in std::mem::take(&mut self.waiting.queue) {
            self.waiting.forgets(asked.bytes);
            self.answer(asked.caller, Outcome::NotStored(Why::Closed));
        }
    }

    /// Left once nothing is pinned, and no extent is there that nobody will ever link.
    pub(super) fn leave_if_done(&mut self) {
        let is_done = self.flight.0.is_empty() && matches!(self.spare, Spare::None);
        if self.is_leaving && is_done {
            self.left();
        }
    }

    fn left(&mut self) {
        self.phase = Phase::Left;
        self.looking.stop();
        self.act(Action::Left);
    }
}
