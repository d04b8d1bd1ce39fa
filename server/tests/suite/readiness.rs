//! What `/readyz` says, and what the log says at the start, over disks that do not do everything.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use streamkit_engine::disk::blocks::Blocks;
use streamkit_engine::disk::files::Files;
use streamkit_engine::disk::{Disk, DiskFile, DiskLock, LogFile, OpenMode, WriteQueue};
use streamkit_engine::{CommitMethod, Engine, EngineConfig};
use streamkit_protocol::{Request, Terminal};
use streamkit_server::Limits;

use crate::handshake::get;
use crate::peer::{Host, consume, record};

/// Files whose log may be told to fail, and with a queue for many writes that the system refuses.
#[derive(Clone, Default)]
struct Refusing {
    writes: Arc<AtomicBool>,
}

struct RefusingLog(Arc<dyn LogFile>, Arc<AtomicBool>);

impl LogFile for RefusingLog {
    fn path(&self) -> &PathBuf {
        self.0.path()
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn write(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        match self.1.load(Ordering::Acquire) {
            true => Err(io::Error::other("the cable is out")),
            false => self.0.write(offset, blocks),
        }
    }
    fn grow(&self, offset: u64, blocks: &Blocks) -> io::Result<()> {
        self.0.grow(offset, blocks)
    }

    fn allocate(&self, size: u64) -> io::Result<bool> {
        self.0.allocate(size)
    }

    fn settle(&self, size: u64) -> io::Result<()> {
        self.0.settle(size)
    }
}

impl Disk for Refusing {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Files.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        Files.list(path)
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Files.open(path, mode)
    }
    fn open_log(&self, path: &Path, create: bool) -> io::Result<Arc<dyn LogFile>> {
        let file = Files.open_log(path, create)?;
        Ok(Arc::new(RefusingLog(file, self.writes.clone())))
    }
    fn write_queue(&self, _held: Option<std::fs::File>) -> io::Result<Option<Box<dyn WriteQueue>>> {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "not in this container"))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Files.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        Files.lock(path)
    }
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens an engine, and returns what it logged.
fn logged(config: EngineConfig) -> (Engine, String) {
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let engine = tracing::subscriber::with_default(log, || Engine::open(config)).unwrap();
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (engine, text)
}

#[test]
fn the_log_says_once_how_commits_are_made_and_why_not_through_io_uring() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = || EngineConfig {
        disk: Arc::new(Refusing::default()),
        ..EngineConfig::new(dir.path())
    };
    let (engine, log) = logged(refusing());
    assert_eq!(engine.commit_method(), "threads");
    let count = |text: &str| log.matches(text).count();
    assert_eq!(
        (count("WARN"), count("not in this container"), count("INFO")),
        (1, 1, 1),
        "{log}"
    );
    assert!(log.contains("commit_method=\"threads\""), "{log}");
    drop(engine);
    // Nobody is warned of what he asked for.
    for config in [refusing(), EngineConfig::new(dir.path())] {
        let commit_method = CommitMethod::Threads;
        let (engine, log) = logged(EngineConfig {
            commit_method,
            ..config
        });
        assert_eq!(engine.commit_method(), "threads");
        assert!(
            !log.contains("WARN") && log.contains("commit_method=\"threads\""),
            "{log}"
        );
    }
}

#[tokio::test]
async fn readiness_says_how_commits_are_made_and_turns_red_after_a_failed_write() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let disk = Refusing::default();
    let config = EngineConfig {
        disk: Arc::new(disk.clone()),
        ..EngineConfig::new(dir.path())
    };
    let engine = tokio::task::spawn_blocking(|| Engine::open(config)).await;
    let engine = engine.unwrap().unwrap();
    let host = Host::over(Arc::new(engine.clone()), engine, dir, Limits::default(), "127.0.0.1:0").await;
    let mut peer = host.connect().await;
    assert_eq!(peer.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    let method = "streamkit-commit-method: threads\r\n";
    let ready = get(&host, "/readyz", "").await;
    assert!(
        ready.starts_with("HTTP/1.1 200") && ready.ends_with("\r\n\r\nok") && ready.contains(method),
        "{ready}"
    );
    disk.writes.store(true, Ordering::Release);
    let (_, end) = peer.produce("s", "a", &[&record(2)]).await;
    assert!(
        matches!(&end, Terminal::CloseError(why) if why.contains("the cable is out")),
        "{end:?}"
    );
    // Red it stays, whatever the disk does next: what it holds is unknown until the store is opened again.
    disk.writes.store(false, Ordering::Release);
    for _ in 0..2 {
        let red = get(&host, "/readyz", "").await;
        assert!(red.starts_with("HTTP/1.1 503") && red.contains(method), "{red}");
        assert!(red.contains("the store accepts no writes since a write failed") && red.contains("the cable is out"));
        let (_, end) = peer.produce("s", "a", &[&record(2)]).await;
        assert!(
            matches!(&end, Terminal::CloseError(why) if why.contains("restart to recover")),
            "{end:?}"
        );
    }
    let read = peer.call(&Request::ConsumeSegment(consume("s", "a"))).await;
    assert_eq!((read.0.len(), read.1), (1, Terminal::Close), "reads go on");
    assert!(get(&host, "/healthz", "").await.starts_with("HTTP/1.1 200"));
}
