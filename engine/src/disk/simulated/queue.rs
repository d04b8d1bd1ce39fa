//! Many writes at a time, which end in an order that the disk's seed decides.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Simulated;
use super::file::Open;
use crate::disk::blocks::Blocks;
use crate::disk::{Ended, LogFile, Waker, WriteQueue};
use crate::sync::{Condvar, Mutex};

pub(super) struct Queue {
    disk: Simulated,
    held: Vec<(u64, Arc<dyn LogFile>, u64, Blocks)>,
    woken: Arc<Woken>,
}

#[derive(Default)]
struct Woken(Mutex<bool>, Condvar);

impl Waker for Woken {
    fn wake(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }
}

impl Queue {
    pub(super) fn new(disk: Simulated) -> Self {
        Self {
            disk,
            held: Vec::new(),
            woken: Arc::default(),
        }
    }

    fn end_one(&mut self, ended: &mut Vec<Ended>) {
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
        ended.push(Ended {
            ticket,
            outcome,
            blocks,
        });
    }
}

impl WriteQueue for Queue {
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks) {
        if let Some(open) = file.as_any().downcast_ref::<Open>() {
            let mut world = self.disk.world();
            let flight = (open.number, offset as usize, blocks.to_vec());
            world.flying.insert(ticket, flight);
            world.most_flying = world.most_flying.max(world.flying.len());
        }
        self.held.push((ticket, file, offset, blocks));
    }

    /// With threads it takes its time now and then, so that more is started in the meantime. Without, a call may find that
    /// nothing has ended yet.
    fn wait(&mut self, ended: &mut Vec<Ended>) {
        let (threads, idles) = {
            let mut world = self.disk.world();
            (world.threads, world.dice.chance(1, 3))
        };
        if !threads {
            if !self.held.is_empty() && !idles {
                self.end_one(ended);
            }
            return;
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
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.woken) as Arc<dyn Waker>
    }
}
