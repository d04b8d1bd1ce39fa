//! The floors a figure is compared with: what the disk and the loopback do without us.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;

/// Bytes written at a time: what one record of 256 bytes takes in the log, header and all.
const WRITE_BYTES: usize = 512;

/// Rounds of each floor.
const ROUNDS: usize = 1000;

/// Pairs of processes that the loopback is measured between.
const PAIRS: usize = 5;

/// Microseconds of a write and a data sync, one after the other, into a file filled with zeros beforehand.
pub(crate) fn disk(dir: &Path) -> std::io::Result<Histogram<u64>> {
    let path = dir.join("streamkit-floor");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&vec![0; WRITE_BYTES * ROUNDS])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let latency = time(ROUNDS, || {
        file.write_all(&[b'x'; WRITE_BYTES])?;
        file.sync_data()
    });
    std::fs::remove_file(&path)?;
    latency
}

/// Microseconds of a request and a reply of [`WRITE_BYTES`] over loopback TCP between two processes. Where the scheduler
/// happens to put both on one core it is 3 µs, otherwise 60 to 70: so there are several pairs, one after the other.
pub(crate) fn loopback() -> std::io::Result<Histogram<u64>> {
    let mut latency = loopback_pair()?;
    for _ in 1..PAIRS {
        latency += loopback_pair()?;
    }
    Ok(latency)
}

fn loopback_pair() -> std::io::Result<Histogram<u64>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut peer = std::process::Command::new(std::env::current_exe()?)
        .arg("bare-echo")
        .arg(listener.local_addr()?.to_string())
        .spawn()?;
    let latency = accept_one(&listener, &mut peer).and_then(|mut stream| {
        stream.set_nodelay(true)?;
        let mut bytes = [b'x'; WRITE_BYTES];
        time(ROUNDS / PAIRS, || {
            stream.write_all(&bytes)?;
            stream.read_exact(&mut bytes)
        })
    });
    // It ends with the connection.
    let _ = peer.wait();
    latency
}

/// Waits for the peer, unless it dies first.
fn accept_one(listener: &TcpListener, peer: &mut std::process::Child) -> std::io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if let Some(status) = peer.try_wait()? {
                    return Err(std::io::Error::other(format!("the echo process ended: {status}")));
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            Err(error) => return Err(error),
        }
    }
}

/// The other end of [`loopback_pair`].
#[derive(clap::Args)]
pub(crate) struct BareEcho {
    /// Where to connect
    address: SocketAddr,
}

impl BareEcho {
    pub(crate) fn run(&self) -> std::io::Result<()> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        let mut bytes = [0; WRITE_BYTES];
        loop {
            match stream.read_exact(&mut bytes) {
                Ok(()) => stream.write_all(&bytes)?,
                Err(_) => return Ok(()),
            }
        }
    }
}

/// An empty histogram of microseconds, up to a minute.
pub(crate) fn microseconds() -> std::io::Result<Histogram<u64>> {
    Histogram::new_with_max(60_000_000, 3).map_err(std::io::Error::other)
}

fn time(rounds: usize, mut round: impl FnMut() -> std::io::Result<()>) -> std::io::Result<Histogram<u64>> {
    let mut latency = microseconds()?;
    for _ in 0..rounds {
        let started = Instant::now();
        round()?;
        latency.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latency)
}
