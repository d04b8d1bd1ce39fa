//! What becomes of pinned groups: the log tells, and nothing else.

use super::call::{Call, CallId, Said};
use super::errand::pause;
use super::event::{Action, Outcome};
use super::flight::{Inserting, Pinned, Standing};
use super::group::GroupBody;
use super::ledger::Ledger;
use super::machine::{Purpose, SharedLog};
use super::spare::Spare;
use crate::medium::{Inserted, Unanswered};

impl<L: Ledger> SharedLog<L> {
    pub(super) fn store_said(&mut self, call: CallId, number: u64, said: Result<Said, Unanswered>) {
        let Some(pinned) = self.flight.number(number) else {
            return;
        };
        let Standing::Storing(errand) = &mut pinned.standing else {
            return;
        };
        if !errand.is_answered_by(call) {
            return;
        }
        match said {
            // A name of ours that is taken has our bytes.
            Ok(Said::Put(_)) => pinned.standing = Standing::Inserting(Inserting::default()),
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => errand.failed(self.now.uptime, &why, &mut self.dice),
        }
    }

    pub(super) fn insert_said(&mut self, call: CallId, number: u64, said: Result<Said, Unanswered>) {
        let Some(pinned) = self.flight.number(number) else {
            return;
        };
        let Standing::Inserting(inserting) = &mut pinned.standing else {
            return;
        };
        let Some(sent) = inserting.answered(call) else {
            return;
        };
        match said {
            Ok(Said::Inserted(Inserted::Done)) => {
                self.pace.took(self.now.uptime - sent);
                pinned.standing = Standing::Landed;
                self.commit_landed();
            }
            // It may be there already: what is there, and by whom, tells.
            Ok(Said::Inserted(Inserted::Taken)) => pinned.standing = Standing::Taken(self.turn),
            Ok(Said::Inserted(Inserted::Retired)) => {
                let unknown = Unanswered::Unknown("the extent is retired".to_owned());
                let dice = &mut self.dice;
                inserting.failed(self.now.uptime, |failures| pause(failures, &unknown, dice));
                self.reopen();
            }
            Ok(_) => unreachable!("calls are answered by their kind"),
            Err(why) => {
                let dice = &mut self.dice;
                inserting.failed(self.now.uptime, |failures| pause(failures, &why, dice));
            }
        }
    }

    /// Commits the first pinned groups, as far as they are in their slots.
    pub(super) fn commit_landed(&mut self) {
        while let Some(Standing::Landed) = self.flight.0.front().map(|pinned| &pinned.standing) {
            if !self.commit_first() {
                return;
            }
        }
    }

    /// The first pinned group is in its slot, and all before it is known. Returns whether the log goes on.
    pub(super) fn commit_first(&mut self) -> bool {
        let pinned = self.flight.0.pop_front().expect("there is one");
        let tail = self.tail.as_mut().expect("what is pinned was planned behind it");
        let sent = pinned.sent.expect("what is in a slot was sent");
        if let Err(failure) = tail.apply(&pinned.group, &pinned.body) {
            self.flight.0.push_front(pinned);
            self.fail(failure);
            return false;
        }
        let place = tail.place;
        self.done.own_groups += 1;
        // The first send came before it was in its slot, and with that all before it is known.
        self.looking.known = self.looking.known.max(sent);
        if let (Spare::Ready(spare), Some(next)) = (&self.spare, pinned.group.seal)
            && *spare == next
        {
            self.spare = Spare::None;
        }
        let requests: Vec<_> = pinned.requests.iter().map(|pinned| &pinned.asked.request).collect();
        let answers = tail.ledger.answers(&requests);
        assert_eq!(answers.len(), requests.len(), "each request has its answer");
        for (request, answer) in pinned.requests.into_iter().zip(answers) {
            self.waiting.forgets(request.asked.bytes);
            if request.is_awaited {
                self.answer(request.asked.caller, Outcome::Durable(answer));
            }
        }
        self.act(Action::Hint(place));
        true
    }

    /// The slot of the first pinned group holds another one. So it is not in the log and never will be, and those behind it are void wherever they
    /// land. Whoever still waits for their requests waits for another group.
    pub(super) fn lose_all(&mut self) {
        let lost: Vec<Pinned<L::Request>> = self.flight.0.drain(..).collect();
        self.done.lost_groups += lost.len() as u64;
        for pinned in lost.into_iter().rev() {
            for request in pinned.requests.into_iter().rev() {
                match request.is_awaited {
                    true => self.waiting.queue.push_front(request.asked),
                    false => self.waiting.forgets(request.asked.bytes),
                }
            }
            if let GroupBody::Blob { id, .. } = pinned.group.body {
                self.call(Purpose::Tidy, Call::DeleteBlob(GroupBody::blob_name(id)));
            }
        }
        if self.is_leaving {
            self.turn_away();
        }
    }
}
