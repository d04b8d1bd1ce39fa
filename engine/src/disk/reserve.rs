//! Descriptors kept for the log: where the process may open no more files, a store that is open still gets its next extent.

use std::fs::File;
use std::io;
use std::sync::{Mutex, PoisonError};

/// As many as a roll takes at a time, twice: a new extent's two, the folder's, and one for a checkpoint.
const KEPT: usize = 8;

/// What stands for them until they are needed.
pub(crate) struct Reserve(Mutex<Vec<File>>);

/// Whether the process, or the system, has as many files open as may be. It passes.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    /// ENFILE and EMFILE, on all systems of this kind. They have no kind of their own.
    const CODES: [i32; 2] = [23, 24];
    cfg!(unix) && error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

impl Reserve {
    pub(crate) fn new() -> Self {
        let reserve = Self(Mutex::default());
        fill(&mut reserve.0.lock().unwrap_or_else(PoisonError::into_inner));
        reserve
    }

    /// Does what takes descriptors. Where there are none left, it gets those that are kept, which are taken back as soon as there
    /// are some.
    pub(crate) fn lend<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match open() {
            Err(error) if is_out_of_descriptors(&error) => {
                let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                kept.clear();
                let opened = open();
                fill(&mut kept);
                opened
            }
            done => {
                // Whoever is at it sees to it.
                if let Ok(mut kept) = self.0.try_lock() {
                    fill(&mut kept);
                }
                done
            }
        }
    }
}

fn fill(kept: &mut Vec<File>) {
    if cfg!(not(unix)) {
        return;
    }
    while kept.len() < KEPT {
        match File::open("/dev/null") {
            Ok(file) => kept.push(file),
            Err(_) => return,
        }
    }
}
