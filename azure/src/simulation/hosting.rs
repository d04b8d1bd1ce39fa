//! What happens at hosts: events go into the real log and the real collector, and what they want to be done is done, unless the host crashes
//! before.

use super::happening::{Happening, ReplyTo};
use super::heads::{Entry, Heads, Misfit};
use super::hosts::{Machine, Waiter};
use super::time::Micros;
use super::witness::{Heard, Sight};
use super::world::World;
use crate::collector::{CollectorAction, CollectorEvent};
use crate::log::{Action, CallerId, Event, LogState, Outcome, Place, Said, Why};
use crate::medium::Unanswered;

impl World {
    /// A host starts, if it does not run.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].running.is_some() {
            return;
        }
        self.hosts[host].start(&self.plan, &mut self.dice, self.now);
        self.say(|| format!("host {host} starts, its clock is off by {}", self.hosts[host].skew));
        self.log_event(host, Event::Open);
        if host < self.plan.collectors {
            let begin = self.now + self.dice.below(3_000_000);
            self.at(begin, Happening::Collect(host, self.hosts[host].boots));
        }
    }

    /// An answer arrives at a host.
    pub fn answered(&mut self, to: ReplyTo, said: Result<Said, Unanswered>) {
        if !self.is_boot(to.host, to.boot) {
            return;
        }
        let running = self.hosts[to.host].running.as_mut().expect("it is");
        // The first answer counts; the timeout of a call that was answered is none.
        if !running.calls.remove(&(to.machine, to.call)) {
            return;
        }
        self.say(|| {
            format!(
                "host {} hears of {:?} {}: {}",
                to.host,
                to.machine,
                to.call.0,
                brief(&said)
            )
        });
        if let Err(Unanswered::Throttled { after: Some(after) }) = &said
            && to.machine == Machine::Log
        {
            let until = self.hosts[to.host].now(self.now).uptime + *after;
            let running = self.hosts[to.host].running.as_mut().expect("it is");
            running.throttled = running.throttled.max(until);
        }
        match to.machine {
            Machine::Log => self.log_event(to.host, Event::Said(to.call, said)),
            Machine::Collector => self.collector_event(to.host, CollectorEvent::Said(to.call, said)),
        }
    }

    /// A host is woken.
    pub fn woken(&mut self, host: usize, boot: u64) {
        if !self.is_boot(host, boot) {
            return;
        }
        let running = self.hosts[host].running.as_mut().expect("it is");
        if running.wakes.is_some_and(|wakes| wakes <= self.now) {
            running.wakes = None;
            self.log_event(host, Event::Tick);
            self.collector_event(host, CollectorEvent::Tick);
        }
    }

    /// A host begins a round of its collector, if none is under way.
    pub fn collect(&mut self, host: usize, boot: u64) {
        if !self.is_boot(host, boot) || self.is_done() && self.faults.is_over {
            return;
        }
        let running = self.hosts[host].running.as_ref().expect("it is");
        if let Some(checkpoint) = running.log.checkpoint().filter(|_| running.collector.rests()) {
            self.counts.rounds += 1;
            self.collector_event(host, CollectorEvent::Begin(checkpoint));
        }
        let again = self.now + 50_000 + self.dice.below(4_000_000);
        self.at(again, Happening::Collect(host, boot));
    }

    /// Something happens to the log of a host that runs.
    pub fn log_event(&mut self, host: usize, event: Event<Entry>) {
        let now = self.hosts[host].now(self.now);
        let boot = self.hosts[host].boots;
        let Some(running) = &mut self.hosts[host].running else {
            return;
        };
        running.is_leaving |= matches!(event, Event::Leave);
        let was = running.log.state();
        let actions = running.log.step(now, event);
        let is = running.log.state();
        if is == LogState::Failed && was != is {
            self.witness.broken.push(format!("the log of host {host} fails"));
        }
        self.counts.reopened +=
            u64::from(was != LogState::Opening && was != LogState::Closed && is == LogState::Opening);
        // What whoever is answered now sees.
        let sight = running.log.ledger().map(|ledger: &Heads| (ledger.count, ledger.digest));
        if self.dice.chance(1, 64)
            && let Some((count, digest)) = sight
        {
            let (asked, told) = (None, self.now);
            self.witness.sights.push(Sight {
                asked,
                told,
                count,
                digest,
            });
        }
        for action in actions {
            if self.crashes(host, boot) {
                return;
            }
            match action {
                Action::Call(call, what) => {
                    self.say(|| format!("host {host} calls {}: {}", call.0, brief(&what)));
                    let machine = Machine::Log;
                    self.hosts[host]
                        .running
                        .as_mut()
                        .expect("it runs")
                        .calls
                        .insert((machine, call));
                    self.send(
                        ReplyTo {
                            host,
                            boot,
                            machine,
                            call,
                        },
                        what,
                    );
                }
                Action::Answer(caller, outcome) => {
                    let told = match outcome {
                        Outcome::Durable(stored) => Heard::Durable(stored),
                        Outcome::Refused(misfit) => Heard::Refused(misfit),
                        Outcome::NotStored(why) => {
                            self.say(|| format!("not stored: {why}"));
                            self.counts.late += u64::from(why == Why::Late);
                            self.counts.full += u64::from(matches!(why, Why::Full { .. }));
                            self.counts.clock_off += u64::from(matches!(why, Why::ClockOff(_)));
                            Heard::NotStored
                        }
                        Outcome::Unknown(..) => Heard::Unknown,
                    };
                    self.answer(host, caller, Some(told), sight);
                }
                Action::Looked(caller, result) => self.answer(host, caller, None, sight.filter(|_| result.is_ok())),
                Action::Hint(place) => self.hint(host, place),
                Action::Left => self.left(host),
            }
        }
        if let Some(running) = &self.hosts[host].running
            && running.callers.values().any(|(_, deadline)| *deadline <= now.uptime)
        {
            self.witness
                .broken
                .push("a deadline passes, and nobody is told".to_owned());
        }
        self.wake_later(host, Machine::Log);
    }

    /// A host is stopped in good order. It comes again if others still have something to do.
    fn left(&mut self, host: usize) {
        let running = self.hosts[host].running.as_mut().expect("it runs");
        running.has_left = true;
        if !running.callers.is_empty() {
            self.witness.broken.push("a host left without an answer".to_owned());
        }
        if !self.is_ending {
            self.hosts[host].running = None;
            let again = self.now + 1 + self.dice.below(1_000_000);
            self.at(again, Happening::Start(host));
        }
    }

    fn answer(&mut self, host: usize, caller: CallerId, told: Option<Heard>, sight: Option<(u64, u64)>) {
        let running = self.hosts[host].running.as_mut().expect("it runs");
        let Some((waiter, _)) = running.callers.remove(&caller) else {
            self.witness.broken.push("a caller is answered twice".to_owned());
            return;
        };
        let now = self.now;
        let (who, told) = match (waiter, told, sight) {
            (Waiter::Attempt(attempt, who), Some(told), _) => {
                self.say(|| format!("host {host} says of attempt {attempt}: {told:?}"));
                self.witness.tells(attempt, now, told.clone());
                (who, told)
            }
            (Waiter::Sight(asked, who), None, Some((count, digest))) => {
                let asked = Some(asked);
                self.witness.sights.push(Sight {
                    asked,
                    told: now,
                    count,
                    digest,
                });
                // What the client then knows of heads is its own affair; it does nothing twice.
                (who, Heard::Refused(Misfit { head: 0, behind: count }))
            }
            (Waiter::Sight(_, who), None, None) => (who, Heard::NotStored),
            (Waiter::Attempt(..), None, _) | (Waiter::Sight(..), Some(_), _) => {
                self.witness.broken.push("an answer of another kind".to_owned());
                return;
            }
        };
        if let Some((client, turn)) = who {
            self.told(client, turn, told);
        }
    }

    fn collector_event(&mut self, host: usize, event: CollectorEvent) {
        let now = self.hosts[host].now(self.now);
        let boot = self.hosts[host].boots;
        let Some(running) = &mut self.hosts[host].running else {
            return;
        };
        for action in running.collector.step(now, event) {
            if self.crashes(host, boot) {
                return;
            }
            match action {
                CollectorAction::Call(call, what) => {
                    self.say(|| format!("the collector of host {host} calls {}: {}", call.0, brief(&what)));
                    let machine = Machine::Collector;
                    self.hosts[host]
                        .running
                        .as_mut()
                        .expect("it runs")
                        .calls
                        .insert((machine, call));
                    self.send(
                        ReplyTo {
                            host,
                            boot,
                            machine,
                            call,
                        },
                        what,
                    );
                }
                CollectorAction::Over(Ok(())) => {}
                CollectorAction::Over(Err(why)) => self.witness.broken.push(format!("a collector finds: {why}")),
            }
        }
        self.wake_later(host, Machine::Collector);
    }

    fn hint(&mut self, from: usize, place: Place) {
        for host in (0..self.hosts.len()).filter(|host| *host != from) {
            let is_parted = self.faults.parted[from][host] > self.now && !self.faults.is_over;
            if !is_parted && !self.dice.chance(self.plan.hints_lost, 1000) {
                let arrives = self.now + self.dice.below(20_000);
                self.at(arrives, Happening::Hint(host, place));
            }
        }
    }

    /// A machine of a host did all that it can do now, and may have to be woken.
    fn wake_later(&mut self, host: usize, machine: Machine) {
        let (now, boot) = (self.now, self.hosts[host].boots);
        let Some(running) = &mut self.hosts[host].running else {
            return;
        };
        let wakes = match machine {
            Machine::Log => running.log.wakes(),
            Machine::Collector => running.collector.wakes(),
        };
        let Some(wakes) = wakes.map(|wakes| running.started + wakes.as_micros() as Micros) else {
            return;
        };
        if wakes <= now {
            let state = running.log.state();
            let broken = format!("host {host} wants to be woken at once, and did nothing: {machine:?}, {state:?}");
            self.witness.broken.push(broken);
        } else if running.wakes.is_none_or(|before| wakes < before) {
            running.wakes = Some(wakes);
            self.at(wakes, Happening::Wake(host, boot));
        }
    }

    /// A host may crash before each thing that it does. Whoever waits for it does not know.
    fn crashes(&mut self, host: usize, boot: u64) -> bool {
        if !self.is_boot(host, boot) {
            return true;
        }
        if self.faults.is_over || !self.dice.chance(self.plan.crashes, 10_000) {
            return false;
        }
        self.say(|| format!("host {host} crashes"));
        self.counts.crashes += 1;
        let running = self.hosts[host].running.take().expect("it runs");
        let again = self.now + 1 + self.dice.below(3_000_000);
        self.at(again, Happening::Start(host));
        for (waiter, _) in running.callers.into_values() {
            let (Waiter::Attempt(_, who) | Waiter::Sight(_, who)) = waiter;
            if let Waiter::Attempt(attempt, _) = waiter {
                self.witness.tells(attempt, self.now, Heard::Unknown);
            }
            if let Some((client, turn)) = who {
                self.told(client, turn, Heard::Unknown);
            }
        }
        true
    }
}

/// What fits on a line.
fn brief(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    text.chars().take(300).collect()
}
