//! Chooses the next call: mostly one that fits the known state, now and then one that does not.

use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::clock::Clock as _;
use streamkit_engine::{Fence, SegmentRead, Sequence};
use uuid::Uuid;

use crate::call::{self, Answer, Future};
use crate::demands::demands;
use crate::leases::{Ask, HOLDERS, KEYS, lease_holder, lease_key};
use crate::life::{Call, Doing, Life};
use crate::model::Part;
use crate::places::all_spaces;

impl Life<'_> {
    /// Makes a call, if the dice find one that makes sense.
    pub(crate) fn begin(&mut self) {
        let number = self.run.dice.below(self.stores.len() as u64) as usize;
        let segment = self.run.dice.below(self.run.models[number].segments.len() as u64) as usize;
        let controls = self.run.plan.controls;
        if self.run.plan.leases > 0 && self.run.dice.chance(self.run.plan.leases, 100) {
            return self.ask_for_lease(number);
        }
        let kind = self.run.dice.below(100 + controls);
        let store = Arc::clone(&self.stores[number]);
        let own = &self.run.models[number].segments[segment];
        let then = (own.life, own.floor, own.head);
        let path = own.path.clone();
        let (doing, future) = match kind {
            0..60 => match self.new_attempt(number, segment) {
                Some(attempt) => self.append(number, attempt),
                None => return,
            },
            60..70 => match self.old_attempt(number) {
                Some(attempt) => {
                    self.run.counts.retries += 1;
                    self.append(number, attempt)
                }
                None => return,
            },
            70..80 => {
                let dice = &mut self.run.dice;
                let from = 1 + dice.below(then.2 + 2);
                let all = dice.chance(1, 2);
                let to = if all { u64::MAX } else { from + dice.below(20) };
                let limit = if dice.chance(1, 2) { u64::MAX } else { dice.below(30) };
                let doing = Doing::Read {
                    segment,
                    from,
                    to,
                    limit,
                };
                let read = SegmentRead {
                    from: Sequence(from),
                    to: Sequence(to),
                    limit,
                    ..SegmentRead::all(path)
                };
                (doing, call::read_segment(&store, read))
            }
            80..88 if self.run.now.is_multiple_of(2) => {
                let places = &mut self.run.places[number];
                if places.seen.under_way {
                    return;
                }
                places.seen.under_way = true;
                let behind = places.cursor.clone();
                let read = all_spaces(&self.run.models[number], behind);
                let reader = self.followers[number].take().unwrap_or_else(|| store.read_pieces(read));
                (Doing::Follow, call::follow(reader, 1 + (self.run.now % 3) as usize))
            }
            80..88 => {
                let cursor = &mut self.run.cursors[number];
                if cursor.under_way {
                    return;
                }
                cursor.under_way = true;
                let limit = 1 + self.run.dice.below(200);
                let spaces = cursor.spaces.clone();
                (Doing::Consume, call::read_spaces(&store, spaces, limit))
            }
            88..95 => (Doing::Peek(segment), call::peek(&store, path)),
            95..100 => (Doing::Status(segment), call::status(&store, path)),
            _ if then.2 == 0 || own.open_delete => return,
            _ if self.run.dice.chance(2, 3) => {
                let first = then.1 + self.run.dice.below(then.2 - then.1 + 1);
                self.run.models[number].segments[segment].under_way += 1;
                (Doing::Trim(segment, first), call::trim(&store, path, first))
            }
            _ if own.under_way > 0 => return,
            _ => {
                let own = &mut self.run.models[number].segments[segment];
                (own.under_way, own.open_delete) = (1, true);
                (Doing::Delete(segment), call::delete(&store, path))
            }
        };
        self.run.say(|| format!("store {number}: {doing:?}"));
        let in_line = match doing {
            Doing::Append(attempt) => {
                let waits = self.run.models[number].takes_next(attempt);
                waits || self.calls.iter().any(|call| call.store == number && call.in_line)
            }
            _ => false,
        };
        self.calls.push(Call {
            doing,
            store: number,
            called: self.run.now,
            then,
            in_line,
            future,
        });
    }

    fn append(&mut self, store: usize, attempt: usize) -> (Doing, Future<Answer>) {
        let now = self.run.now;
        let model = &mut self.run.models[store];
        model.called(attempt, now);
        let transaction = model.transaction(attempt);
        (Doing::Append(attempt), call::append(&self.stores[store], transaction))
    }

    /// A transaction of one to three segments, mostly one that fits.
    fn new_attempt(&mut self, store: usize, segment: usize) -> Option<usize> {
        let (dice, plan) = (&mut self.run.dice, &self.run.plan);
        let model = &mut self.run.models[store];
        let mut segments = vec![segment];
        while dice.chance(1, 4) {
            let other = dice.below(model.segments.len() as u64) as usize;
            if segments.contains(&other) || segments.len() == 3 {
                break;
            }
            segments.push(other);
        }
        let mut parts = Vec::new();
        for segment in segments {
            let own = &model.segments[segment];
            if own.open_delete {
                return None;
            }
            let planned = model.planned_head(segment);
            let first = match dice.below(20) {
                0 => own.head.max(1),
                1 => own.head + 2,
                2..6 => planned + 1,
                _ => own.head + 1,
            };
            let records = 1 + dice.below(plan.records);
            let large = if dice.chance(1, 100) { 10 } else { 1 };
            let extras = (0..records).map(|_| dice.below(large * plan.record_bytes) as u32);
            parts.push(Part {
                takes_next: false,
                segment,
                life: own.life,
                first,
                extras: extras.collect(),
            });
        }
        // Dice that are fed may fall alike twice, and two attempts of one id are one.
        let own = dice.any() ^ model.attempts.len() as u64;
        let id = Uuid::from_u128(u128::from(dice.any()) << 64 | u128::from(own));
        let fence = match plan.leases > 0 && dice.chance(1, 2) {
            true => {
                let (key, back) = (lease_key(dice.below(KEYS)), dice.below(4).saturating_sub(2) as usize);
                let token = model.leases.token(&key, back);
                token.map(|token| Fence { key, token })
            }
            false => None,
        };
        let demands = match plan.demands > 0 && dice.chance(plan.demands, 100) {
            true => demands(model, dice),
            false => Vec::new(),
        };
        // Where one entry is read, all that it took is known.
        if let ([part], true) = (parts.as_mut_slice(), plan.demands > 0)
            && dice.chance(plan.demands, 100)
        {
            (part.takes_next, part.first) = (true, 0);
        }
        Some(model.attempt(id, parts, fence, demands))
    }

    /// Somebody asks for a lease, for longer, or to be rid of it.
    fn ask_for_lease(&mut self, number: usize) {
        let (dice, uptime) = (&mut self.run.dice, self.run.watch.uptime());
        let (key, holder) = (lease_key(dice.below(KEYS)), lease_holder(dice.below(HOLDERS)));
        let longest = [10, 1000, 20_000][dice.below(3) as usize];
        let ttl = Duration::from_millis(1 + dice.below(longest));
        let what = dice.below(10);
        let model = &mut self.run.models[number];
        let ask = Ask {
            known: model.leases.known(&key),
            key,
            holder,
            ttl: (what > 1).then_some(ttl),
            renews: what > 6,
            called: uptime,
            newest: model.leases.newest(),
        };
        model.leases.asked(&ask);
        self.run.say(|| format!("store {number}: {ask:?}"));
        let future = call::lease(&self.stores[number], ask.clone());
        self.calls.push(Call {
            doing: Doing::Lease(Box::new(ask)),
            store: number,
            called: self.run.now,
            then: (0, 0, 0),
            in_line: false,
            future,
        });
    }

    /// One of the last attempts, if its segments are still those it was made for. A producer that is impatient sends one again
    /// that is still under way.
    fn old_attempt(&mut self, store: usize) -> Option<usize> {
        let model = &self.run.models[store];
        let count = model.attempts.len() as u64;
        let back = self.run.dice.below(12).min(count.checked_sub(1)?);
        let attempt = (count - 1 - back) as usize;
        let is_it = |call: &&Call| call.store == store && matches!(call.doing, Doing::Append(a) if a == attempt);
        let busy = self.calls.iter().filter(is_it).count() > 1;
        let own = &model.attempts[attempt];
        let fits = own.parts.iter().all(|part| {
            let segment = &model.segments[part.segment];
            // Trimmed entries are there still, but nothing says for how long.
            segment.life == part.life
                && !segment.open_delete
                && (part.first >= segment.floor || (part.first == 0 && segment.floor == 1))
                && segment.open_trims.is_empty()
        });
        let stays = own.demands.iter().all(|demand| {
            let segment = &model.segments[demand.segment];
            segment.life == demand.life && !segment.open_delete
        });
        let trims = self
            .calls
            .iter()
            .any(|call| call.store == store && matches!(call.doing, Doing::Trim(..)));
        (!busy && fits && stays && !trims).then_some(attempt)
    }
}
