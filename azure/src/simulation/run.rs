//! One run: what happens next, until nothing does, and whether everything was as it must be.

use streamkit_engine::Dice;

use super::check::check;
use super::counts::Counts;
use super::happening::Happening;
use super::heads::Entry;
use super::plan::Plan;
use super::time::Micros;
use super::truth::truth;
use super::witness::Heard;
use super::world::World;
use crate::log::Event;

/// After that, everything that goes wrong ends, whether or not the clients are done.
const TROUBLED_MOST: Micros = 600_000_000;
/// After that, a call that has no end hangs.
const CALM_MOST: Micros = 300_000_000;
/// More calls of one run than that come from a loop that does not wait.
const CALLS_MOST: u64 = 400_000;

/// Runs a seed, with its own plan or with another one.
///
/// # Errors
/// What is not as it must be.
pub fn run(seed: u64, plan: Option<Plan>, trace: bool) -> Result<Counts, String> {
    let plan = plan.unwrap_or_else(|| Plan::of(seed));
    let mut world = World::new(plan, Dice::new(!seed), trace);
    world.run()?;
    Ok(world.counts)
}

impl World {
    fn run(&mut self) -> Result<(), String> {
        for host in 0..self.hosts.len() {
            let start = self.dice.below(300_000);
            self.at(start, Happening::Start(host));
        }
        for client in 0..self.clients.len() {
            let begin = self.dice.below(1_000_000);
            self.at(begin, Happening::Act(client));
        }
        self.go_until(TROUBLED_MOST, Self::is_done)?;
        self.calm_down();
        let end = self.now + CALM_MOST;
        self.go_until(end, Self::is_done)?;
        if !self.is_done() {
            return Err("a client waits for ever".to_owned());
        }
        let is_ready =
            |world: &Self| world.running().filter(|running| !running.is_leaving).count() == world.hosts.len();
        self.go_until(end, is_ready)?;
        self.probe_all()?;
        self.is_ending = true;
        for host in 0..self.hosts.len() {
            self.log_event(host, Event::Leave);
        }
        let end = self.now + CALM_MOST;
        self.go_until(end, |world| world.running().all(|running| running.has_left))?;
        if !self.running().all(|running| running.has_left) {
            return Err("a host does not leave".to_owned());
        }
        // What is late comes now.
        for host in 0..self.hosts.len() {
            self.hosts[host].running = None;
        }
        self.go_until(Micros::MAX, |_| false)?;
        self.last_look()?;
        let truth = truth(&self.storage, self.plan.segments)?;
        self.counts.groups = truth.groups.len() as u64;
        (self.counts.voids, self.counts.extents) = (truth.voids, truth.extents);
        (self.counts.orphans, self.counts.blobs) = (truth.orphans, truth.blobs);
        for attempt in &self.witness.attempts {
            match &attempt.told {
                Some((_, Heard::Durable(_))) => self.counts.durable += 1,
                Some((_, Heard::Refused(_))) => self.counts.refused += 1,
                Some((_, Heard::NotStored)) => self.counts.not_stored += 1,
                Some((_, Heard::Unknown)) | None => self.counts.unknown += 1,
            }
        }
        self.counts.looks = self.witness.sights.len() as u64;
        check(&self.witness, &truth)
    }

    /// Nothing goes wrong any more, and all hosts are there.
    fn calm_down(&mut self) {
        self.say(|| "nothing goes wrong any more".to_owned());
        self.faults.is_over = true;
        self.plan.skews = false;
        for host in 0..self.hosts.len() {
            (self.hosts[host].stalled, self.hosts[host].skew) = (self.now, 0);
            self.start(host);
        }
    }

    /// Each host stores something, and sees what all others have.
    fn probe_all(&mut self) -> Result<(), String> {
        for host in 0..self.hosts.len() {
            let entry = Entry {
                id: self.witness.id(),
                segment: 0,
                sequence: None,
                padding: 0,
            };
            let attempt = self.witness.asks(entry.clone(), self.now);
            self.ask(host, Some(entry), Some(attempt), None, CALM_MOST / 2);
            let end = self.now + CALM_MOST;
            self.go_until(end, |world| world.witness.attempts[attempt].told.is_some())?;
            if !matches!(self.witness.attempts[attempt].told, Some((_, Heard::Durable(_)))) {
                return Err(format!("nothing goes wrong, and {:?}", self.witness.attempts[attempt]));
            }
        }
        Ok(())
    }

    /// A host that knows nothing sees everything.
    fn last_look(&mut self) -> Result<(), String> {
        self.start(0);
        let sights = self.witness.sights.len();
        self.ask(0, None, None, None, CALM_MOST / 2);
        let asked = self.now;
        let is_asked = |world: &Self| {
            let last = world.witness.sights.get(sights..).unwrap_or_default();
            last.iter().any(|sight| sight.asked == Some(asked))
        };
        self.go_until(self.now + CALM_MOST, is_asked)?;
        match is_asked(self) {
            true => Ok(()),
            false => Err("nothing goes wrong, and a host cannot look".to_owned()),
        }
    }

    fn go_until(&mut self, end: Micros, is_over: impl Fn(&Self) -> bool) -> Result<(), String> {
        while !is_over(self) {
            let Some((time, happening)) = self.next(end) else {
                return Ok(());
            };
            self.now = time;
            self.happens(happening);
            if let Some(broken) = self.witness.broken.first() {
                return Err(broken.clone());
            }
            if self.counts.calls > CALLS_MOST {
                return Err("calls without an end".to_owned());
            }
        }
        Ok(())
    }

    fn happens(&mut self, happening: Happening) {
        let host = match &happening {
            Happening::Answer(to, _) => Some(to.host),
            Happening::Wake(host, _) | Happening::Collect(host, _) | Happening::Hint(host, _) => Some(*host),
            Happening::Step(..) | Happening::Start(_) | Happening::Act(_) | Happening::GiveUp(..) => None,
        };
        if let Some(host) = host
            && self.hosts[host].stalled > self.now
        {
            let later = self.hosts[host].stalled + self.dice.below(3);
            return self.at(later, happening);
        }
        match happening {
            Happening::Step(work, to, fate) => self.served(work, to, fate),
            Happening::Answer(to, said) => self.answered(to, said),
            Happening::Wake(host, boot) => self.woken(host, boot),
            Happening::Start(host) => self.start(host),
            Happening::Collect(host, boot) => self.collect(host, boot),
            Happening::Hint(host, place) => self.log_event(host, Event::Hint(place)),
            Happening::Act(client) => self.act(client),
            Happening::GiveUp(client, turn) => self.give_up(client, turn),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_run_and_promises_hold() {
        for seed in 1..=40 {
            let counts = run(seed, None, false);
            assert_eq!(counts, run(seed, None, false), "seed {seed}");
            assert!(counts.is_ok(), "seed {seed}: {counts:?}");
        }
    }
}
