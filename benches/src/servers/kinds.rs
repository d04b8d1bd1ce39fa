//! All servers that are measured: what is to be known of each to install, start and call it.

use super::install::Package;
use super::{Connect, Place, Way, streamkit};
use crate::Outcome;

/// One of the servers.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The name of its program.
    pub program: &'static str,
    /// Where the program comes from.
    pub package: Package,
    /// The option that has the program say its version; `None` where it has no such option.
    pub version: Option<&'static str>,
    /// The program's arguments; what they name in the place's folder is written first.
    pub arguments: fn(&Place) -> Outcome<Vec<String>>,
    /// How many writers can reach it.
    pub ways: &'static [Way],
    /// The system calls that make its records durable, as `strace` names them.
    pub syncs: &'static str,
    /// Its client; `None` where it is not built.
    pub connect: Option<Connect>,
    /// What an append and a read are there.
    pub calls: &'static str,
}

const BOTH: &[Way] = &[Way::Shared, Way::Each];
const SYNC: &str = "fsync,fdatasync,sync_file_range,msync";

/// A client that is built only with the feature `servers`.
macro_rules! client {
    ($name:ident) => {{
        #[cfg(feature = "servers")]
        let connect: Option<Connect> = Some(super::$name::connect);
        #[cfg(not(feature = "servers"))]
        let connect: Option<Connect> = None;
        connect
    }};
}

/// All of them, ours first.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "Streamkit",
        program: "streamkit",
        package: Package::Ours,
        version: Some("--version"),
        arguments: streamkit::arguments,
        ways: BOTH,
        // The writes themselves are synchronous (O_DSYNC); a call can be held up only without io_uring.
        syncs: "pwrite64,pwritev,pwritev2,fsync,fdatasync",
        connect: Some(streamkit::connect),
        calls: "an append is one transaction, whose sequences the server checks; a read is of the whole space",
    },
    Kind {
        name: "Tephra",
        program: "tephra-server",
        package: Package::Cargo("tephra-server", "0.4.4"),
        version: None,
        arguments: |place| {
            words(&[
                "--bind",
                &place.address(),
                "--data-dir",
                &place.data()?,
                "--log",
                "warn",
            ])
        },
        ways: BOTH,
        syncs: SYNC,
        connect: client!(tephra),
        calls: "an append is one atomic batch without a condition, each event with the tag of its writer; a \
                read is of all events",
    },
    Kind {
        name: "durable-streams",
        program: "durable-streams-server",
        package: Package::Cargo("durable-streams", "0.1.5"),
        version: None,
        arguments: |place| {
            let port = place.port.to_string();
            words(&["--port", &port, "--data-dir", &place.data()?, "--durability", "wal"])
        },
        ways: &[Way::Each],
        syncs: SYNC,
        connect: client!(durable_streams),
        calls: "an append is one POST to the stream of its writer; a read is one GET for each stream, of bytes \
                without bounds of records",
    },
    Kind {
        name: "UmaDB",
        program: "umadb",
        package: Package::Cargo("umadb", "0.7.8"),
        version: Some("--version"),
        arguments: |place| words(&["--listen", &place.address(), "--db-path", &place.data()?]),
        ways: BOTH,
        syncs: SYNC,
        connect: client!(umadb),
        calls: "an append is one atomic batch without a condition, each event with the tag of its writer; a \
                read is of all events",
    },
    Kind {
        name: "NATS JetStream",
        program: "nats-server",
        package: Package::Go("github.com/nats-io/nats-server/v2", "v2.15.2"),
        version: Some("--version"),
        arguments: |place| {
            let file = place.dir.join("nats.conf");
            let listen = place.address();
            let data = place.data()?;
            let settings = format!(
                "listen: \"{listen}\"\njetstream {{\n  store_dir: \"{data}\"\n  sync_interval: always\n  \
                 limits {{ batch {{ max_inflight_per_stream: 1000 }} }}\n}}\n"
            );
            std::fs::write(&file, settings)?;
            words(&["-c", file.to_str().ok_or("the folder's name is no text")?])
        },
        ways: BOTH,
        syncs: SYNC,
        connect: client!(nats),
        calls: "one stream with a subject for each writer; an append of one record is a publish, one of many an \
                atomic batch, which it syncs once where publishes of their own would take a sync each; a read \
                is an ordered consumer",
    },
    Kind {
        name: "Redis",
        program: "redis-server",
        package: Package::Apt("redis-tools", "/usr/bin/redis-check-rdb"),
        version: Some("--version"),
        arguments: |place| {
            let (port, data) = (place.port.to_string(), place.data()?);
            let network = ["--port", &port, "--bind", "127.0.0.1", "--dir", &data];
            let durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
            words(&[network, durable].concat())
        },
        ways: BOTH,
        syncs: SYNC,
        connect: client!(redis),
        calls: "a stream for each writer; an append is a pipeline of XADD, which is not atomic; a read is \
                XRANGE, 10 000 at a time",
    },
];

fn words(words: &[&str]) -> Outcome<Vec<String>> {
    Ok(words.iter().map(|word| (*word).to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_listens_at_its_place_and_keeps_its_data_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place {
            dir: dir.path().to_owned(),
            port: 4242,
            delayed: false,
        };
        for kind in KINDS {
            let mut said = (kind.arguments)(&place).unwrap().join(" ");
            for file in std::fs::read_dir(&place.dir).unwrap().flatten() {
                said += &std::fs::read_to_string(file.path()).unwrap();
            }
            assert!(said.contains("4242"), "{}: {said}", kind.name);
            assert!(said.contains(&place.data().unwrap()), "{}: {said}", kind.name);
        }
    }
}
