//! Files as rustls takes them, or why it does not. One provider of cryptography, named here: which one a process has installed for
//! others changes nothing.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::files::{CertificateFiles, ClientCertificates, Contents};
use super::validity::Validity;

/// Why certificates are of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(String, io::Error),
    /// A file is no PEM, or nothing of what it should hold is in it.
    #[error("{0}: {1}")]
    Unclear(String, String),
    /// They are of two pairs.
    #[error("the key in {key} is not that of the first certificate in {chain}")]
    Mismatch {
        /// Of the certificates.
        chain: String,
        /// Of the key.
        key: String,
    },
    /// Clients refuse what has come in place of a certificate that they take.
    #[error("the certificate in {0} has expired, and that in use has not")]
    Expired(String),
    /// A certificate or a key that TLS cannot be spoken with.
    #[error("{0} cannot be used: {1}")]
    Unusable(String, rustls::Error),
    /// What the authorities of clients say cannot be checked.
    #[error("{0} holds no authority for certificates of clients: {1}")]
    Authorities(String, String),
}

/// What connections begin with, and how long that is good.
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    pub(super) validity: Validity,
    /// How long the server's own certificate is: clients may find another way around those behind it.
    pub(super) own: Validity,
}

/// Makes it of what stands in the files.
pub(super) fn load(files: &CertificateFiles, contents: &Contents) -> Result<Loaded, CertificateError> {
    let (chain_file, key_file) = (files.chain.display().to_string(), files.key.display().to_string());
    let chain = certificates(&chain_file, &contents.chain)?;
    let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(|error| {
        let encrypted = contents.key.windows(9).any(|bytes| bytes == b"ENCRYPTED");
        let why = match error {
            _ if encrypted => {
                "the key is encrypted, and nobody is asked for its password: decrypt it with `openssl pkey`".into()
            }
            pem::Error::NoItemsFound => "there is no private key in it".into(),
            error => format!("the key cannot be read: {error}"),
        };
        CertificateError::Unclear(key_file.clone(), why)
    })?;
    let good = |chain: &[CertificateDer<'_>]| {
        Validity::of_all(chain).ok_or_else(|| {
            let why = "a certificate in it does not say how long it is good".into();
            CertificateError::Unclear(chain_file.clone(), why)
        })
    };
    let (validity, own) = (good(&chain)?, good(chain.get(..1).unwrap_or_default())?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| CertificateError::Unusable(chain_file.clone(), error))?;
    let builder = match (&files.client_authorities, &contents.client_authorities) {
        (Some(file), Some(pem)) => {
            let verifier = client_verifier(&file.display().to_string(), pem, files.client_certificates, provider)?;
            builder.with_client_cert_verifier(verifier)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch {
            chain: chain_file.clone(),
            key: key_file,
        },
        error => CertificateError::Unusable(format!("{chain_file} with {key_file}"), error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded {
        config: Arc::new(config),
        validity,
        own,
    })
}

fn certificates(file: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let unclear = |why: String| CertificateError::Unclear(file.to_owned(), why);
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| unclear(format!("a certificate cannot be read: {error}")))?;
    match all.is_empty() {
        true => Err(unclear("there is no certificate in it".to_owned())),
        false => Ok(all),
    }
}

fn client_verifier(
    file: &str,
    pem: &[u8],
    wanted: ClientCertificates,
    provider: Arc<rustls::crypto::CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, CertificateError> {
    let refused = |why: String| CertificateError::Authorities(file.to_owned(), why);
    let mut roots = RootCertStore::empty();
    for authority in certificates(file, pem)? {
        roots.add(authority).map_err(|error| refused(error.to_string()))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let verifier = match wanted {
        ClientCertificates::Required => verifier,
        ClientCertificates::Optional => verifier.allow_unauthenticated(),
    };
    verifier.build().map_err(|error| refused(error.to_string()))
}
