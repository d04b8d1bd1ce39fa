//! Why a TLS handshake failed, in a word.

use std::io;

use rustls::Error;

/// All of them: a metric has each from the start.
pub(crate) const REASONS: &[&str] = &[
    "broke_off",
    "certificate",
    "incompatible",
    "no_tls",
    "other",
    "refused",
    "timeout",
    "violation",
];

/// The word for what a handshake ended with.
pub(crate) fn reason(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::TimedOut {
        return "timeout";
    }
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        return "broke_off";
    };
    match error {
        // Plain HTTP, or garbage.
        Error::InvalidMessage(_) => "no_tls",
        // An older version, no cipher in common, another protocol above.
        Error::PeerIncompatible(_) | Error::NoApplicationProtocol => "incompatible",
        // The client's, which it has not, or which is not good.
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => "certificate",
        // The client says no: it may not trust ours.
        Error::AlertReceived(_) => "refused",
        Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "violation"
        }
        _ => "other",
    }
}
