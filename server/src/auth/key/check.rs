//! Whether a signature is a key's: one key and one algorithm.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, VerificationAlgorithm,
};

use crate::auth::algorithm::Algorithm;

/// A key, read once, for one algorithm.
pub(crate) struct Check {
    algorithm: Algorithm,
    by: By,
}

enum By {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

/// HMAC's hash in an algorithm, and its length in bytes.
pub(super) fn hash(algorithm: Algorithm) -> Option<(hmac::Algorithm, usize)> {
    match algorithm {
        Algorithm::HS256 => Some((hmac::HMAC_SHA256, 32)),
        Algorithm::HS384 => Some((hmac::HMAC_SHA384, 48)),
        Algorithm::HS512 => Some((hmac::HMAC_SHA512, 64)),
        _ => None,
    }
}

/// What the library calls an algorithm of public keys.
fn scheme(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
        Algorithm::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::ES256 => Some(&ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&ECDSA_P384_SHA384_FIXED),
        Algorithm::EdDSA => Some(&ED25519),
    }
}

impl Check {
    /// By HMAC; `None` if that is not what the algorithm does.
    pub(super) fn secret(algorithm: Algorithm, secret: &[u8]) -> Option<Self> {
        let (hash, _) = hash(algorithm)?;
        let by = By::Secret(Box::new(hmac::Key::new(hash, secret)));
        Some(Self { algorithm, by })
    }

    /// By a public key in the encoding of its kind (PKCS#1, a point, 32 bytes) or as `SubjectPublicKeyInfo`. `None` if it is none for
    /// this algorithm.
    pub(super) fn public(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        let by = By::Public(ParsedPublicKey::new(scheme(algorithm)?, bytes).ok()?);
        Some(Self { algorithm, by })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether it is the signature of the message.
    pub(super) fn holds(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.by {
            By::Secret(key) => hmac::verify(key, message, signature).is_ok(),
            By::Public(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}
