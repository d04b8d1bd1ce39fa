//! A host of the simulation: the real log and the real collector, what they wait for, and who waits for them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use streamkit_engine::{Dice, Timestamp};
use uuid::Uuid;

use super::heads::Heads;
use super::plan::Plan;
use super::time::Micros;
use crate::collector::{Collector, CollectorSettings};
use crate::log::{Boot, CallId, CallerId, Now, Settings, SharedLog};

/// The true time at the begin of a run, in milliseconds.
pub const BEGIN_MILLIS: i64 = 1_800_000_000_000;

/// A host, running or not.
pub struct Host {
    pub id: Uuid,
    pub running: Option<Running>,
    /// Which start it is, from 1.
    pub boots: u64,
    /// Until when it does nothing.
    pub stalled: Micros,
    /// Milliseconds by which its clock is off.
    pub skew: i64,
}

/// One start of a host.
pub struct Running {
    pub started: Micros,
    pub log: SharedLog<Heads>,
    pub collector: Collector,
    pub calls: BTreeSet<(Machine, CallId)>,
    /// Who waits, and until when by its own time.
    pub callers: BTreeMap<CallerId, (Waiter, Duration)>,
    /// Until when the storage asked it to wait, by its own time.
    pub throttled: Duration,
    pub last_caller: u64,
    /// When it is going to be woken.
    pub wakes: Option<Micros>,
    pub is_leaving: bool,
    pub has_left: bool,
}

/// Which part of a host made a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Machine {
    Log,
    Collector,
}

/// Who waits at a host.
#[derive(Clone, Copy, Debug)]
pub enum Waiter {
    /// For an attempt of the witness; the client, if it is one, and what it does, by number.
    Attempt(usize, Option<(usize, u64)>),
    /// For a look, asked for at this time.
    Sight(Micros, Option<(usize, u64)>),
}

impl Host {
    pub fn start(&mut self, plan: &Plan, dice: &mut Dice, now: Micros) {
        let settings = Settings {
            extent_slots: plan.extent_slots,
            extent_bytes: 1 << 20,
            group_bytes: 600,
            slot_bytes: plan.slot_bytes,
            depth: plan.depth,
            waiting_bytes: 4_000,
            waiting_callers: 8,
            read_bytes: plan.read_bytes,
            creates: true,
        };
        let collector = CollectorSettings {
            read_bytes: plan.read_bytes,
            listed: plan.listed,
        };
        let mut boot = || Boot {
            host: self.id,
            boot: uuid(dice),
        };
        let (of_log, of_collector) = (boot(), boot());
        self.boots += 1;
        self.running = Some(Running {
            started: now,
            log: SharedLog::new(settings, (), of_log, dice.any()),
            collector: Collector::new(collector, of_collector, dice.any()),
            calls: BTreeSet::new(),
            callers: BTreeMap::new(),
            throttled: Duration::ZERO,
            last_caller: 0,
            wakes: None,
            is_leaving: false,
            has_left: false,
        });
        if plan.skews {
            let off = |dice: &mut Dice, most: u64| dice.below(2 * most) as i64 - most as i64;
            self.skew = match dice.below(6) {
                0 => off(dice, 60_000),
                1 | 2 => off(dice, 4_000),
                _ => 0,
            };
        }
    }

    /// Its own time.
    pub fn now(&self, now: Micros) -> Now {
        let started = self.running.as_ref().map_or(0, |running| running.started);
        Now {
            uptime: Duration::from_micros(now - started),
            wall: Timestamp(BEGIN_MILLIS + (now / 1000) as i64 + self.skew),
        }
    }
}

pub fn uuid(dice: &mut Dice) -> Uuid {
    Uuid::from_u64_pair(dice.any(), dice.any())
}
