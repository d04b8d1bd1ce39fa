//! Key files, read again when they change. A file that is broken keeps the keys that it had.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use crate::auth::algorithm::Algorithm;
use crate::auth::key::{FileKind, Key, KeyError, parse_file, read_up_to};

/// How long a file that changed has to stay as it is before it counts: whoever writes it may not have finished.
const SETTLED: Duration = Duration::from_secs(1);

/// All files.
pub(super) struct Files {
    unsaid: Vec<Algorithm>,
    files: Mutex<Vec<KeyFile>>,
    keys: RwLock<Arc<[Key]>>,
    broken: AtomicUsize,
}

struct KeyFile {
    path: PathBuf,
    kind: FileKind,
    /// Whether it can be read twice. Of a pipe there is nothing the second time.
    stays: bool,
    /// What was read last, whether it was good or not; nothing if it could not be read.
    seen: Option<Vec<u8>>,
    keys: Vec<Key>,
    is_broken: bool,
}

impl KeyFile {
    fn open(path: PathBuf, kind: FileKind, unsaid: &[Algorithm]) -> Result<Self, KeyError> {
        let mut file = Self {
            stays: path.metadata().is_ok_and(|about| about.is_file()),
            path,
            kind,
            seen: None,
            keys: Vec::new(),
            is_broken: false,
        };
        let read = read_up_to(&file.path, kind.bytes_max());
        let read = read.map_err(|error| KeyError::Read(error).in_file(&file.path));
        file.take(read?, unsaid)?;
        Ok(file)
    }

    /// What is in it now. Never of a pipe that took its place: whoever opens one may wait for ever.
    fn read(&self) -> Result<Vec<u8>, KeyError> {
        let about = self.path.metadata();
        let read = about.and_then(|about| match about.is_file() {
            true => read_up_to(&self.path, self.kind.bytes_max()),
            false => Err(io::Error::other("it is no file any more")),
        });
        read.map_err(|error| KeyError::Read(error).in_file(&self.path))
    }

    /// Its keys go on counting. If it could not even be read, whatever is read next is news.
    fn breaks(&mut self, why: &KeyError, was_read: bool) {
        if !was_read {
            self.seen = None;
        }
        self.is_broken = true;
        tracing::error!("{why}; the keys that it had go on counting");
    }

    /// Makes its keys those in these bytes, if there are any.
    fn take(&mut self, bytes: Vec<u8>, unsaid: &[Algorithm]) -> Result<(), KeyError> {
        let parsed = parse_file(&bytes, unsaid, self.kind);
        self.seen = Some(bytes);
        self.is_broken = parsed.is_err();
        self.keys = parsed.map_err(|why| why.in_file(&self.path))?;
        Ok(())
    }
}

impl Files {
    pub(super) fn open(files: Vec<PathBuf>, set_files: Vec<PathBuf>, unsaid: Vec<Algorithm>) -> Result<Self, KeyError> {
        let any = files.into_iter().map(|path| (path, FileKind::Any));
        let sets = set_files.into_iter().map(|path| (path, FileKind::Set));
        let files = any.chain(sets).map(|(path, kind)| KeyFile::open(path, kind, &unsaid));
        let opened = Self {
            files: Mutex::new(files.collect::<Result<_, _>>()?),
            keys: RwLock::new(Arc::default()),
            broken: AtomicUsize::new(0),
            unsaid,
        };
        opened.update(|_, _| {});
        Ok(opened)
    }

    /// The keys of all of them.
    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys().is_empty()
    }

    /// How many have no keys in their newest content.
    pub(super) fn broken(&self) -> usize {
        self.broken.load(Ordering::Relaxed)
    }

    /// Does something with each, and makes known what came of it.
    fn update(&self, mut each: impl FnMut(&mut KeyFile, &[Algorithm])) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files.iter_mut() {
            each(file, &self.unsaid);
        }
        let keys: Arc<[Key]> = files.iter().flat_map(|file| file.keys.iter().cloned()).collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        let broken = files.iter().filter(|file| file.is_broken).count();
        self.broken.store(broken, Ordering::Relaxed);
    }

    /// Reads all again, as they are now. The first error of any.
    pub(super) fn reload(&self) -> Result<(), KeyError> {
        let mut first = Ok(());
        self.update(|file, unsaid| {
            if !file.stays {
                return;
            }
            let read = file.read();
            let was_read = read.is_ok();
            if let Err(why) = read.and_then(|bytes| file.take(bytes, unsaid)) {
                file.breaks(&why, was_read);
                first = std::mem::replace(&mut first, Ok(())).and(Err(why));
            }
        });
        first
    }

    /// Reads those again that changed and have settled.
    pub(super) async fn look<T: Send + Sync + 'static>(of: &Arc<T>, files: fn(&T) -> &Files, every: Duration) {
        let looked = of.clone();
        let changed = tokio::task::spawn_blocking(move || files(&looked).changed());
        let changed = changed.await.unwrap_or_default();
        if changed.is_empty() {
            return;
        }
        tokio::time::sleep(SETTLED.min(every)).await;
        let looked = of.clone();
        let taken = tokio::task::spawn_blocking(move || files(&looked).take_settled(changed));
        // A panic is in the log, and the next look comes.
        let _ = taken.await;
    }

    /// Those whose bytes are not those that were read last, with what they are now; `None` for one that cannot be read.
    fn changed(&self) -> Vec<(PathBuf, Option<Vec<u8>>)> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = files.iter().filter(|file| file.stays);
        let looked = looked.map(|file| (file, file.read().ok()));
        // One that cannot be read is told once.
        let changed = looked.filter(|(file, now)| *now != file.seen);
        changed.map(|(file, now)| (file.path.clone(), now)).collect()
    }

    fn take_settled(&self, changed: Vec<(PathBuf, Option<Vec<u8>>)>) {
        self.update(|file, unsaid| {
            let Some((_, before)) = changed.iter().find(|(path, _)| *path == file.path) else {
                return;
            };
            let read = file.read();
            if read.as_ref().ok() != before.as_ref() {
                // It goes on changing: the next look takes it.
                return;
            }
            let was_read = read.is_ok();
            match read.and_then(|now| file.take(now, unsaid)) {
                Ok(()) => {
                    tracing::info!(file = %file.path.display(), keys = file.keys.len(), "a key file was read again")
                }
                Err(why) => file.breaks(&why, was_read),
            }
        });
    }
}
