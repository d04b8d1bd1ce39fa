//! A key that was read, and what it is for.

use std::fmt;
use std::sync::Arc;

use super::check::Check;
use super::error::KeyError;
use super::material::Material;
use super::signer::Signer;
use crate::auth::algorithm::Algorithm;

/// A key that tokens are checked with, and signed with if its secret part is there. The key says for which algorithms it is; a
/// token only chooses among these. Cheap to clone.
#[derive(Clone)]
pub struct Key(Arc<KeyParts>);

struct KeyParts {
    id: Option<String>,
    /// One for each algorithm it is for; the first is the one it signs with.
    checks: Vec<Check>,
    signer: Option<Signer>,
}

impl Key {
    /// HS256 with a raw secret.
    ///
    /// # Errors
    /// [`KeyError::TooShort`]: it has less than 32 bytes.
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        Self::of(Material::Secret(secret.to_vec()), None, &[Algorithm::HS256], true)
    }

    pub(super) fn of(
        material: Material,
        id: Option<String>,
        algorithms: &[Algorithm],
        signs: bool,
    ) -> Result<Self, KeyError> {
        let checks = material.checks(algorithms)?;
        let signer = material.signer().filter(|_| signs);
        Ok(Self(Arc::new(KeyParts { id, checks, signer })))
    }

    /// The `kid` of tokens that are signed with it, if it has one.
    pub fn id(&self) -> Option<&str> {
        self.0.id.as_deref()
    }

    /// What it is for. The first is what it signs with unless told otherwise.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.0.checks.iter().map(Check::algorithm)
    }

    /// Whether tokens can be signed with it: whoever has it opens every store.
    pub fn can_sign(&self) -> bool {
        self.0.signer.is_some()
    }

    /// Whether `signature` is its signature of `message`. `None` if it is not for that algorithm.
    pub(crate) fn signed(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<bool> {
        let check = self.0.checks.iter().find(|check| check.algorithm() == algorithm)?;
        Some(check.holds(message, signature))
    }

    /// Its signature of a message; `None` if it has no secret part, is not for that algorithm, or the library fails.
    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        self.algorithms().find(|known| *known == algorithm)?;
        self.0.signer.as_ref()?.sign(algorithm, message)
    }
}

impl fmt::Debug for Key {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.algorithms().collect();
        f.debug_struct("Key")
            .field("id", &self.0.id)
            .field("algorithms", &algorithms)
            .field("can_sign", &self.can_sign())
            .finish()
    }
}
