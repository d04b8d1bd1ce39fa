//! Whom client commands trust at a `wss` address, and what they show there.

use std::path::PathBuf;

use streamkit_client::{Tls, TlsError};

use crate::failure::Failure;
use crate::files;

/// Certificates, all of them PEM files.
#[derive(clap::Args, Clone)]
pub(crate) struct Trust {
    /// Further authorities to trust, PEM
    #[arg(long, env = "STREAMKIT_CA_CERT", hide_env_values = true, value_name = "FILE")]
    ca_cert: Option<PathBuf>,
    /// Certificate that the server asks for
    #[arg(
        long,
        env = "STREAMKIT_CLIENT_CERT",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_key"
    )]
    client_cert: Option<PathBuf>,
    /// Its key, not encrypted
    #[arg(
        long,
        env = "STREAMKIT_CLIENT_KEY",
        hide_env_values = true,
        value_name = "FILE",
        requires = "client_cert"
    )]
    client_key: Option<PathBuf>,
}

impl Trust {
    /// Reads them.
    ///
    /// # Errors
    /// One of the files is of no use.
    pub(crate) fn open(&self) -> Result<Tls, Failure> {
        let useless = |error: TlsError| Failure::arguments(error.to_string());
        let mut tls = Tls::default();
        if let Some(file) = &self.ca_cert {
            tls = tls.trust_file(file).map_err(useless)?;
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            if files::is_open_to_all(key) {
                tracing::warn!(file = %key.display(), "{}", files::said_of_open("pass for this client"));
            }
            tls = tls.show_files(certificate, key).map_err(useless)?;
        }
        Ok(tls)
    }
}
