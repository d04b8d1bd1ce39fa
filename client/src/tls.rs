//! Whom a client trusts at a `wss` address, and what it shows there.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::Error;
use crate::tls_error::TlsError;

/// Whom to trust, and what to show. By default that is who this machine trusts, and nothing. Cheap to clone.
///
/// ```no_run
/// # use streamkit_client::{Client, Tls, TlsError};
/// # fn run() -> Result<(), TlsError> {
/// let tls = Tls::default().trust_file("authority.pem")?;
/// let client = Client::builder("wss://events.local:8443").tls(tls).token("…").build();
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct Tls {
    authorities: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    /// Made once: to read whom this machine trusts takes some milliseconds, and later handshakes are shorter with what it keeps.
    config: Arc<OnceLock<Result<Arc<ClientConfig>, TlsError>>>,
}

struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    files: String,
}

/// Why there is no connection.
pub(crate) enum Failed {
    Tls(TlsError),
    Io(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Tls {
    /// Trusts the authorities in a PEM file, too. Blocks.
    ///
    /// # Errors
    /// [`TlsError::File`].
    pub fn trust_file(mut self, file: impl AsRef<Path>) -> Result<Self, TlsError> {
        self.authorities.extend(certificates(file.as_ref())?);
        self.config = Arc::default();
        Ok(self)
    }

    /// Shows a certificate, of a PEM file that may hold those that vouch for it, to servers that ask for one; with its key, PEM and not
    /// encrypted. Blocks.
    ///
    /// # Errors
    /// [`TlsError::File`]; that the key is another certificate's, the first dial finds.
    pub fn show_files(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (certificate, key_file) = (certificate.as_ref(), key.as_ref());
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?);
        let key = key.map_err(|_| useless(key_file, "there is no private key in it, or it is encrypted"))?;
        self.identity = Some(Arc::new(Identity {
            chain,
            key,
            files: format!("{} with {}", certificate.display(), key_file.display()),
        }));
        self.config = Arc::default();
        Ok(self)
    }

    /// Speaks TLS to a host.
    pub(crate) async fn secure(&self, host: &str, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Failed> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned());
        let name = name.map_err(|_| Failed::Tls(TlsError::OtherName(format!("{host} is no name"))))?;
        let config = self.config().map_err(Failed::Tls)?;
        let secured = TlsConnector::from(config).connect(name, tcp).await;
        secured.map_err(|error| self.failed(error))
    }

    /// What an error of a connection means.
    pub(crate) fn failed(&self, error: io::Error) -> Failed {
        match TlsError::of(&error, self.identity.is_some()) {
            Some(why) => Failed::Tls(why),
            None => Failed::Io(error),
        }
    }

    /// What an error that came of a stream of [`connect`](crate::connect) to `url` says of TLS, if it does: with TLS 1.3 a server says only
    /// after the handshake what it thinks of a client's certificate.
    pub fn explain(&self, url: &str, error: &(dyn std::error::Error + 'static)) -> Option<Error> {
        let mut causes = std::iter::successors(Some(error), |error| error.source());
        let why = causes.find_map(|error| TlsError::of(error.downcast_ref()?, self.identity.is_some()))?;
        let url = url.to_owned();
        Some(Error::Tls { url, why })
    }

    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        self.config.get_or_init(|| self.make().map(Arc::new)).clone()
    }

    fn make(&self) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let trusted = Verifier::new_with_extra_roots(self.authorities.clone(), provider.clone());
        let trusted = trusted.map_err(|error| TlsError::File("the authorities".to_owned(), error.to_string()))?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| TlsError::NothingInCommon)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusted));
        let mut config = match self.identity.as_deref() {
            None => config.with_no_client_auth(),
            Some(Identity { chain, key, files }) => config
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .map_err(|error| TlsError::File(files.clone(), error.to_string()))?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn useless(file: &Path, why: impl ToString) -> TlsError {
    TlsError::File(file.display().to_string(), why.to_string())
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| useless(file, error))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(file)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(useless(file, "there is no certificate in it")),
        Err(error) => Err(useless(file, format!("a certificate cannot be read: {error}"))),
    }
}
