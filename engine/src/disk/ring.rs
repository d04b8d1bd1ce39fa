//! Linux: many durable writes at a time from one thread, through io_uring. The ring is made, fed and emptied by the one
//! thread that owns it; others only end its wait.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::sync::Arc;

use io_uring::{IoUring, opcode, squeue, types};

use super::blocks::Blocks;
use super::direct::DirectFile;
use super::{Ended, LogFile, Waker, WriteQueue};

/// Writes the ring holds at a time.
const ENTRIES: u32 = 256;

/// The ticket of the read that ends a wait.
const WAKE: u64 = u64::MAX;

/// A write whose buffer and file belong to the kernel until it ends.
struct Held {
    file: Arc<dyn LogFile>,
    offset: u64,
    blocks: Blocks,
}

/// One ring.
pub struct Ring {
    /// Dropping it waits for nothing; that the kernel uses none of what stands below any more is for [`Drop`] to see to.
    ring: IoUring,
    held: HashMap<u64, Held>,
    /// Writes that could not be given to the ring, and were made the plain way.
    made: Vec<Ended>,
    wake: Arc<Eventfd>,
    /// Where the kernel puts what it reads of `wake`.
    wakes: Box<u64>,
    /// A read of `wake` is under way.
    listening: bool,
}

struct Eventfd(File);

impl Waker for Eventfd {
    fn wake(&self) {
        // It fails only when the count is about to overflow: then a wake is pending anyway.
        let _ = (&self.0).write(&1_u64.to_le_bytes());
    }
}

impl Ring {
    /// Makes a ring for this thread.
    ///
    /// # Errors
    /// Where the kernel is too old for it, or forbids it.
    pub fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(ENTRIES)?;
        // SAFETY: plain call without pointers; the descriptor it returns is ours alone.
        let wake = unsafe {
            match libc::eventfd(0, libc::EFD_CLOEXEC) {
                -1 => return Err(io::Error::last_os_error()),
                descriptor => OwnedFd::from_raw_fd(descriptor),
            }
        };
        Ok(Self {
            ring,
            held: HashMap::new(),
            made: Vec::new(),
            wake: Arc::new(Eventfd(wake.into())),
            wakes: Box::new(0),
            listening: false,
        })
    }

    /// Keeps a file open, and the lock that stands on it, until nothing that was started is under way, even if the process is
    /// killed: the kernel gives it up with the ring. Without that, the next owner of the folder could read and write
    /// before a write of the killed one lands.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn hold(&self, file: &File) -> io::Result<()> {
        self.ring.submitter().register_files(&[file.as_raw_fd()])
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entry points to is kept in `held` or `wakes` until its completion is taken, and `drop` waits for
        // all of them.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?; // the queue is full: the kernel takes it over
        }
        Ok(())
    }

    fn listen(&mut self) -> io::Result<()> {
        if !self.listening {
            let file = types::Fd(self.wake.0.as_raw_fd());
            let read = opcode::Read::new(file, std::ptr::from_mut(&mut *self.wakes).cast(), 8);
            self.push(&read.build().user_data(WAKE))?;
            self.listening = true;
        }
        Ok(())
    }

    fn take(&mut self, ended: &mut Vec<Ended>) {
        for completion in self.ring.completion() {
            if completion.user_data() == WAKE {
                self.listening = false;
                continue;
            }
            let Some(held) = self.held.remove(&completion.user_data()) else {
                continue;
            };
            ended.push(Ended {
                ticket: completion.user_data(),
                outcome: outcome(completion.result(), &held),
                blocks: held.blocks,
            });
        }
    }
}

/// What a completion says of a write. One that was cut short, or that the kernel would have to wait for, is made again the
/// plain way: nothing failed.
fn outcome(result: i32, held: &Held) -> io::Result<()> {
    match u32::try_from(result) {
        Ok(written) if written as usize == held.blocks.len() => Ok(()),
        Ok(_) => held.file.write(held.offset, &held.blocks),
        Err(_) if [-libc::EAGAIN, -libc::EINTR].contains(&result) => held.file.write(held.offset, &held.blocks),
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
    }
}

impl WriteQueue for Ring {
    fn start(&mut self, ticket: u64, file: Arc<dyn LogFile>, offset: u64, blocks: Blocks) {
        let descriptor = file
            .as_any()
            .downcast_ref::<DirectFile>()
            .map(|direct| types::Fd(direct.as_raw_fd()));
        let length = u32::try_from(blocks.len()).ok();
        let held = Held { file, offset, blocks };
        if let (Some(descriptor), Some(length)) = (descriptor, length) {
            let write = opcode::Write::new(descriptor, held.blocks.as_ptr(), length).offset(offset);
            self.held.insert(ticket, held);
            if let Err(error) = self.push(&write.build().user_data(ticket))
                && let Some(held) = self.held.remove(&ticket)
            {
                self.made.push(Ended {
                    ticket,
                    outcome: Err(error),
                    blocks: held.blocks,
                });
            }
        } else {
            self.made.push(Ended {
                ticket,
                outcome: held.file.write(offset, &held.blocks),
                blocks: held.blocks,
            });
        }
    }

    fn wait(&mut self, ended: &mut Vec<Ended>) {
        let wanted = usize::from(self.made.is_empty());
        ended.append(&mut self.made);
        let waited = self.listen().and_then(|()| self.ring.submit_and_wait(wanted));
        if let Err(error) = waited
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "io_uring failed to wait");
            std::thread::yield_now();
        }
        self.take(ended);
    }

    fn waker(&self) -> Arc<dyn Waker> {
        Arc::clone(&self.wake) as Arc<dyn Waker>
    }
}

impl Drop for Ring {
    /// Waits for what is under way: the kernel still uses its buffers.
    fn drop(&mut self) {
        self.wake.wake();
        while self.listening || !self.held.is_empty() {
            if let Err(error) = self.ring.submit_and_wait(1)
                && error.kind() != io::ErrorKind::Interrupted
            {
                // Rather leak than let the kernel write from, or into, freed memory.
                std::mem::forget(std::mem::take(&mut self.held));
                std::mem::forget(std::mem::take(&mut self.wakes));
                return;
            }
            self.take(&mut Vec::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk as _;
    use crate::disk::direct::Direct;
    use crate::limits::BLOCK_BYTES;

    fn block(content: u64) -> Blocks {
        let mut blocks = Blocks::default();
        for _ in 0..BLOCK_BYTES / 8 {
            blocks.extend_from_slice(&content.to_le_bytes());
        }
        blocks
    }

    #[test]
    fn the_lock_of_a_folder_stands_as_long_as_a_ring_may_write_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(ring) = Ring::new() else {
            return eprintln!("skipped: no io_uring here");
        };
        let open = || File::create(dir.path().join("lock")).unwrap();
        let lock = open();
        lock.try_lock().unwrap();
        ring.hold(&lock).unwrap();
        drop(lock); // as a killed process does: nobody unlocks it
        assert!(open().try_lock().is_err());
        drop(ring);
        open().lock().unwrap();
    }

    #[test]
    fn many_writes_end_each_with_its_own_outcome_and_a_wait_ends_when_woken() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Direct::default();
        let Ok(mut ring) = Ring::new() else {
            return eprintln!("skipped: no io_uring here");
        };
        let writes = 3 * u64::from(ENTRIES);
        let file = disk.open_log(&dir.path().join("file"), true).unwrap();
        file.grow(0, &Blocks::zeros((writes as usize + 1) * BLOCK_BYTES))
            .unwrap();
        for ticket in 0..writes {
            ring.start(ticket, Arc::clone(&file), ticket * BLOCK_BYTES as u64, block(ticket));
        }
        let mut ended = Vec::new();
        while ended.len() < writes as usize {
            ring.wait(&mut ended);
        }
        ended.sort_by_key(|ended| ended.ticket);
        for (ticket, ended) in (0..).zip(&ended) {
            assert_eq!(ended.ticket, ticket);
            assert!(ended.outcome.is_ok() && *ended.blocks == *block(ticket));
        }
        let bytes = std::fs::read(dir.path().join("file")).unwrap();
        for (ticket, written) in (0..writes).zip(bytes.chunks(BLOCK_BYTES)) {
            assert_eq!(written, &*block(ticket));
        }
        // A file that cannot be written to says so.
        let refused = std::fs::File::open(dir.path().join("file")).unwrap();
        let readable = Arc::new(DirectFile::for_test(refused, dir.path().join("file")));
        ring.start(7, readable, 0, block(7));
        ended.clear();
        while ended.is_empty() {
            ring.wait(&mut ended);
        }
        assert!(ended[0].outcome.is_err());
        let waker = ring.waker();
        let waking = std::thread::spawn(move || waker.wake());
        ended.clear();
        ring.wait(&mut ended);
        assert!(ended.is_empty());
        waking.join().unwrap();
        // Dropped with writes under way, it waits for them: they are there.
        for ticket in 0..100 {
            ring.start(ticket, Arc::clone(&file), writes * BLOCK_BYTES as u64, block(1000));
        }
        drop(ring);
        let bytes = std::fs::read(dir.path().join("file")).unwrap();
        assert_eq!(bytes[writes as usize * BLOCK_BYTES..], *block(1000));
    }
}
