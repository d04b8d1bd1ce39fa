//! What asks a command to stop, and what must not end it.

#[cfg(unix)]
pub(crate) mod forwarded;
pub(crate) mod interrupt;

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Stop,
    /// To read again what may have changed.
    Reload,
}

/// SIGINT, SIGTERM and SIGHUP, from the moment it is made.
#[cfg(unix)]
pub(crate) struct StopSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// Of a closed terminal it is heard once, since the system and a shell both tell.
    hangup: Option<tokio::signal::unix::Signal>,
    reloads: bool,
    had_terminal: bool,
}

#[cfg(unix)]
impl StopSignals {
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: match outlives_terminal() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
            reloads: false,
            had_terminal: has_terminal(),
        })
    }

    /// The same for who can reload: there SIGHUP asks for that, unless it says that the terminal was closed.
    pub(crate) fn with_reload() -> std::io::Result<Self> {
        let signals = Self::new()?;
        Ok(Self {
            reloads: true,
            ..signals
        })
    }

    /// The next that asks to stop.
    pub(crate) async fn next(&mut self) -> std::io::Result<()> {
        while self.asked().await? != Asked::Stop {}
        Ok(())
    }

    /// The next.
    ///
    /// Cancel safe.
    pub(crate) async fn asked(&mut self) -> std::io::Result<Asked> {
        let hung_up = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let is_hung_up = tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => false,
            _ = hung_up => true,
        };
        let lost_terminal = self.had_terminal && !has_terminal();
        if is_hung_up && self.reloads && !lost_terminal {
            return Ok(Asked::Reload);
        }
        if is_hung_up {
            self.hangup = None;
        }
        Ok(Asked::Stop)
    }
}

/// Whether a terminal controls this process: then this name leads to it, until it is closed.
#[cfg(unix)]
fn has_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok()
}

/// Whether this process was started to ignore SIGHUP (`nohup`): whoever listens to it would undo that. Where the system does not
/// say, nobody listens, so that such a process lives on.
#[cfg(unix)]
fn outlives_terminal() -> bool {
    /// The place of SIGHUP, which is 1, in a mask of signals.
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_none_or(|mask| mask & HANGUP != 0)
}

/// Lives on where a file would become larger than this process may make it (`ulimit -f`): the write is refused, and whoever asked
/// for it is told. Unheeded, that signal ends the process, with all who are connected.
#[cfg(unix)]
pub(crate) fn outlive_file_limits() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    /// SIGXFSZ, on Linux (but for MIPS), macOS and the BSDs.
    const FILE_TOO_LARGE: i32 = 25;
    // Once heeded it stays so, whoever listens.
    signal(SignalKind::from_raw(FILE_TOO_LARGE)).map(drop)
}

#[cfg(not(unix))]
pub(crate) fn outlive_file_limits() -> std::io::Result<()> {
    Ok(())
}

/// Ctrl-C.
#[cfg(not(unix))]
pub(crate) struct StopSignals;

#[cfg(not(unix))]
impl StopSignals {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn with_reload() -> std::io::Result<Self> {
        Self::new()
    }

    pub(crate) async fn next(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }

    pub(crate) async fn asked(&mut self) -> std::io::Result<Asked> {
        self.next().await.map(|()| Asked::Stop)
    }
}
