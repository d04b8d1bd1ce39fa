//! Counts the file descriptors that the logs of all stores hold, and bounds them. A store never written to holds none,
//! an idle one mostly one, and one that fills its next extent three; so the descriptors are counted, and not the
//! stores.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config::EngineConfig;
use crate::disk::LogFile;
use crate::disk::blocks::Blocks;

/// What a file made anew has until it is settled.
pub(crate) const GROWING: usize = 2;

/// Of all stores.
pub(crate) struct Descriptors {
    held: AtomicUsize,
    /// Of those who have not opened their files yet.
    promised: AtomicUsize,
    most: usize,
    none_left: AtomicBool,
    /// That this is why stores are closed was told.
    is_told: AtomicBool,
}

impl Descriptors {
    /// So many that nobody asks for more.
    pub(crate) fn unlimited() -> Arc<Self> {
        Self::at_most(usize::MAX)
    }

    pub(crate) fn at_most(most: usize) -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            promised: AtomicUsize::new(0),
            most,
            none_left: AtomicBool::new(false),
            is_told: AtomicBool::new(false),
        })
    }

    /// The share of logs in a process that may have so many files open. Lowers the extents that are open for reading where they
    /// would take more than a quarter of what is the engine's. A quarter of all is left to connections and others.
    pub(crate) fn share_of(open_files: u64, config: &mut EngineConfig) -> Arc<Self> {
        /// The log's reserve, the folders, the ring, standard streams.
        const OTHERS: u64 = 24;
        let share = open_files / 4 * 3;
        let extents = (share / 8).clamp(8, config.open_extents as u64);
        config.open_extents = extents as usize;
        let logs = share.saturating_sub(OTHERS + 2 * extents).max(1);
        Self::at_most(usize::try_from(logs).unwrap_or(usize::MAX))
    }

    /// Whether there is one more, beside so many others that are wanted.
    pub(crate) fn has_room(&self, wanted: usize) -> bool {
        self.leave_room(self.promised.load(Ordering::Relaxed), wanted)
    }

    fn leave_room(&self, promised: usize, wanted: usize) -> bool {
        let taken = self.held.load(Ordering::Relaxed).saturating_add(promised);
        taken.saturating_add(wanted) < self.most
    }

    /// Promises so many to a job that can wait, unless they are wanted by others. Of jobs that ask at the same time, no more get
    /// theirs than there is room for.
    pub(crate) fn promise(self: &Arc<Self>, wanted: usize) -> Option<Promise> {
        let take = |promised| self.leave_room(promised, wanted).then_some(promised + wanted);
        let taken = self.promised.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        taken.ok()?;
        Some(Promise {
            descriptors: wanted,
            of: Arc::clone(self),
        })
    }

    /// How many are held beyond what may be.
    pub(crate) fn excess(&self) -> usize {
        self.held.load(Ordering::Relaxed).saturating_sub(self.most)
    }

    /// How many may be held.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// The process, or the system, has none left.
    pub(crate) fn none_left(&self) {
        self.none_left.store(true, Ordering::Relaxed);
    }

    /// Whether that was so since it was asked last.
    pub(crate) fn were_none_left(&self) -> bool {
        self.none_left.load(Ordering::Relaxed) && self.none_left.swap(false, Ordering::Relaxed)
    }

    /// Says once that stores have to be closed for want of them.
    pub(crate) fn tell(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                descriptors = self.most,
                "stores at rest are closed although more may be open, as the process may have too few files open (ulimit -n)"
            );
        }
    }

    /// Counts a file of a log as long as it is open.
    pub(crate) fn count(self: &Arc<Self>, file: Arc<dyn LogFile>, made_anew: bool) -> Arc<dyn LogFile> {
        let counted = CountedFile {
            file,
            of_it: AtomicUsize::new(if made_anew { GROWING } else { 1 }),
            all: Arc::clone(self),
        };
        self.held
            .fetch_add(counted.of_it.load(Ordering::Relaxed), Ordering::Relaxed);
        Arc::new(counted)
    }
}

/// Descriptors that are kept for somebody, until he has opened the file that is counted itself.
pub(crate) struct Promise {
    descriptors: usize,
    of: Arc<Descriptors>,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.of.promised.fetch_sub(self.descriptors, Ordering::Relaxed);
    }
}

struct CountedFile {
    file: Arc<dyn LogFile>,
    of_it: AtomicUsize,
    all: Arc<Descriptors>,
}

impl CountedFile {
    fn keep(&self, descriptors: usize) {
        let before = self.of_it.swap(descriptors, Ordering::Relaxed);
        self.all.held.fetch_sub(before - descriptors, Ordering::Relaxed);
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.keep(0);
    }
}

impl LogFile for CountedFile {
    fn path(&self) -> &PathBuf {
        self.file.path()
    }

    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.write(offset, blocks)
    }

    fn is_queueable(&self) -> bool {
        self.file.is_queueable()
    }

    fn as_any(&self) -> &dyn Any {
        self.file.as_any()
    }

    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.file.grow(offset, blocks)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.file.allocate(size)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.file.settle(size)?;
        self.keep(1);
        Ok(())
    }

    fn take(&self) -> io::Result<()> {
        self.file.take()
    }

    fn has_size(&self, bytes: u64) -> io::Result<bool> {
        self.file.has_size(bytes)
    }

    fn has_name(&self) -> io::Result<bool> {
        self.file.has_name()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk as _;
    use crate::simulation::Simulated;

    #[test]
    fn logs_and_extents_fit_the_files_that_a_process_may_open() {
        let fit = |files| {
            let mut config = EngineConfig::new("d");
            let descriptors = Descriptors::share_of(files, &mut config);
            config.validate().unwrap();
            assert_eq!(config.open_stores, 10_000, "one that was never written to needs none");
            (descriptors.most(), config.open_extents)
        };
        assert_eq!(fit(64), (8, 8));
        assert_eq!(fit(1024), (552, 96));
        assert_eq!(fit(20_000), (14_464, 256));
        for files in [16, 64, 100, 1024, 4096, 65_536, u64::MAX] {
            let (logs, extents) = fit(files);
            assert!(files < 64 || (logs + 2 * extents) as u64 <= files / 4 * 3, "{files}");
        }
    }

    #[test]
    fn what_is_counted_is_what_is_held() {
        let (disk, descriptors) = (Simulated::default(), Descriptors::at_most(3));
        let open = |name: &str, create| descriptors.count(disk.open_log(Path::new(name), create).unwrap(), create);
        let growing = open("/a", true);
        assert!(descriptors.has_room(0) && !descriptors.has_room(1));
        let other = open("/b", true);
        assert_eq!((descriptors.has_room(0), descriptors.excess()), (false, 1));
        growing.grow(0, &Blocks::zeros(4096)).unwrap();
        growing.settle(4096).unwrap();
        assert_eq!((descriptors.has_room(0), descriptors.excess()), (false, 0));
        drop(other);
        let again = open("/a", false);
        assert!(descriptors.has_room(0) && !descriptors.has_room(1));
        drop((growing, again));
        assert!(descriptors.has_room(2) && !descriptors.has_room(3));
    }

    #[test]
    fn of_many_who_ask_at_once_no_more_are_promised_than_there_is_room_for() {
        let (most, asking) = (30, 16);
        let descriptors = Descriptors::at_most(most);
        let begin = std::sync::Barrier::new(asking);
        let promises: Vec<Promise> = std::thread::scope(|threads| {
            let ask = || {
                begin.wait();
                descriptors.promise(GROWING)
            };
            let asked: Vec<_> = (0..asking).map(|_| threads.spawn(ask)).collect();
            asked.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
        });
        assert_eq!(promises.len() * GROWING, most - GROWING, "one is always left");
        assert!(!descriptors.has_room(GROWING) && descriptors.excess() == 0);
        drop(promises);
        assert!(descriptors.has_room(most - 1));
    }
}
