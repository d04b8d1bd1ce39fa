//! The server's memory over time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

pub struct Memory {
    process: Arc<AtomicU32>,
    over: Arc<AtomicBool>,
    sampling: JoinHandle<Vec<u64>>,
}

/// In KiB, in order.
pub struct Samples(Vec<u64>);

impl Memory {
    /// Watches a process, and its followers under [`Memory::follower`].
    pub fn watch(process: u32) -> Self {
        let process = Arc::new(AtomicU32::new(process));
        let over = Arc::new(AtomicBool::new(false));
        let (watched, done) = (process.clone(), over.clone());
        let sampling = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while !done.load(Ordering::Relaxed) {
                samples.extend(resident(watched.load(Ordering::Relaxed)));
                std::thread::sleep(Duration::from_millis(200));
            }
            samples
        });
        Self {
            process,
            over,
            sampling,
        }
    }

    /// Where the process that is watched is named; 0 while there is none.
    pub fn follower(&self) -> Arc<AtomicU32> {
        self.process.clone()
    }

    pub fn stop(self) -> Samples {
        self.over.store(true, Ordering::Relaxed);
        Samples(self.sampling.join().unwrap())
    }
}

/// Where the system tells it.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Samples {
    /// Prints the most of each tenth. A server that keeps something of each call would have more and more.
    pub fn is_flat(&self) {
        let Self(samples) = self;
        if samples.len() < 10 {
            return;
        }
        let tenths: Vec<u64> = samples
            .chunks(samples.len().div_ceil(10))
            .map(|tenth| tenth.iter().max().unwrap() >> 10)
            .collect();
        println!("memory of the server, the most of each tenth, in MiB: {tenths:?}");
        let (begun, last) = (tenths[..3].iter().max().unwrap(), tenths.last().unwrap());
        assert!(*last <= 2 * begun + 64, "it grew from {begun} to {last} MiB");
    }
}
