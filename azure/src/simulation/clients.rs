//! Clients: each does one thing after the other, at its own host or, if that does not answer, at another.

use std::time::Duration;

use super::client::Doing;
use super::happening::Happening;
use super::heads::Entry;
use super::hosts::Waiter;
use super::time::Micros;
use super::witness::Heard;
use super::world::World;
use crate::log::{CallerId, Event};

/// How often a client tries.
const TRIES: u64 = 4;

impl World {
    /// A client does the next thing, or tries again.
    pub fn act(&mut self, client: usize) {
        self.trouble();
        let now = self.now;
        let is_first = self.clients[client].doing.is_none();
        if is_first {
            if self.clients[client].left == 0 {
                return;
            }
            self.clients[client].left -= 1;
            let entry = (!self.dice.chance(1, 4)).then(|| self.new_entry(client));
            self.clients[client].doing = Some(Doing {
                entry,
                attempt: None,
                tries: 0,
            });
        }
        let of_client = &mut self.clients[client];
        let Some(doing) = &mut of_client.doing else { return };
        doing.tries += 1;
        of_client.turn += 1;
        let (turn, home, entry) = (of_client.turn, of_client.home, doing.entry.clone());
        let host = match is_first && !self.dice.chance(1, 8) {
            true => home,
            false => self.dice.below(self.plan.hosts as u64) as usize,
        };
        let patience = [50_000, 500_000, 3_000_000, 12_000_000][self.dice.below(4) as usize];
        let patience = patience / 2 + self.dice.below(patience);
        let who = Some((client, turn));
        let attempt = entry.as_ref().map(|entry| self.witness.asks(entry.clone(), now));
        if let Some(doing) = &mut self.clients[client].doing {
            doing.attempt = attempt;
        }
        let grace = self.dice.below(1_000_000);
        self.at(now + patience + grace, Happening::GiveUp(client, turn));
        self.ask(host, entry, attempt, who, patience);
    }

    /// Somebody asks a host, with so much patience.
    pub fn ask(
        &mut self,
        host: usize,
        entry: Option<Entry>,
        attempt: Option<usize>,
        who: Option<(usize, u64)>,
        patience: Micros,
    ) {
        let now = self.now;
        let at_host = self.hosts[host].now(now);
        let Some(running) = self.hosts[host].running.as_mut().filter(|running| !running.has_left) else {
            if let Some(attempt) = attempt {
                self.witness.tells(attempt, now, Heard::NotStored);
            }
            if let Some((client, turn)) = who {
                self.told(client, turn, Heard::NotStored);
            }
            return;
        };
        running.last_caller += 1;
        let caller = CallerId(running.last_caller);
        let deadline = at_host.uptime + Duration::from_micros(patience);
        let (waiter, event) = match (entry, attempt) {
            (Some(entry), Some(attempt)) => (Waiter::Attempt(attempt, who), Event::Ask(caller, entry, deadline)),
            _ => (Waiter::Sight(now, who), Event::Look(caller, deadline)),
        };
        running.callers.insert(caller, (waiter, deadline));
        self.log_event(host, event);
    }

    fn new_entry(&mut self, client: usize) -> Entry {
        let segment = self.dice.below(self.plan.segments);
        let head = self.clients[client].known[segment as usize];
        let sequence = match self.dice.below(16) {
            0..4 => None,
            4 => Some(head + 2 + self.dice.below(3)),
            5 => Some(head.max(1)),
            _ => Some(head + 1),
        };
        let padding = match self.dice.below(6) {
            0 => self.dice.below(800) as usize,
            _ => self.dice.below(40) as usize,
        };
        let id = self.witness.id();
        Entry {
            id,
            segment,
            sequence,
            padding,
        }
    }

    /// A client hears what came of what it did.
    pub fn told(&mut self, client: usize, turn: u64, told: Heard) {
        let of_client = &mut self.clients[client];
        if of_client.turn != turn {
            return;
        }
        let Some(doing) = &of_client.doing else { return };
        let is_over = match (&told, &doing.entry) {
            (Heard::Durable(stored), _) => {
                of_client.known[stored.segment as usize] = stored.sequence;
                true
            }
            (Heard::Refused(misfit), Some(entry)) => {
                of_client.known[entry.segment as usize] = misfit.head;
                true
            }
            (Heard::Refused(_), None) => true,
            (Heard::NotStored | Heard::Unknown, _) => doing.tries >= TRIES,
        };
        of_client.turn += 1;
        if is_over {
            of_client.doing = None;
        }
        let pause = match self.dice.below(4) {
            0 => 0,
            1 | 2 => self.dice.below(20_000),
            _ => self.dice.below(2_000_000),
        };
        self.at(self.now + pause, Happening::Act(client));
    }

    /// A client waits no longer; it does not know.
    pub fn give_up(&mut self, client: usize, turn: u64) {
        if self.clients[client].turn != turn {
            return;
        }
        if let Some(attempt) = self.clients[client].doing.as_ref().and_then(|doing| doing.attempt) {
            self.witness.tells(attempt, self.now, Heard::Unknown);
        }
        self.told(client, turn, Heard::Unknown);
    }

    /// Whether all clients have done everything.
    pub fn is_done(&self) -> bool {
        self.clients
            .iter()
            .all(|client| client.left == 0 && client.doing.is_none())
    }
}
