//! The floors a figure is compared with: what the disk and the loopback do without us.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

use hdrhistogram::Histogram;

/// Bytes written at a time: what one record of 256 bytes takes in the log, header and all.
const WRITE_BYTES: usize = 512;

/// Rounds of each floor.
const ROUNDS: usize = 1000;

/// Microseconds of a write and a data sync, one after the other, into a file filled with zeros beforehand.
pub(crate) fn disk(dir: &Path) -> std::io::Result<Histogram<u64>> {
    let path = dir.join("streamkit-floor");
    let mut file = std::fs::File::create(&path)?;
    file.write_all(&vec![0; WRITE_BYTES * ROUNDS])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    let latency = time(|| {
        file.write_all(&[b'x'; WRITE_BYTES])?;
        file.sync_data()
    });
    std::fs::remove_file(&path)?;
    latency
}

/// Microseconds of a request and a reply of [`WRITE_BYTES`] over loopback TCP.
pub(crate) fn loopback() -> std::io::Result<Histogram<u64>> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; WRITE_BYTES];
        while server.read_exact(&mut bytes).is_ok() && server.write_all(&bytes).is_ok() {}
    });
    let mut bytes = [b'x'; WRITE_BYTES];
    let latency = time(|| {
        client.write_all(&bytes)?;
        client.read_exact(&mut bytes)
    });
    drop(client);
    // It ends with the connection.
    let _ = echo.join();
    latency
}

fn time(mut round: impl FnMut() -> std::io::Result<()>) -> std::io::Result<Histogram<u64>> {
    let mut latency = Histogram::new(3).map_err(std::io::Error::other)?;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        round()?;
        latency.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    }
    Ok(latency)
}
