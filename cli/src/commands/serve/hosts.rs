//! How a host finds the others that serve the same stores, and what it tells them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use streamkit_client::Tls;
use streamkit_hosts::bus::{BusSettings, SharedBus};
use streamkit_hosts::forwarding::ForwardingSettings;
use streamkit_hosts::host::{Host, HostId};
use streamkit_hosts::link::HostSecret;
use streamkit_hosts::presence::{Presence, TableRegister};
use streamkit_server_core::{CertificateFiles, Certificates, ClientCertificates, InProcess, MessageBus};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::arguments::address;
use crate::failure::Failure;
use crate::files;
use crate::serving::LinkPlace;

/// Most bytes of a file with a secret.
const SECRET_MAX: u64 = 64 << 10;
/// The variables that hold what opens a bus.
const BUS_USER: &str = "STREAMKIT_BUS_USER";
const BUS_PASSWORD: &str = "STREAMKIT_BUS_PASSWORD";

/// The options.
#[derive(clap::Args)]
#[command(next_help_heading = "Several hosts")]
pub(super) struct HostOptions {
    /// Where to listen for other hosts; without it, nothing is forwarded
    #[arg(long, env = "STREAMKIT_HOST_LISTEN", hide_env = true, value_name = "ADDRESS", value_parser = address::listen, requires = "host_secret_file")]
    host_listen: Option<SocketAddr>,
    /// How they reach it, ws:// or wss://, if that is another address
    #[arg(
        long,
        env = "STREAMKIT_HOST_ADDRESS",
        hide_env = true,
        value_name = "URL",
        requires = "host_listen"
    )]
    host_address: Option<String>,
    /// Secret of all hosts, ≥ 32 bytes, not that of tokens
    #[arg(
        long,
        env = "STREAMKIT_HOST_SECRET_FILE",
        hide_env = true,
        value_name = "FILE",
        requires = "host_listen"
    )]
    host_secret_file: Option<PathBuf>,
    /// Certificate that this host shows to others, PEM
    #[arg(
        long,
        env = "STREAMKIT_HOST_TLS_CERT",
        hide_env = true,
        value_name = "FILE",
        requires = "host_tls_key"
    )]
    host_tls_cert: Option<PathBuf>,
    /// Its key, PEM
    #[arg(
        long,
        env = "STREAMKIT_HOST_TLS_KEY",
        hide_env = true,
        value_name = "FILE",
        requires = "host_tls_ca"
    )]
    host_tls_key: Option<PathBuf>,
    /// Authority of all hosts' certificates, PEM
    #[arg(
        long,
        env = "STREAMKIT_HOST_TLS_CA",
        hide_env = true,
        value_name = "FILE",
        requires = "host_tls_cert"
    )]
    host_tls_ca: Option<PathBuf>,
    /// nats://HOST or redis://HOST: hears of other hosts at once
    #[arg(long, env = "STREAMKIT_BUS", hide_env = true, value_name = "URL")]
    bus: Option<String>,
}

/// What a link to other hosts is made of.
pub(super) struct LinkSettings {
    listen: SocketAddr,
    address: Option<String>,
    secret: HostSecret,
    certificates: Option<Certificates>,
    tls: Tls,
}

impl HostOptions {
    /// Whether any is given.
    pub(super) fn are_given(&self) -> bool {
        self.host_listen.is_some() || self.bus.is_some()
    }

    /// What hosts tell each other over.
    ///
    /// # Errors
    /// Its address is none.
    pub(super) fn bus(&self) -> Result<Arc<dyn MessageBus>, Failure> {
        let Some(bus) = &self.bus else {
            return Ok(Arc::new(InProcess::default()));
        };
        let beside = [BUS_USER, BUS_PASSWORD].map(|name| std::env::var(name).ok());
        let [user, password] = beside;
        let settings = BusSettings::parse(bus, (user, password));
        let settings = settings.map_err(|error| Failure::arguments(format!("--bus: {error}")))?;
        Ok(Arc::new(SharedBus::begin(settings)))
    }

    /// Reads the files that a link to other hosts needs; `None`: there is none.
    ///
    /// # Errors
    /// The options are wrong, or a file is.
    pub(super) fn read(self) -> Result<Option<LinkSettings>, Failure> {
        let (Some(listen), Some(file)) = (self.host_listen, &self.host_secret_file) else {
            return Ok(None);
        };
        let secret = secret(file)?;
        let (certificates, tls) = self.tls()?;
        Ok(Some(LinkSettings {
            listen,
            address: self.host_address,
            secret,
            certificates,
            tls,
        }))
    }

    fn tls(&self) -> Result<(Option<Certificates>, Tls), Failure> {
        let (Some(chain), Some(key), Some(authority)) = (&self.host_tls_cert, &self.host_tls_key, &self.host_tls_ca)
        else {
            return Ok((None, Tls::default()));
        };
        let files = CertificateFiles {
            chain: chain.clone(),
            key: key.clone(),
            client_authorities: Some(authority.clone()),
            client_certificates: ClientCertificates::Required,
        };
        let certificates = Certificates::open(files).map_err(|error| Failure::new(error.to_string()))?;
        let tls = Tls::default()
            .trust_file(authority)
            .and_then(|tls| tls.show_files(chain, key));
        Ok((
            Some(certificates),
            tls.map_err(|error| Failure::new(error.to_string()))?,
        ))
    }
}

impl LinkSettings {
    /// Takes the place where other hosts reach this one, and its place among them.
    ///
    /// # Errors
    /// The options are wrong, or the place is taken.
    pub(super) async fn listen(self, own: Uuid, register: TableRegister) -> Result<LinkPlace, Failure> {
        let Self {
            listen,
            address,
            secret,
            certificates,
            tls,
        } = self;
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::from(error)
                .during(format!("cannot listen on {listen}"))
                .hint("choose another --host-listen")
        })?;
        let bound = listener.local_addr()?;
        let scheme = if certificates.is_some() { "wss" } else { "ws" };
        let address = match address {
            Some(address) => address,
            None if bound.ip().is_unspecified() => {
                return Err(Failure::arguments(format!(
                    "other hosts cannot reach {bound}; say how they do with --host-address {scheme}://NAME:{}",
                    bound.port()
                )));
            }
            None => format!("{scheme}://{bound}"),
        };
        if certificates.is_none() && !bound.ip().to_canonical().is_loopback() {
            tracing::warn!(
                %bound,
                "other hosts are spoken to without TLS: whoever is on the way reads events and the tokens of hosts; give --host-tls-cert, \
                 --host-tls-key and --host-tls-ca"
            );
        }
        let id = HostId(own);
        let host = Host::new(id, own, &address, env!("CARGO_PKG_VERSION"));
        let host = host.ok_or_else(|| {
            Failure::arguments(format!("--host-address {address} is none; write {scheme}://NAME:PORT"))
        })?;
        let forwarding = ForwardingSettings {
            tls,
            ..ForwardingSettings::new(id, secret)
        };
        Ok(LinkPlace {
            listener,
            certificates,
            forwarding,
            presence: Presence::begin(Arc::new(register), host),
        })
    }
}

fn secret(file: &Path) -> Result<HostSecret, Failure> {
    let told =
        |why: &dyn std::fmt::Display| Failure::arguments(format!("--host-secret-file {}: {why}", file.display()));
    let bytes = files::read_small(file, SECRET_MAX).map_err(|error| told(&error))?;
    if files::is_open_to_all(file) {
        let said = files::said_of_open("write to every store");
        tracing::warn!(file = %file.display(), "{said}");
    }
    HostSecret::new(bytes.trim_ascii()).map_err(|error| told(&error))
}
