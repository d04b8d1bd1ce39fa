//! The way of calls to the storage and of answers back.

use std::time::Duration;

use streamkit_engine::Timestamp;

use super::faults::Fate;
use super::happening::{Happening, ReplyTo};
use super::hosts::BEGIN_MILLIS;
use super::storage::{Step, Work};
use super::time::Micros;
use super::witness::Sent;
use super::world::World;
use crate::log::{CALL_TIMEOUT, Call, Group, Said, StoreRoot};
use crate::medium::{Swapped, Unanswered};

impl World {
    /// A host makes a call.
    pub fn send(&mut self, to: ReplyTo, call: Call) {
        self.counts.calls += 1;
        self.watch_insert(to, &call);
        let timeout = self.now + CALL_TIMEOUT.as_micros() as Micros;
        let unknown = Err(Unanswered::Unknown("no answer".to_owned()));
        self.at(timeout, Happening::Answer(to, unknown));
        let fate = self.faults.fate(&mut self.dice, &self.plan, self.now, to.host);
        let is_doubled = !self.faults.is_over && self.dice.chance(self.plan.doubled, 1000);
        if is_doubled {
            let late = match self.dice.chance(1, 2) {
                true => self.dice.below(200_000),
                false => self.dice.below(60_000_000),
            };
            let arrives = self.now + self.way() + late;
            self.at(arrives, Happening::Step(Work::new(call.clone()), None, Fate::Unheard));
        }
        if fate != Fate::Lost {
            let arrives = self.now + self.way();
            self.at(arrives, Happening::Step(Work::new(call), Some(to), fate));
        }
    }

    /// How long a message takes.
    fn way(&mut self) -> Micros {
        let usual = 500 + self.dice.below(4_000);
        match !self.faults.is_over && self.dice.chance(self.plan.slow, 1000) {
            true => usual + self.dice.below(6_000_000),
            false => usual,
        }
    }

    /// The storage carries out a step of a call.
    pub fn served(&mut self, work: Work, to: Option<ReplyTo>, fate: Fate) {
        if !self.faults.is_over && self.now < self.faults.out {
            return;
        }
        let refused = match fate {
            Fate::Throttled if self.dice.chance(7, 8) => Some(self.throttled()),
            Fate::Denied => Some(Unanswered::Denied("the credential is over".to_owned())),
            Fate::Answered | Fate::Lost | Fate::Unheard | Fate::Failed | Fate::Throttled => None,
        };
        if let Some(refused) = refused {
            return self.reply(to, Err(refused));
        }
        let is_removal = matches!(work, Work::Retiring(_));
        let time = Timestamp(BEGIN_MILLIS + (self.now / 1000) as i64);
        match self.storage.step(work, self.plan.page, time) {
            Step::More(_) if is_removal && !self.faults.is_over && self.dice.chance(self.plan.halved, 1000) => {}
            Step::More(work) => {
                let next = self.now + 200 + self.dice.below(5_000);
                self.at(next, Happening::Step(work, to, fate));
            }
            Step::Done(said) => {
                if let Said::Swapped(Swapped::Done(_)) = &said {
                    self.watch_root();
                }
                match fate {
                    Fate::Unheard | Fate::Lost => {}
                    Fate::Failed => self.reply(to, Err(Unanswered::Unknown("500".to_owned()))),
                    Fate::Throttled => {
                        let throttled = self.throttled();
                        self.reply(to, Err(throttled));
                    }
                    Fate::Answered | Fate::Denied => self.reply(to, Ok(said)),
                }
            }
        }
    }

    fn throttled(&mut self) -> Unanswered {
        let after = match self.dice.below(3) {
            0 => None,
            1 => Some(Duration::from_millis(self.dice.below(100))),
            _ => Some(Duration::from_millis(self.dice.below(4_000))),
        };
        Unanswered::Throttled { after }
    }

    fn reply(&mut self, to: Option<ReplyTo>, said: Result<Said, Unanswered>) {
        if let Some(to) = to {
            let arrives = self.now + self.way();
            self.at(arrives, Happening::Answer(to, said));
        }
    }

    /// The root only goes on: its checkpoint, and where the log is live.
    fn watch_root(&mut self) {
        let root = self.storage.root.as_ref().map(|root| StoreRoot::decode(&root.bytes));
        let Some(Ok(root)) = root else {
            self.witness.broken.push("the root is none".to_owned());
            return;
        };
        let came = (root.live.ordinal, root.checkpoint.map(|at| at.place));
        if came.0 < self.came.0 || came.1 < self.came.1 {
            self.witness
                .broken
                .push(format!("the root goes back from {:?} to {came:?}", self.came));
        }
        self.came = came;
    }

    /// A group has one content and one slot for ever; at depth 1, so has a slot of a host.
    fn watch_insert(&mut self, to: ReplyTo, call: &Call) {
        let Call::InsertAt(extent, slot, bytes, _) = call else {
            return;
        };
        let at = self.hosts[to.host].now(self.now).uptime;
        if self.hosts[to.host]
            .running
            .as_ref()
            .is_some_and(|running| at < running.throttled)
        {
            self.witness
                .broken
                .push(format!("host {} inserts while the storage asks to wait", to.host));
        }
        let Ok(group) = Group::decode(bytes, *extent, *slot) else {
            self.witness
                .broken
                .push(format!("a group is sent to a slot {slot} that it is not for"));
            return;
        };
        let sent = (*extent, *slot, bytes.clone());
        match self.sent.get(&group.id) {
            Some(before) if *before != sent => {
                self.witness
                    .broken
                    .push(format!("group {} is sent with other bytes, or elsewhere", group.id));
            }
            Some(_) => self.counts.again += 1,
            None => {
                let at = BEGIN_MILLIS + (self.now / 1000) as i64;
                let id = group.id;
                self.witness.sent.push(Sent { group: id, at });
                self.sent.insert(id, sent);
                let before = self.slots.insert((to.host, to.boot, *extent, *slot), id);
                if self.plan.depth == 1 && before.is_some() {
                    self.witness
                        .broken
                        .push(format!("slot {slot} gets another group, {id}"));
                }
            }
        }
    }
}
