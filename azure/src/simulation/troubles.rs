//! Now and then something large goes wrong.

use super::world::World;
use crate::log::Event;

impl World {
    /// Now and then something large goes wrong.
    pub fn trouble(&mut self) {
        if self.faults.is_over || !self.dice.chance(self.plan.troubles, 100) {
            return;
        }
        let host = self.dice.below(self.hosts.len() as u64) as usize;
        let long = [200_000, 3_000_000, 30_000_000][self.dice.below(3) as usize];
        let until = self.now + self.dice.below(long);
        let other = self.dice.below(self.hosts.len() as u64) as usize;
        let kind = self.dice.below(7);
        self.say(|| format!("trouble {kind} of host {host} until {until}"));
        match kind {
            0 => self.faults.out = until,
            1 => self.faults.mute[host] = until,
            2 => self.faults.deaf[host] = until,
            3 => self.faults.parted[host][other] = until,
            4 if self.plan.skews => self.hosts[host].skew = self.dice.below(40_000) as i64 - 20_000,
            5 => self.log_event(host, Event::Leave),
            _ => self.hosts[host].stalled = until,
        }
    }
}
