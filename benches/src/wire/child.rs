//! The server: this program again, as a process of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use streamkit_engine::{Engine, EngineConfig};
use streamkit_server_core::{Key, Limits, Server, network_threads};
use tokio::runtime::Builder;

use crate::Outcome;
use crate::servers::install::Package;
use crate::servers::kinds::Kind;
use crate::servers::process::Process;
use crate::servers::programs::Programs;
use crate::servers::{Place, Way, streamkit};
use crate::side_by_side::Plan;

/// The hidden argument that makes `wire` the server.
const SERVE: &str = "--serve";

/// Ours over each version of the protocol.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "over v1",
        connect: Some(streamkit::connect_over_v1),
        ..OURS
    },
    Kind {
        name: "over v2",
        connect: Some(streamkit::connect),
        ..OURS
    },
];

const OURS: Kind = Kind {
    name: "ours",
    program: "wire",
    package: Package::Ours,
    version: None,
    arguments,
    ways: &[Way::Shared],
    syncs: "",
    connect: None,
    calls: "",
};

fn arguments(place: &Place) -> Outcome<Vec<String>> {
    Ok(vec![
        format!("{SERVE}={}", place.data()?),
        format!("--port={}", place.port),
    ])
}

/// Starts a server with nothing stored.
pub(super) fn start(plan: &Plan, name: &str) -> Outcome<Process> {
    Process::start(&OURS, &Programs::of(&plan.dir), &plan.fresh(name)?, None)
}

/// Serves a folder at a port of loopback, for ever.
///
/// # Errors
/// Of the engine and the socket.
pub fn serve(data: &Path, port: u16) -> Outcome {
    let runtime = Builder::new_multi_thread()
        .worker_threads(network_threads())
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let engine = Engine::open(EngineConfig::new(data))?;
        let server = Server::new(Arc::new(engine), Key::hs256(streamkit::SECRET.as_bytes())?, settings());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = tokio::net::TcpListener::bind(address).await?;
        server.serve(listener).await;
        Ok(())
    })
}

/// Default limits, but for how many may come, and how fast.
fn settings() -> Limits {
    Limits {
        connections: 20_000,
        channels: 20_000,
        handshake_rate: u32::MAX,
        ..Limits::default()
    }
}
