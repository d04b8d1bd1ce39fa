//! Many concurrent writes, which end in an order that the disk's seed decides.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::file::Open;
use super::world::Simulated;
use crate::disk::blocks::Blocks;
use crate::disk::{BrokenQueue, EndedWrite, LogFile, Waker, WriteOutcome, WriteQueue};
use crate::runtime::sync::{Condvar, Mutex};

pub(super) struct SimulatedQueue {
    disk: Simulated,
    held: Vec<(u64, Arc<dyn LogFile>, u64, Blocks)>,
    woken: Arc<Woken>,
    broken: bool,
    /// Writes that never ended were under way when it broke.
    leaves_writes: bool,
}

#[derive(Default)]
struct Woken(Mutex<bool>, Condvar);

impl Waker for Woken {
    fn wake(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }
}

impl SimulatedQueue {
    pub(super) fn new(disk: Simulated) -> Self {
        Self {
            disk,
            held: Vec::new(),
            woken: Arc::default(),
            broken: false,
            leaves_writes: false,
        }
    }

    /// Breaks, if it is to: the device has some of what is under way, and nobody will hear of it; the rest it never gets.
    fn check(&mut self, ended: &mut Vec<EndedWrite>) -> Result<(), BrokenQueue> {
        let breaks = {
            let world = self.disk.world();
            world.faults.queue_breaks == Some(0) && !world.dead
        };
        if breaks && !self.broken {
            self.broken = true;
            self.disk.world().met += 1;
            let given = self.disk.world().dice.below(self.held.len() as u64 + 1) as usize;
            let mut unknown = Vec::new();
            for (place, (ticket, file, offset, blocks)) in self.held.drain(..).enumerate() {
                let number = file.as_any().downcast_ref::<Open>().map(|open| open.number);
                let outcome = if place < given {
                    unknown.push(number);
                    self.leaves_writes = true;
                    if self.disk.world().dice.chance(1, 2) {
                        let _ = file.write(offset, &blocks);
                        self.disk.world().flying.remove(&ticket);
                    }
                    WriteOutcome::Made(Err(std::io::Error::other("the queue broke with it under way")))
                } else {
                    self.disk.world().flying.remove(&ticket);
                    match unknown.contains(&number) {
                        true => WriteOutcome::NotBegun,
                        false => WriteOutcome::Made(file.write(offset, &blocks)),
                    }
                };
                ended.push(EndedWrite {
                    ticket,
                    outcome,
                    blocks,
                });
            }
        }
        match self.broken {
            false => Ok(()),
            true => Err(BrokenQueue {
                cause: std::io::Error::other("the queue broke"),
                leaves_writes: self.leaves_writes,
            }),
        }
    }

    fn end_one(&mut self, ended: &mut Vec<EndedWrite>) {
        let one = self.disk.world().dice.below(self.held.len() as u64) as usize;
        let (ticket, file, offset, blocks) = self.held.swap_remove(one);
        let outcome = match file.as_any().downcast_ref::<Open>() {
            Some(open) => open.land(offset, &blocks),
            None => file.write(offset, &blocks),
        };
        let mut world = self.disk.world();
        // Without power it is under way for ever.
        if !world.dead {
            world.flying.remove(&ticket);
        }
        drop(world);
        ended.push(EndedWrite {
            ticket,
            outcome: WriteOutcome::Made(outcome),
            blocks,
        });
    }
}

impl WriteQueue for SimulatedQueue {
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks) {
        if let Some(open) = file.as_any().downcast_ref::<Open>() {
            let mut world = self.disk.world();
            let flight = (open.number, offset as usize, blocks.to_vec());
            world.flying.insert(ticket, flight);
            world.most_flying = world.most_flying.max(world.flying.len());
        }
        self.held.push((ticket, file, offset, blocks));
        let mut world = self.disk.world();
        if let Some(left) = &mut world.faults.queue_breaks {
            *left = left.saturating_sub(1);
        }
        if let Some(left) = &mut world.faults.queue_panics {
            *left = left.saturating_sub(1);
            if *left == 0 {
                world.faults.queue_panics = None;
                drop(world);
                // Without a word on the terminal.
                std::panic::resume_unwind(Box::new("a planned panic"));
            }
        }
    }

    /// With threads it takes its time now and then, so that more is started in the meantime. Without, a call may find that
    /// nothing has ended yet.
    fn reap(&mut self, may_wait: bool, ended: &mut Vec<EndedWrite>) -> Result<(), BrokenQueue> {
        self.check(ended)?;
        let (threads, idles) = {
            let mut world = self.disk.world();
            (world.threads, world.dice.chance(1, 3))
        };
        if !threads {
            if !self.held.is_empty() && !idles {
                self.end_one(ended);
            }
            return Ok(());
        }
        if !may_wait {
            return Ok(());
        }
        let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*woken && (self.held.is_empty() || idles) {
            let patience = Duration::from_micros(300);
            let waited = self.woken.1.wait_timeout(woken, patience);
            woken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if !std::mem::take(&mut *woken) && !self.held.is_empty() {
            drop(woken);
            self.end_one(ended);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BrokenQueue> {
        let mut ended = Vec::new();
        self.check(&mut ended)?;
        while !self.held.is_empty() {
            self.end_one(&mut ended);
        }
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.woken) as Arc<dyn Waker>
    }
}
