//! The files that certificates stand in.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::config::CertificateError;

/// Most bytes of one of them. A chain has some thousands, a list of authorities a few hundred thousand.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Where a server's certificates are, all of them PEM.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The server's certificate, then those that vouch for it.
    pub chain: PathBuf,
    /// The key of the first: PKCS #8, SEC 1 or PKCS #1, not encrypted.
    pub key: PathBuf,
    /// Whose certificates clients show; without, they are asked for none.
    pub client_authorities: Option<PathBuf>,
    /// Whether they have to.
    pub client_certificates: ClientCertificates,
}

/// Whether a client has to show a certificate, where there are authorities for them. A token is needed either way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum ClientCertificates {
    /// Without one no connection is made.
    #[default]
    Required,
    /// One that is shown must be good; none is good, too.
    Optional,
}

/// What stands in them.
#[derive(PartialEq)]
pub(super) struct Contents {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_authorities: Option<Vec<u8>>,
}

impl CertificateFiles {
    /// Reads them; blocks.
    pub(super) fn read(&self) -> Result<Contents, CertificateError> {
        Ok(Contents {
            chain: read(&self.chain)?,
            key: read(&self.key)?,
            client_authorities: self.client_authorities.as_deref().map(read).transpose()?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = || {
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > FILE_BYTES_MAX {
            true => Err(io::Error::other("it is too large to hold certificates")),
            false => Ok(bytes),
        }
    };
    read().map_err(|error| CertificateError::Read(path.display().to_string(), error))
}
