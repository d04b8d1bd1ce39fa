//! Whether the server speaks TLS, and with what.

use std::net::SocketAddr;
use std::path::PathBuf;

use streamkit_server_core::{CertificateFiles, Certificates, ClientCertificates};

use super::found::Found;
use crate::failure::Failure;
use crate::files;

#[derive(clap::Args)]
pub(super) struct TlsOptions {
    /// Certificate and those that vouch for it, PEM: speak TLS
    #[arg(
        long,
        env = "STREAMKIT_TLS_CERT",
        hide_env = true,
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM, not encrypted
    #[arg(
        long,
        env = "STREAMKIT_TLS_KEY",
        hide_env = true,
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
    /// Authorities of clients, PEM: clients show certificates
    #[arg(
        long,
        env = "STREAMKIT_TLS_CLIENT_CA",
        hide_env = true,
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_client_ca: Option<PathBuf>,
    /// required, or optional: without one, too
    #[arg(
        long,
        env = "STREAMKIT_TLS_CLIENT_AUTH",
        hide_env = true,
        value_enum,
        hide_possible_values = true,
        value_name = "HOW",
        default_value_t,
        requires = "tls_client_ca"
    )]
    tls_client_auth: ClientAuth,
}

#[derive(clap::ValueEnum, Clone, Copy, Default)]
enum ClientAuth {
    #[default]
    Required,
    Optional,
}

impl From<ClientAuth> for ClientCertificates {
    fn from(auth: ClientAuth) -> Self {
        match auth {
            ClientAuth::Required => Self::Required,
            ClientAuth::Optional => Self::Optional,
        }
    }
}

/// What is said of a certificate's key that is no secret.
fn key_is_open() -> String {
    files::said_of_open("pass for this server")
}

impl TlsOptions {
    /// The files, if TLS is spoken.
    fn files(&self) -> Option<CertificateFiles> {
        Some(CertificateFiles {
            chain: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            client_authorities: self.tls_client_ca.clone(),
            client_certificates: self.tls_client_auth.into(),
        })
    }

    /// The certificates, if TLS is spoken.
    ///
    /// # Errors
    /// They cannot be used.
    pub(super) fn open(&self) -> Result<Option<Certificates>, Failure> {
        let Some(files) = self.files() else {
            return Ok(None);
        };
        if files::is_open_to_all(&files.key) {
            tracing::warn!(file = %files.key.display(), "{}", key_is_open());
        }
        let certificates = Certificates::open(files).map_err(|error| Failure::new(error.to_string()))?;
        Ok(Some(certificates))
    }

    /// What of them is not as it should be.
    pub(super) fn look(&self, listen: SocketAddr, found: &mut Vec<Found>) {
        let Some(files) = self.files() else {
            if !is_loopback(listen) {
                found.push(Found::warning("listen", WITHOUT_TLS.to_owned()));
            }
            return;
        };
        if files::is_open_to_all(&files.key) {
            found.push(Found::warning("tls-key", key_is_open()));
        }
        if let Err(error) = Certificates::open(files) {
            found.push(Found::wrong("tls-cert", error.to_string()));
        }
    }
}

/// What is said where other hosts can connect.
const WITHOUT_TLS: &str = "TLS is not spoken here, and other hosts can connect: whoever is on the way reads tokens and events and may change \
                           them. Give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS";

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Says, loudly, that whoever is between may read everything, where others than this host can connect.
pub(super) fn warn_without(address: SocketAddr) {
    if !is_loopback(address) {
        tracing::warn!(%address, "{WITHOUT_TLS}");
    }
}
