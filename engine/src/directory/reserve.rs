//! Descriptors reserved for the log: if the process may open no more files, an open store still gets its next extent.

use crate::error::is_out_of_descriptors;
use std::fs::File;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many as a roll takes at a time, twice: a new extent's two, the folder's, and one for a checkpoint.
const KEPT: usize = 8;

/// How often they are lent for one thing: another who is done may take them back before it has them.
const TRIES: usize = 3;

/// What stands for them until they are needed.
pub(crate) struct Reserve(Mutex<Vec<File>>);

impl Reserve {
    pub(crate) fn new() -> Self {
        let reserve = Self(Mutex::default());
        fill(&mut reserve.kept());
        reserve
    }

    /// Does what takes descriptors. Where there are none left, it gets those that are kept, which are taken back as soon as there
    /// are some.
    pub(crate) fn lend<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        match open() {
            Err(error) if is_out_of_descriptors(&error) => self.lend_kept(&open, error),
            done => {
                // Whoever is at it sees to it.
                if let Ok(mut kept) = self.0.try_lock() {
                    fill(&mut kept);
                }
                done
            }
        }
    }

    /// Nobody waits for another here: what is done may be a sync that takes as long as the disk does.
    fn lend_kept<T>(&self, open: &impl Fn() -> io::Result<T>, mut error: io::Error) -> io::Result<T> {
        for _ in 0..TRIES {
            self.kept().clear();
            match open() {
                Err(again) if is_out_of_descriptors(&again) => error = again,
                done => {
                    fill(&mut self.kept());
                    return done;
                }
            }
        }
        fill(&mut self.kept());
        Err(error)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(all(test, unix))]
mod tests {
    use std::sync::mpsc;
    use std::sync::{Arc, Barrier};

    use super::*;

    /// EMFILE the first time.
    fn after_one_refusal<T>(open: impl Fn() -> T) -> impl Fn() -> io::Result<T> {
        let is_refused = std::cell::Cell::new(true);
        move || match is_refused.replace(false) {
            true => Err(io::Error::from_raw_os_error(24)),
            false => Ok(open()),
        }
    }

    #[test]
    fn who_is_lent_descriptors_waits_for_no_one_whose_disk_hangs() {
        let reserve = Arc::new(Reserve::new());
        let (hangs, moves) = (Arc::new(Barrier::new(2)), mpsc::channel::<()>());
        let hanging = {
            let (reserve, hangs) = (Arc::clone(&reserve), Arc::clone(&hangs));
            std::thread::spawn(move || {
                let sync = after_one_refusal(|| {
                    hangs.wait();
                    moves.1.recv().unwrap();
                });
                reserve.lend(sync).unwrap();
            })
        };
        hangs.wait();
        assert_eq!(reserve.lend(after_one_refusal(|| 7)).unwrap(), 7);
        assert_eq!(reserve.kept().len(), KEPT, "they are taken back");
        moves.0.send(()).unwrap();
        hanging.join().unwrap();
    }

    #[test]
    fn what_gets_no_descriptor_though_all_are_lent_is_told_so() {
        let reserve = Reserve::new();
        let refused = reserve.lend(|| -> io::Result<()> { Err(io::Error::from_raw_os_error(24)) });
        assert!(is_out_of_descriptors(&refused.unwrap_err()));
        assert_eq!(reserve.kept().len(), KEPT);
    }
}
