//! Three hosts over one account, for all tests that run at the same time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use streamkit_torture_hosts::account::{any_link, host, past_no_gate, program};
use streamkit_torture_hosts::emulator::Emulator;
use streamkit_torture_wire::process::Process;
use tokio::runtime::Runtime;

/// They, which end when this is dropped.
pub struct Hosts {
    /// Where each serves applications.
    pub addresses: Vec<SocketAddr>,
    processes: Vec<Process>,
    /// It outlives that of each test, and reads what the processes say.
    runtime: Option<Runtime>,
    // Behind the processes, whose connections it waits for.
    _emulator: Emulator,
    _folder: tempfile::TempDir,
}

impl Hosts {
    /// Those that are there, or else new ones. Blocks.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Hosts>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let started = Arc::new(Self::start());
            *shared = Arc::downgrade(&started);
            started
        })
    }

    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let (emulator, folder) = (Emulator::start(&[]), tempfile::tempdir().unwrap());
        let start = |number: usize| {
            let folder = folder.path().join(number.to_string());
            let host = async { host(&program(), &folder, past_no_gate(&emulator), any_link(), &[]).await };
            runtime.block_on(host).unwrap()
        };
        let processes: Vec<Process> = (0..3).map(start).collect();
        Self {
            addresses: processes.iter().map(|host| host.address).collect(),
            processes,
            runtime: Some(runtime),
            _emulator: emulator,
            _folder: folder,
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        // SIGKILL.
        self.processes.clear();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
