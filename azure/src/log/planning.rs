//! From waiting requests to pinned groups, and their inserts.

use super::call::Call;
use super::errand::Errand;
use super::event::{Outcome, Why};
use super::flight::{Inserting, Pinned, PinnedRequest, Send, Standing};
use super::group::{Group, GroupBody, GroupId};
use super::ledger::{Ledger, Ruling};
use super::machine::{Purpose, SharedLog};
use super::spare::Spare;
use super::waiting::Asked;
use super::watch::ClockState;
use crate::medium::{ExtentId, SlotBefore, SlotNumber};

/// Where a group would go.
struct Next {
    extent: ExtentId,
    slot: SlotNumber,
    predecessor: Option<GroupId>,
    seal: Option<ExtentId>,
}

impl<L: Ledger> SharedLog<L> {
    /// Answers what can be answered, and pins what can be pinned.
    pub(super) fn plan(&mut self) {
        self.answer_looks();
        if let ClockState::Off(millis) = self.watch.state(self.now) {
            for asked in std::mem::take(&mut self.waiting.queue) {
                self.waiting.forgets(asked.bytes);
                self.answer(asked.caller, Outcome::NotStored(Why::ClockOff(millis)));
            }
        }
        while !self.waiting.queue.is_empty() {
            let next = self.next();
            if next.is_none() && !self.rules_anew() {
                return;
            }
            let chosen = self.choose(next.is_some());
            let Some(next) = next.filter(|_| !chosen.is_empty()) else {
                return;
            };
            self.pin(next, chosen);
        }
    }

    /// Where the next group goes, if one may be made now.
    fn next(&mut self) -> Option<Next> {
        let tail = self.tail.as_ref().expect("an open log has one");
        let is_free = self.flight.0.len() < self.settings.depth
            && self.flight.0.iter().all(|pinned| pinned.group.seal.is_none())
            // Somebody else was first, or may have been: more is known soon.
            && self.flight.taken().is_none()
            && !self.looking.has_backlog();
        let is_timely = self.watch.state(self.now) == ClockState::Good && !self.is_throttled();
        if !is_free || !is_timely || self.is_leaving {
            return None;
        }
        let (slot, predecessor) = match self.flight.0.back() {
            Some(pinned) => (pinned.group.slot.next(), Some(pinned.group.id)),
            None => (tail.place.slot, tail.last),
        };
        let seal = match (self.is_at_limit(slot.0), &self.spare) {
            (false, _) => None,
            (true, Spare::Ready(extent)) => Some(*extent),
            (true, _) => return None,
        };
        Some(Next {
            extent: tail.place.extent,
            slot,
            predecessor,
            seal,
        })
    }

    /// Whether more is known, or more were asked for, than when all that wait were ruled on last. While groups are under way nobody who comes
    /// can be answered before more is known.
    fn rules_anew(&mut self) -> bool {
        let place = self.tail.as_ref().map(|tail| tail.place);
        let came = match self.flight.0.is_empty() {
            true => self.waiting.queue.back().map_or(0, |asked| asked.caller.came),
            false => 0,
        };
        let now = Some((place, self.looking.known, came));
        std::mem::replace(&mut self.ruled, now) != now
    }

    /// Rules on all that wait. Returns those of the next group, if one may be made; others that fit wait on.
    fn choose(&mut self, may_pin: bool) -> Vec<Asked<L::Request>> {
        let tail = self.tail.as_ref().expect("an open log has one");
        let mut ahead = L::Ahead::default();
        for pinned in self.flight.0.iter().flat_map(|pinned| &pinned.requests) {
            tail.ledger.claim(&mut ahead, &pinned.asked.request);
        }
        let (mut chosen, mut bytes, mut is_full) = (Vec::new(), 0, !may_pin);
        let (mut kept, mut answers) = (std::collections::VecDeque::new(), Vec::new());
        for mut asked in std::mem::take(&mut self.waiting.queue) {
            match tail.ledger.rule(&mut ahead, &mut asked.request) {
                Ruling::Known(answer) => answers.push((asked, Outcome::Durable(answer))),
                Ruling::Unclear(why) => {
                    let id = L::id(&asked.request);
                    answers.push((asked, Outcome::Unknown(id, Why::Unclear(why))));
                }
                // Somebody may have stored more before this one came, which is not known here yet.
                Ruling::Refused(refusal) if asked.caller.came <= self.looking.known => {
                    answers.push((asked, Outcome::Refused(refusal)));
                }
                Ruling::Fits if !is_full => {
                    is_full = !chosen.is_empty() && bytes + asked.bytes > self.settings.group_bytes;
                    if is_full {
                        kept.push_back(asked);
                        continue;
                    }
                    bytes += asked.bytes;
                    chosen.push(asked);
                }
                Ruling::Refused(_) => {
                    self.looking.wanted = self.looking.wanted.max(asked.caller.came);
                    kept.push_back(asked);
                }
                Ruling::Fits | Ruling::Waits => kept.push_back(asked),
            }
        }
        self.waiting.queue = kept;
        for (asked, outcome) in answers {
            self.waiting.forgets(asked.bytes);
            self.answer(asked.caller, outcome);
        }
        chosen
    }

    /// From here on the slot and the bytes of this group never change.
    fn pin(&mut self, next: Next, mut chosen: Vec<Asked<L::Request>>) {
        let tail = self.tail.as_ref().expect("an open log has one");
        let ahead = self.flight.0.iter().map(|pinned| pinned.requests.len()).sum();
        let before = self.flight.0.back().map_or(tail.time, |pinned| pinned.group.time);
        let requests: Vec<&L::Request> = chosen.iter().map(|asked| &asked.request).collect();
        let time = self.now.wall.max(before).max(tail.ledger.earliest(&requests));
        let mut requests: Vec<&mut L::Request> = chosen.iter_mut().map(|asked| &mut asked.request).collect();
        let body = tail.ledger.body(ahead, &mut requests, time);
        let is_inline = self.settings.fits_slot(body.len());
        self.groups += 1;
        let group = Group {
            id: GroupId {
                by: self.boot,
                number: self.groups,
            },
            extent: next.extent,
            slot: next.slot,
            predecessor: next.predecessor,
            time,
            seal: next.seal,
            body: match is_inline {
                true => GroupBody::Inline(body.clone()),
                false => GroupBody::in_blob(self.name(), &body),
            },
        };
        let awaited = |asked| PinnedRequest {
            asked,
            is_awaited: true,
        };
        self.flight.0.push_back(Pinned {
            bytes: group.encode(),
            group,
            body,
            requests: chosen.into_iter().map(awaited).collect(),
            standing: match is_inline {
                true => Standing::Inserting(Inserting::default()),
                false => Standing::Storing(Errand::default()),
            },
            sent: None,
        });
    }

    /// Sends what is pinned and not under way, or late, the same bytes to the same slot; nothing while the service asks to wait.
    pub(super) fn send(&mut self) {
        let now = self.now.uptime;
        if self.is_throttled() {
            return;
        }
        for at in 0..self.flight.0.len() {
            let pinned = &self.flight.0[at];
            let number = pinned.group.id.number;
            match &pinned.standing {
                Standing::Storing(errand) if errand.is_due(now) => {
                    let GroupBody::Blob { id, .. } = pinned.group.body else {
                        unreachable!("only such a body is stored");
                    };
                    let put = Call::PutBlob(GroupBody::blob_name(id), pinned.body.clone());
                    let call = self.call(Purpose::Store(number), put);
                    if let Standing::Storing(errand) = &mut self.flight.0[at].standing {
                        errand.made(call);
                    }
                }
                Standing::Inserting(inserting) => {
                    let hedge = match inserting.wants(now) {
                        Send::Again => {
                            self.done.repeats += u64::from(pinned.sent.is_some());
                            Some(now + self.pace.most())
                        }
                        Send::Hedge => {
                            self.done.hedges += 1;
                            None
                        }
                        Send::Nothing => continue,
                    };
                    // All before the first is applied, so the slot before it was seen. That of a later one is on its way.
                    let before = match at {
                        0 => SlotBefore::Known,
                        _ => SlotBefore::Perhaps,
                    };
                    let insert = Call::InsertAt(pinned.group.extent, pinned.group.slot, pinned.bytes.clone(), before);
                    let call = self.call(Purpose::Insert(number), insert);
                    let turn = self.turn;
                    let pinned = &mut self.flight.0[at];
                    pinned.sent.get_or_insert(turn);
                    if let Standing::Inserting(inserting) = &mut pinned.standing {
                        inserting.sent(call, now, hedge);
                    }
                }
                Standing::Storing(_) | Standing::Taken(_) | Standing::Landed => {}
            }
        }
    }
}
