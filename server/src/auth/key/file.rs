//! What a key file is, by what stands in it.

use std::io::{self, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::KeyError;
use super::jwk::{self, Trust};
use super::key::Key;
use super::material::{Material, Public, private_of_der};
use super::pem;
use super::secret::secret;
use crate::auth::algorithm::Algorithm;
use crate::certificate::CertificateFields;

/// Most bytes of a file with keys.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// Most bytes of a set of keys.
pub(crate) const SET_BYTES_MAX: usize = 1 << 20;

/// A secret that was filled up is told of if it has fewer bytes: 128 bits cannot be tried out.
const SHORT_BYTES: usize = 16;

impl Key {
    /// The keys in the bytes of a key file:
    ///
    /// - PEM: one key, public or private (`PUBLIC KEY`, `PRIVATE KEY`, `RSA PUBLIC KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`), or
    ///   the public key in a `CERTIFICATE`, of which nothing else is looked at;
    /// - JSON: a JSON Web Key or a set of them. `alg`, `use`, `key_ops` and `kid` are honoured; a set may hold keys that are not
    ///   for us, and needs one that is;
    /// - anything else: a secret for HMAC, in one line, less a byte order mark and the line's end, which editors add. NULs behind
    ///   the text belong to it. Bytes that are no text are the secret as they are.
    ///
    /// `unsaid` are the algorithms of keys that could be for several and do not say: [`Algorithm::UNSAID`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(bytes: &[u8], unsaid: &[Algorithm]) -> Result<Vec<Self>, KeyError> {
        parse(bytes, unsaid, FileKind::Any)
    }

    /// The same of a file.
    ///
    /// # Errors
    /// [`KeyError::InFile`].
    pub fn read_file(path: &Path, unsaid: &[Algorithm]) -> Result<Vec<Self>, KeyError> {
        let read = read_up_to(path, KEY_FILE_BYTES_MAX).map_err(KeyError::Read);
        read.and_then(|bytes| Self::parse(&bytes, unsaid))
            .map_err(|why| why.in_file(path))
    }

    /// The keys of a set in a file, of up to 1 MiB; nothing but JSON counts as one.
    ///
    /// # Errors
    /// [`KeyError::InFile`].
    pub fn read_set_file(path: &Path, unsaid: &[Algorithm]) -> Result<Vec<Self>, KeyError> {
        let read = read_up_to(path, SET_BYTES_MAX).map_err(KeyError::Read);
        read.and_then(|bytes| parse(&bytes, unsaid, FileKind::Set))
            .map_err(|why| why.in_file(path))
    }
}

/// What a file is expected to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileKind {
    /// A secret, PEM or JSON.
    Any,
    /// A set of JSON Web Keys, or one of them.
    Set,
}

impl FileKind {
    /// Most bytes of it.
    pub(crate) fn bytes_max(self) -> usize {
        match self {
            FileKind::Any => KEY_FILE_BYTES_MAX,
            FileKind::Set => SET_BYTES_MAX,
        }
    }
}

/// The first bytes of a file, and one more if there is more: it may be a device, which has no end.
pub(crate) fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The keys in the bytes of a file.
pub(crate) fn parse(bytes: &[u8], unsaid: &[Algorithm], kind: FileKind) -> Result<Vec<Key>, KeyError> {
    if bytes.len() > kind.bytes_max() {
        return Err(KeyError::unclear("is too large to be one"));
    }
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    if text.trim_ascii_start().starts_with(b"{") {
        return jwk::keys(text, unsaid, Trust::File);
    }
    if kind == FileKind::Set {
        return Err(KeyError::unclear("is no set of JSON Web Keys"));
    }
    let material = match pem::is_pem(text) {
        true => pem::key(text)?,
        false => raw(bytes)?,
    };
    Ok(vec![Key::of(material, None, unsaid, true)?])
}

/// A secret as it is. A key of another kind that lost its frame is none: everybody may know it.
fn raw(bytes: &[u8]) -> Result<Material, KeyError> {
    let secret =
        secret(bytes).map_err(|why| KeyError::unclear(format!("{why}; write a secret with `openssl rand -hex 32`")))?;
    let unframed = STANDARD.decode(secret.trim_ascii()).unwrap_or_default();
    if is_another_kind(secret) || is_another_kind(&unframed) {
        return Err(KeyError::unclear(
            "has a key of another kind without its frame, which is no secret: write it as PEM or as a JSON Web Key",
        ));
    }
    let before_nuls = secret.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    if before_nuls < SHORT_BYTES && before_nuls < secret.len() {
        tracing::warn!(
            "a secret of {before_nuls} bytes and NULs can be guessed: replace it as soon as its tokens can be"
        );
    }
    Ok(Material::Secret(secret.to_vec()))
}

fn is_another_kind(bytes: &[u8]) -> bool {
    let is_of_ssh = ["ssh-", "ecdsa-sha2-"]
        .iter()
        .any(|name| bytes.starts_with(name.as_bytes()));
    let is_json = bytes.windows(5).any(|window| window == b"\"kty\"");
    let is_der = bytes.first() == Some(&0x30)
        && (Public::of_der(bytes).is_some()
            || CertificateFields::of(bytes).is_some_and(|one| Public::of_der(one.public_key).is_some())
            || private_of_der(bytes).is_some());
    is_of_ssh || is_json || is_der
}
