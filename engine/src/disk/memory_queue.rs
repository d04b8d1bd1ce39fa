//! A queue of writes for the disk in memory: they end in any order, and many are under way when the power goes.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::blocks::Blocks;
use super::{Ended, LogFile, Waker, WriteQueue};

/// Writes that were started and have not ended.
pub(crate) struct MemoryQueue {
    held: Vec<(u64, Arc<dyn LogFile>, u64, Blocks)>,
    dice: u64,
    woken: Arc<Woken>,
    most: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Woken(Mutex<bool>, Condvar);

impl Waker for Woken {
    fn wake(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.1.notify_all();
    }
}

impl MemoryQueue {
    /// `seed` decides in which order writes end; `most` learns how many were under way at a time.
    pub(crate) fn new(seed: u64, most: Arc<AtomicUsize>) -> Self {
        Self {
            held: Vec::new(),
            dice: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            woken: Arc::default(),
            most,
        }
    }

    fn end_one(&mut self, ended: &mut Vec<Ended>) {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        let one = (self.dice % self.held.len() as u64) as usize;
        let (ticket, file, offset, blocks) = self.held.swap_remove(one);
        let outcome: io::Result<()> = file.write(offset, &blocks);
        ended.push(Ended {
            ticket,
            outcome,
            blocks,
        });
    }
}

impl WriteQueue for MemoryQueue {
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks) {
        self.held.push((ticket, file, offset, blocks));
        self.most.fetch_max(self.held.len(), Ordering::Relaxed);
    }

    /// Takes its time now and then, so that more is started in the meantime.
    fn wait(&mut self, ended: &mut Vec<Ended>) {
        let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !*woken && (self.held.is_empty() || self.dice.is_multiple_of(3)) {
            let patience = Duration::from_micros(300);
            woken = self
                .woken
                .1
                .wait_timeout(woken, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
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
