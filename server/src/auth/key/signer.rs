//! The secret part of a key.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256,
    RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding, RsaKeyPair,
};

use super::check::hash;
use super::material::Public;
use crate::auth::algorithm::Algorithm;

/// What tokens are signed with.
pub(super) enum Signer {
    Secret(Vec<u8>),
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

fn padding(algorithm: Algorithm) -> Option<&'static dyn RsaEncoding> {
    match algorithm {
        Algorithm::RS256 => Some(&RSA_PKCS1_SHA256),
        Algorithm::RS384 => Some(&RSA_PKCS1_SHA384),
        Algorithm::RS512 => Some(&RSA_PKCS1_SHA512),
        Algorithm::PS256 => Some(&RSA_PSS_SHA256),
        Algorithm::PS384 => Some(&RSA_PSS_SHA384),
        Algorithm::PS512 => Some(&RSA_PSS_SHA512),
        _ => None,
    }
}

impl Signer {
    /// The signature of a message; `None` if this cannot be done with that algorithm.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Signer::Secret(secret) => {
                let key = hmac::Key::new(hash(algorithm)?.0, secret);
                Some(hmac::sign(&key, message).as_ref().to_vec())
            }
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding(algorithm)?, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Signer::P256(key) | Signer::P384(key) => Some(key.sign(&random, message).ok()?.as_ref().to_vec()),
            Signer::Ed25519(key) => Some(key.try_sign(message).ok()?.as_ref().to_vec()),
        }
    }

    /// What its signatures are checked with; `None` of a secret.
    pub(super) fn public(&self) -> Option<Public> {
        match self {
            Signer::Secret(_) => None,
            Signer::Rsa(key) => Some(Public::Rsa(key.public_key().as_ref().to_vec())),
            Signer::P256(key) => Some(Public::P256(key.public_key().as_ref().to_vec())),
            Signer::P384(key) => Some(Public::P384(key.public_key().as_ref().to_vec())),
            Signer::Ed25519(key) => Some(Public::Ed25519(key.public_key().as_ref().to_vec())),
        }
    }
}
