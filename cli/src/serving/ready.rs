//! What a server takes before it serves: a data folder and an address.

use std::net::SocketAddr;

use streamkit_engine::doctor::judge_ground;
use streamkit_engine::{Engine, EngineConfig, disk};
use streamkit_server_core::{Authenticate, Certificates, Limits, Server};
use tokio::net::TcpListener;

use super::folder;
use super::running::Running;
use super::served::Served;
use crate::called::called;
use crate::failure::Failure;
use crate::telemetry;

/// A data folder that is ours and an address that is ours, not yet served.
pub(crate) struct Ready {
    served: Served,
    listener: TcpListener,
    address: SocketAddr,
}

impl Ready {
    /// Takes both. Nothing is written into a folder that another process has, or that is of a newer format.
    pub(crate) async fn open(listen: SocketAddr, config: EngineConfig) -> Result<Self, Failure> {
        if !config.copies {
            folder::refuse_copies(&config.dir)?;
        }
        let data = config.dir.clone();
        let dir = config.dir.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let opened = Engine::open(config);
            let findings = opened.is_ok().then(|| judge_ground(&disk::ground(&dir)));
            for finding in findings.into_iter().flatten() {
                tracing::warn!(dir = %dir.display(), "{}; `{} doctor` tells more", finding.what, called());
            }
            opened
        });
        let opened = opened.await;
        let engine = opened.map_err(|error| Failure::new(error.to_string()))??;
        if disk::is_open_to_others(&data) {
            tracing::warn!(
                dir = %data.display(),
                "other users of this host may look into the data directory: what is in it is for its owner alone; `chmod go-rwx` it"
            );
        }
        let listener = TcpListener::bind(listen).await;
        let listener = listener.map_err(|error| {
            use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
            let is_address = matches!(error.kind(), AddrInUse | AddrNotAvailable | PermissionDenied);
            let failure = Failure::from(error).during(format!("cannot listen on {listen}"));
            match is_address {
                true => failure.hint("choose another --listen"),
                false => failure,
            }
        })?;
        let address = listener.local_addr()?;
        Ok(Self {
            served: Served::local(engine),
            listener,
            address,
        })
    }

    /// The same with other stores, of which the folder keeps copies.
    pub(crate) fn with(self, serve: impl FnOnce(Engine) -> Result<Served, Failure>) -> Result<Self, Failure> {
        let served = serve(self.served.engine.clone())?;
        Ok(Self { served, ..self })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves from now on; over TLS, if there are certificates.
    pub(crate) fn serve(self, auth: impl Authenticate, limits: Limits, certificates: Option<Certificates>) -> Running {
        let (bus, workers) = (self.served.bus.clone(), self.served.workers.clone());
        let server = Server::among_hosts(self.served.stores(), auth, limits, bus, workers);
        telemetry::watch(server.clone());
        let (accepting, listener) = (server.clone(), self.listener);
        tokio::spawn(async move {
            match certificates {
                Some(certificates) => accepting.serve_tls(listener, certificates).await,
                None => accepting.serve(listener).await,
            }
        });
        Running::new(self.address, self.served, server)
    }
}
