//! Everything that there is in a run.

use std::collections::BTreeMap;

use bytes::Bytes;
use streamkit_engine::Dice;

use super::client::Client;
use super::counts::Counts;
use super::faults::Faults;
use super::happening::Happening;
use super::hosts::{Host, Running, uuid};
use super::plan::Plan;
use super::storage::Storage;
use super::time::Micros;
use super::witness::Witness;
use crate::log::{GroupId, Place};
use crate::medium::{ExtentId, SlotNumber};

/// Everything that there is in a run.
pub struct World {
    pub plan: Plan,
    pub dice: Dice,
    pub now: Micros,
    pub storage: Storage,
    pub faults: Faults,
    pub hosts: Vec<Host>,
    pub clients: Vec<Client>,
    pub witness: Witness,
    pub counts: Counts,
    /// What each group was sent as.
    pub sent: BTreeMap<GroupId, (ExtentId, SlotNumber, Bytes)>,
    /// Which group each slot got from each start of a host.
    pub slots: BTreeMap<(usize, u64, ExtentId, SlotNumber), GroupId>,
    /// How far the root has come: its first live extent, and its checkpoint.
    pub came: (u64, Option<Place>),
    /// Hosts that leave do not come again.
    pub is_ending: bool,
    queue: BTreeMap<(Micros, u64), Happening>,
    queued: u64,
    trace: bool,
}

impl World {
    pub fn new(plan: Plan, mut dice: Dice, trace: bool) -> Self {
        let hosts = (0..plan.hosts).map(|_| Host {
            id: uuid(&mut dice),
            running: None,
            boots: 0,
            stalled: 0,
            skew: 0,
        });
        let hosts = hosts.collect();
        let clients = (0..plan.hosts * plan.clients).map(|client| Client {
            home: client % plan.hosts,
            known: vec![0; plan.segments as usize],
            left: plan.acts,
            turn: 0,
            doing: None,
        });
        Self {
            clients: clients.collect(),
            hosts,
            now: 0,
            storage: Storage::default(),
            faults: Faults::new(plan.hosts),
            witness: Witness::default(),
            counts: Counts::default(),
            sent: BTreeMap::new(),
            slots: BTreeMap::new(),
            came: (0, None),
            is_ending: false,
            queue: BTreeMap::new(),
            queued: 0,
            trace,
            plan,
            dice,
        }
    }

    /// Something is going to happen.
    pub fn at(&mut self, time: Micros, happening: Happening) {
        self.queued += 1;
        self.queue.insert((time, self.queued), happening);
    }

    /// Tells what happens.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>12} {}", self.now, what());
        }
    }

    /// The next thing that happens until `end`, and when.
    pub fn next(&mut self, end: Micros) -> Option<(Micros, Happening)> {
        let ((time, number), happening) = self.queue.pop_first()?;
        if time > end {
            self.queue.insert((time, number), happening);
            return None;
        }
        Some((time, happening))
    }

    /// The hosts that run.
    pub fn running(&self) -> impl Iterator<Item = &Running> {
        self.hosts.iter().filter_map(|host| host.running.as_ref())
    }

    /// Whether a host runs, in this start of it.
    pub fn is_boot(&self, host: usize, boot: u64) -> bool {
        self.hosts[host].running.is_some() && self.hosts[host].boots == boot
    }
}
