//! Why there is no key.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::auth::algorithm::Algorithm;

/// Why there is no key. No text has any part of one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// It would be another key than it seems, or is none at all.
    #[error("{0}")]
    Unclear(Cow<'static, str>),
    /// Too easy to guess.
    #[error(
        "has a secret of {bytes} bytes; {algorithm} needs at least {least}: write one with `openssl rand -hex {least}`. Where others \
         go on signing with it, append NULs up to {least} bytes, which HMAC takes for the same key: `truncate -s {least} FILE`"
    )]
    TooShort {
        /// Its length.
        bytes: usize,
        /// What it should be for.
        algorithm: Algorithm,
        /// The least that is allowed for that: as many bytes as its hash has.
        least: usize,
    },
    /// The same of RSA, or a size that the library does not know.
    #[error("has an RSA key of {0} bits; it needs 2048 to 8192")]
    RsaBits(usize),
    /// The key is not for any of the algorithms that it is said to be for.
    #[error("has a key for {key}, and none of these is among the algorithms that it is to be used with: {said}")]
    NoAlgorithm {
        /// What such a key can be for.
        key: &'static str,
        /// What was said.
        said: String,
    },
    /// One of these, of a file.
    #[error("the key file {file} {why}")]
    InFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: Box<KeyError>,
    },
}

impl KeyError {
    pub(super) fn unclear(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Unclear(why.into())
    }

    pub(crate) fn in_file(self, path: &Path) -> Self {
        Self::InFile {
            file: path.display().to_string(),
            why: Box::new(self),
        }
    }
}
