//! What a seed decides at the beginning: how much there is of everything, and how much goes wrong.

use streamkit_engine::Dice;

/// Rates are per thousand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Hosts.
    pub hosts: usize,
    /// Clients of each.
    pub clients: usize,
    /// What each client does, one after the other.
    pub acts: u64,
    /// Segments that they share.
    pub segments: u64,
    /// Groups that a host may pin at a time.
    pub depth: usize,
    /// Slots of an extent.
    pub extent_slots: u64,
    /// Bytes of a slot: less, and large bodies go into blobs.
    pub slot_bytes: usize,
    /// Bytes that a read asks for.
    pub read_bytes: usize,
    /// Rows of a page of the storage.
    pub page: u64,
    /// Hosts that collect.
    pub collectors: usize,
    /// Extents of the history that the root lists.
    pub listed: usize,
    /// Calls that are slow.
    pub slow: u64,
    /// Calls that are lost before they are carried out.
    pub lost: u64,
    /// Calls whose answer is lost.
    pub unheard: u64,
    /// Calls that are carried out and answered with 500.
    pub failed: u64,
    /// Calls that come twice, the second time late.
    pub doubled: u64,
    /// Calls that are answered with 503.
    pub throttled: u64,
    /// Calls whose credential is refused.
    pub denied: u64,
    /// Removals of an extent that end half done.
    pub halved: u64,
    /// Hints that are lost.
    pub hints_lost: u64,
    /// Actions behind which a host crashes, of ten thousand.
    pub crashes: u64,
    /// Times at which something large goes wrong: a host stalls, or is cut off, or the storage is out.
    pub troubles: u64,
    /// Hosts whose clock may be off or jump.
    pub skews: bool,
}

impl Plan {
    /// That of a seed.
    pub fn of(seed: u64) -> Self {
        let dice = &mut Dice::new(seed);
        // Half of the seeds are calm in one respect, or troubles would hide each other.
        let mut rate = |most: u64| match dice.below(3) {
            0 => 0,
            1 => dice.below(most / 4 + 1),
            _ => dice.below(most + 1),
        };
        let (slow, lost, unheard, failed) = (rate(100), rate(60), rate(150), rate(80));
        let (doubled, throttled, denied, halved) = (rate(150), rate(80), rate(20), rate(400));
        let (hints_lost, crashes, troubles) = (rate(1000), rate(120), rate(16));
        Self {
            hosts: 2 + dice.below(3) as usize,
            clients: 1 + dice.below(3) as usize,
            acts: 6 + dice.below(20),
            segments: 1 + dice.below(3),
            depth: [1, 1, 2, 3][dice.below(4) as usize],
            extent_slots: 3 + dice.below(8),
            slot_bytes: [400, 700, 4000][dice.below(3) as usize],
            read_bytes: [1, 600, 100_000][dice.below(3) as usize],
            page: 1 + dice.below(4),
            collectors: dice.below(4) as usize,
            listed: 1 + dice.below(3) as usize,
            slow,
            lost,
            unheard,
            failed,
            doubled,
            throttled,
            denied,
            halved,
            hints_lost,
            crashes,
            troubles,
            skews: dice.chance(1, 3),
        }
    }

    /// Plans that are simpler than this one in one respect, for whoever looks for the simplest that still fails.
    pub fn simpler(&self) -> Vec<Self> {
        type Knob = fn(&mut Plan);
        let knobs: &[Knob] = &[
            |plan| plan.hosts = plan.hosts.min(2),
            |plan| plan.hosts = 1,
            |plan| plan.clients = 1,
            |plan| plan.acts /= 2,
            |plan| plan.segments = 1,
            |plan| plan.depth = 1,
            |plan| plan.extent_slots = 1000,
            |plan| plan.slot_bytes = 100_000,
            |plan| plan.read_bytes = 1_000_000,
            |plan| plan.page = 1000,
            |plan| plan.collectors = plan.collectors.min(1),
            |plan| plan.collectors = 0,
            |plan| plan.listed = 1000,
            |plan| plan.slow = 0,
            |plan| plan.lost = 0,
            |plan| plan.unheard = 0,
            |plan| plan.failed = 0,
            |plan| plan.doubled = 0,
            |plan| plan.throttled = 0,
            |plan| plan.denied = 0,
            |plan| plan.halved = 0,
            |plan| plan.hints_lost = 1000,
            |plan| plan.crashes = 0,
            |plan| plan.troubles = 0,
            |plan| plan.skews = false,
        ];
        let each = knobs.iter().map(|knob| {
            let mut plan = self.clone();
            knob(&mut plan);
            plan
        });
        each.filter(|plan| plan != self).collect()
    }
}
