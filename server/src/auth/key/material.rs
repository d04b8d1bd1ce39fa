//! What a key is made of, and what that can be used for.

use aws_lc_rs::rsa::PublicKey as RsaPublicKey;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};

use super::check::{Check, hash};
use super::error::KeyError;
use super::signer::Signer;
use crate::auth::algorithm::Algorithm;

/// A key as it was read.
pub(super) enum Material {
    Secret(Vec<u8>),
    Public(Public),
    Private(Signer),
}

/// A public key, encoded as its kind is, or as `SubjectPublicKeyInfo`.
pub(super) enum Public {
    Rsa(Vec<u8>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// The library's limits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

impl Public {
    /// A `SubjectPublicKeyInfo`, or an RSA key as PKCS#1 has it. `None` if it is no key that we know.
    pub(super) fn of_der(der: &[u8]) -> Option<Self> {
        if RsaPublicKey::from_der(der).is_ok() {
            return Some(Self::Rsa(der.to_vec()));
        }
        let is = |algorithm| Check::public(algorithm, der).is_some();
        // Of a raw key the library takes any bytes of the right length; no structure is so short.
        let is_structure = der.first() == Some(&0x30) && der.len() > 32;
        match is_structure {
            true if is(Algorithm::ES256) => Some(Self::P256(der.to_vec())),
            true if is(Algorithm::ES384) => Some(Self::P384(der.to_vec())),
            true if is(Algorithm::EdDSA) => Some(Self::Ed25519(der.to_vec())),
            _ => None,
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Rsa(bytes) | Self::P256(bytes) | Self::P384(bytes) | Self::Ed25519(bytes) => bytes,
        }
    }

    /// What such a key can be for, and these in words.
    fn kind(&self) -> (&'static [Algorithm], &'static str) {
        match self {
            Self::Rsa(_) => (RSA, "RS256 to RS512 and PS256 to PS512"),
            Self::P256(_) => (&[Algorithm::ES256], "ES256"),
            Self::P384(_) => (&[Algorithm::ES384], "ES384"),
            Self::Ed25519(_) => (&[Algorithm::EdDSA], "EdDSA"),
        }
    }

    fn check_size(&self) -> Result<(), KeyError> {
        let Self::Rsa(der) = self else { return Ok(()) };
        let key = RsaPublicKey::from_der(der).map_err(|_| KeyError::unclear("has an RSA key that is none"))?;
        let modulus = key.modulus().big_endian_without_leading_zero().to_vec();
        let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        let bits = modulus.len() * 8 - unused;
        match RSA_BITS.contains(&bits) {
            true => Ok(()),
            false => Err(KeyError::RsaBits(bits)),
        }
    }
}

/// A private key as PKCS#8, PKCS#1 or SEC 1 has it. `None` if it is none that we know.
pub(super) fn private_of_der(der: &[u8]) -> Option<Signer> {
    let rsa = || RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    let p256 = || EcdsaKeyPair::from_private_key_der(&ECDSA_P256_SHA256_FIXED_SIGNING, der);
    let p384 = || EcdsaKeyPair::from_private_key_der(&ECDSA_P384_SHA384_FIXED_SIGNING, der);
    let ed25519 = || Ed25519KeyPair::from_pkcs8(der);
    None.or_else(|| rsa().ok().map(Signer::Rsa))
        .or_else(|| p256().ok().map(Signer::P256))
        .or_else(|| p384().ok().map(Signer::P384))
        .or_else(|| ed25519().ok().map(Signer::Ed25519))
}

impl Material {
    /// One check for each of the algorithms that this can be for.
    pub(super) fn checks(&self, said: &[Algorithm]) -> Result<Vec<Check>, KeyError> {
        let public = match self {
            Material::Secret(secret) => return checks_of_secret(secret, said),
            Material::Private(signer) => &signer.public().ok_or_else(|| KeyError::unclear("has no public part"))?,
            Material::Public(public) => public,
        };
        public.check_size()?;
        let (possible, words) = public.kind();
        // A curve has one algorithm: nobody needs to say which.
        let chosen = among(possible, words, if possible.len() == 1 { possible } else { said })?;
        let checks = chosen
            .into_iter()
            .map(|algorithm| Check::public(algorithm, public.bytes()));
        let checks: Option<Vec<_>> = checks.collect();
        checks.ok_or_else(|| KeyError::unclear("has a key that the library refuses"))
    }

    /// What it signs with.
    pub(super) fn signer(self) -> Option<Signer> {
        match self {
            Material::Secret(secret) => Some(Signer::Secret(secret)),
            Material::Private(signer) => Some(signer),
            Material::Public(_) => None,
        }
    }

    /// Whether it is for this algorithm at all.
    pub(super) fn can_be_for(&self, algorithm: Algorithm) -> bool {
        match self {
            Material::Secret(_) => HMAC.contains(&algorithm),
            Material::Public(public) => public.kind().0.contains(&algorithm),
            Material::Private(signer) => signer
                .public()
                .is_some_and(|public| public.kind().0.contains(&algorithm)),
        }
    }
}

fn checks_of_secret(secret: &[u8], said: &[Algorithm]) -> Result<Vec<Check>, KeyError> {
    let chosen = among(HMAC, "HS256, HS384 and HS512", said)?;
    for algorithm in &chosen {
        let least = hash(*algorithm).map_or(0, |(_, bytes)| bytes);
        if secret.len() < least {
            return Err(KeyError::TooShort {
                bytes: secret.len(),
                algorithm: *algorithm,
                least,
            });
        }
    }
    if secret.iter().all(|byte| *byte == 0) {
        return Err(KeyError::unclear("has a secret of nothing but NULs"));
    }
    let checks = chosen
        .into_iter()
        .filter_map(|algorithm| Check::secret(algorithm, secret));
    Ok(checks.collect())
}

/// Those of `said` that are possible, each once, in the order in which they were said.
fn among(possible: &[Algorithm], words: &'static str, said: &[Algorithm]) -> Result<Vec<Algorithm>, KeyError> {
    let mut chosen = Vec::new();
    for algorithm in said {
        if possible.contains(algorithm) && !chosen.contains(algorithm) {
            chosen.push(*algorithm);
        }
    }
    match chosen.is_empty() {
        false => Ok(chosen),
        true => Err(KeyError::NoAlgorithm {
            key: words,
            said: said
                .iter()
                .map(|algorithm| algorithm.name())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}
