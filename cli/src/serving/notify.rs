//! What a service manager is told (sd_notify(3)): that the server serves, reloads and stops, and that it still works.

use std::time::Duration;

use streamkit_engine::{Engine, StorageError, Stores as _};

/// How long the runtime may take for what takes no time before it counts as stuck.
const STUCK: Duration = Duration::from_secs(5);

/// The manager that started this process, if one wants to be told anything.
#[derive(Clone)]
pub(crate) struct Manager {
    #[cfg(unix)]
    socket: Option<std::sync::Arc<unix::Socket>>,
}

impl Manager {
    /// The one that `NOTIFY_SOCKET` names. A place that cannot be told anything is told of once.
    pub(crate) fn of_environment() -> Self {
        #[cfg(unix)]
        {
            let place = std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty());
            let socket = place.and_then(|place| match unix::Socket::at(&place) {
                Ok(socket) => Some(std::sync::Arc::new(socket)),
                Err(error) => {
                    tracing::warn!(%error, "NOTIFY_SOCKET names no place that can be told anything");
                    None
                }
            });
            Self { socket }
        }
        #[cfg(not(unix))]
        Self {}
    }

    /// It serves, where this says.
    pub(crate) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads again what may have changed; [`Manager::ready`] follows.
    pub(crate) fn reloading(&self) {
        #[cfg(unix)]
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", unix::monotonic_micros()));
    }

    /// It begins to stop.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=stopping");
    }

    /// Tells it, as often as it wants to hear of it, that the server works; not while the runtime is stuck, or the disk hangs. Never
    /// returns.
    pub(crate) async fn watched(&self, engine: Engine) {
        let Some(every) = watchdog(|name| std::env::var(name).ok(), std::process::id()) else {
            return std::future::pending().await;
        };
        let mut works = true;
        loop {
            tokio::time::sleep(every / 2).await;
            let fault = fault(&engine).await;
            match fault {
                None => self.tell("WATCHDOG=1"),
                Some(why) if works => {
                    tracing::error!("the service manager is not told that the server works, and may restart it: {why}");
                }
                Some(_) => {}
            }
            works = fault.is_none();
        }
    }

    fn tell(&self, what: &str) {
        #[cfg(unix)]
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(what)
        {
            tracing::warn!(%error, "the service manager cannot be told: {}", what.lines().next().unwrap_or_default());
        }
        #[cfg(not(unix))]
        let _ = what;
    }
}

/// What does not work, if anything.
async fn fault(engine: &Engine) -> Option<&'static str> {
    let task = async { tokio::spawn(async {}).await.is_ok() };
    if !tokio::time::timeout(STUCK, task).await.unwrap_or(false) {
        return Some("its tasks do not run");
    }
    let asked = engine.clone();
    let ready = tokio::time::timeout(STUCK, tokio::task::spawn_blocking(move || asked.ready())).await;
    match ready {
        // A failed store needs somebody to look at its disk, and a restart of all others would not help it.
        Ok(Ok(Err(StorageError::Io { source, .. }))) if source.kind() == std::io::ErrorKind::TimedOut => {
            Some("nothing becomes durable: the disk hangs")
        }
        Ok(Ok(_)) => None,
        _ => Some("what blocks does not run, or the stores do not answer"),
    }
}

/// How often the manager wants to hear of this process.
fn watchdog(variable: impl Fn(&str) -> Option<String>, process: u32) -> Option<Duration> {
    let of = variable("WATCHDOG_PID");
    if of.is_some_and(|of| of != process.to_string()) {
        return None;
    }
    let micros: u64 = variable("WATCHDOG_USEC")?.parse().ok()?;
    (micros > 0).then(|| Duration::from_micros(micros))
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::io;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    /// The time with which a manager tells this reload from an earlier one.
    pub(super) fn monotonic_micros() -> i64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec * 1_000_000 + now.tv_nsec / 1000
    }

    /// Where to send.
    pub(super) struct Socket {
        socket: UnixDatagram,
        to: SocketAddr,
    }

    impl Socket {
        /// A path, or behind an `@` a name in the system's abstract namespace.
        pub(super) fn at(place: &OsStr) -> io::Result<Self> {
            let to = match place.as_bytes() {
                #[cfg(target_os = "linux")]
                [b'@', name @ ..] => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)?,
                [b'/', ..] => SocketAddr::from_pathname(place)?,
                _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
            };
            let socket = UnixDatagram::unbound()?;
            // Nobody waits for a manager that does not read.
            socket.set_nonblocking(true)?;
            Ok(Self { socket, to })
        }

        pub(super) fn send(&self, what: &str) -> io::Result<()> {
            self.socket.send_to_addr(what.as_bytes(), &self.to).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_of_this_process_and_has_a_time() {
        let asked = |usec: Option<&str>, pid: Option<&str>| {
            let of = |name: &str| if name == "WATCHDOG_PID" { pid } else { usec }.map(str::to_owned);
            watchdog(of, 7)
        };
        assert_eq!(asked(Some("2000000"), None), Some(Duration::from_secs(2)));
        assert_eq!(asked(Some("2000000"), Some("7")), Some(Duration::from_secs(2)));
        for (usec, pid) in [
            (None, None),
            (Some("0"), None),
            (Some("x"), None),
            (Some("2000000"), Some("8")),
        ] {
            assert_eq!(asked(usec, pid), None, "{usec:?} {pid:?}");
        }
    }
}
