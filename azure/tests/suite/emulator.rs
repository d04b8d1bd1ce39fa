//! The emulator as a child process: on free ports of the loopback address, in a fresh folder, stopped by its own number.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};

use rustix::process::{Pid, Signal, kill_process};

/// Runs the emulator, and ends it when whoever started it is gone.
const RUN: &str = "
    process.argv.splice(1, 0, 'azurite');
    process.stdin.on('end', () => process.kill(process.pid, 'SIGTERM')).resume();
    require(process.env.EMULATOR);
";

/// The account and key that each emulator has, as its documentation publishes them.
pub const ACCOUNT: &str = "devstoreaccount1";
/// Its key.
pub const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A running emulator. It is stopped when dropped.
pub struct Emulator {
    child: Child,
    /// Where it serves blobs.
    pub blobs: u16,
    /// Where it serves tables.
    pub tables: u16,
    /// Its data, and whatever a test puts there.
    _folder: tempfile::TempDir,
}

impl Emulator {
    /// The emulator that all tests share that run at the same time.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Emulator>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start(&[]));
            *shared = Arc::downgrade(&started);
            started
        })
    }

    /// One of its own, with these arguments besides.
    pub fn start(arguments: &[&str]) -> Self {
        let program = program();
        assert!(
            program.is_file(),
            "the emulator is not installed: run azure/emulator/install, which `./check` does ({} is missing)",
            program.display()
        );
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("node")
            .args([
                "-e",
                RUN,
                "--",
                "--disableTelemetry",
                "--inMemoryPersistence",
                "--silent",
            ])
            .args(["--blobPort", "0", "--queuePort", "0", "--tablePort", "0"])
            .current_dir(folder.path())
            .args(arguments)
            .env("EMULATOR", program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node, which runs the emulator: install Node.js");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut port = |service: &str| {
            let mut said = Vec::new();
            for line in lines.by_ref() {
                let line = line.expect("text");
                if line.contains(service) && line.contains("successfully listening") {
                    let port = line.rsplit(':').next().expect("a port");
                    return port.trim().parse().expect("a port");
                }
                said.push(line);
            }
            panic!("the emulator ended: {said:?}");
        };
        let (blobs, tables) = (port("Blob"), port("Table"));
        // It writes to its output later, too.
        std::thread::spawn(move || lines.count());
        Self {
            child,
            blobs,
            tables,
            _folder: folder,
        }
    }
}

/// Where `azure/emulator/install` puts it: beside what was built.
fn program() -> PathBuf {
    const WITHIN: &str = "azurite/node_modules/azurite/dist/src/azurite.js";
    let own = std::env::current_exe().expect("the program that runs");
    let places = || own.ancestors().map(|folder| folder.join(WITHIN));
    let found = places().find(|place| place.is_file());
    // An installed one is there; this is where it is missed.
    found.unwrap_or_else(|| places().nth(3).expect("an absolute path"))
}

impl Drop for Emulator {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}
