//! Why there is no TLS with a server, by what has to be changed.

use std::io;

use rustls::{AlertDescription, CertificateError, OtherError};

/// Why no TLS came about. A retry meets the same, until somebody changes something.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file of certificates, or of a key, is of no use.
    #[error("{0}: {1}")]
    File(String, String),
    /// Trust its authority ([`Tls::trust_file`](crate::Tls::trust_file)), or have the server send the certificates between.
    #[error("nobody who is trusted here has signed the server's certificate")]
    UnknownIssuer,
    /// It needs a new one.
    #[error("the server's certificate has expired, or this machine's clock is wrong")]
    Expired,
    /// It comes into force later.
    #[error("the server's certificate is not good yet, or this machine's clock is wrong")]
    NotYetGood,
    /// Dial the server by a name that stands in its certificate.
    #[error("the server's certificate is not for this name: {0}")]
    OtherName(String),
    /// Make one that an authority signs: what `openssl req -x509` alone makes can sign others, and so is no server's.
    #[error("the server's certificate is one of an authority, not of a server")]
    IsAuthority,
    /// There is something else with it.
    #[error("the server's certificate cannot be used: {0}")]
    BadCertificate(String),
    /// The server lets nobody in without one ([`Tls::show_files`](crate::Tls::show_files)).
    #[error("the server asks for a certificate of the client, and none is given")]
    CertificateWanted,
    /// It wants one of another authority, or one that is not expired.
    #[error("the server does not accept the client's certificate")]
    CertificateRefused,
    /// Dial with `ws`, or another port.
    #[error("the server speaks no TLS there")]
    NotSpoken,
    /// Dial with `wss`, if it speaks TLS.
    #[error("the server's answer is no HTTP: if it speaks TLS, its address begins with wss://")]
    NotDialled,
    /// One of them is too old.
    #[error("the server speaks no version, or no cipher, of TLS that the client does")]
    NothingInCommon,
}

impl TlsError {
    /// What stands behind an error of a connection, if it is one of these. `shows`: whether a certificate was shown.
    pub(crate) fn of(error: &io::Error, shows: bool) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match error {
            rustls::Error::InvalidCertificate(why) => match why {
                // The last two come of an authority with the name of the right one and another key.
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::UnknownIssuer,
                CertificateError::Other(why) if is_authority(why) => Self::IsAuthority,
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetGood,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    Self::OtherName(why.to_string())
                }
                why => Self::BadCertificate(why.to_string()),
            },
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired => Self::CertificateWanted,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError => match shows {
                    true => Self::CertificateRefused,
                    // With TLS 1.2 some servers say it like this.
                    false => Self::CertificateWanted,
                },
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
                _ => return None,
            },
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::NothingInCommon,
            rustls::Error::InvalidMessage(_) => Self::NotSpoken,
            _ => return None,
        })
    }
}

fn is_authority(why: &OtherError) -> bool {
    why.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}
