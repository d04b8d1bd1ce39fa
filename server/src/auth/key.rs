//! The secret that tokens are signed with, and the file it stands in.

use std::io::{self, Read as _};
use std::path::Path;

use jsonwebtoken::{DecodingKey, EncodingKey};

/// Shortest secret, in bytes: as long as the hash it keys.
const SECRET_BYTES_MIN: usize = 32;

/// Most bytes of a file that holds one.
const KEY_FILE_BYTES_MAX: usize = 64 << 10;

/// The key tokens are signed with. It fixes the algorithm; what a token says of itself is never asked.
#[derive(Clone)]
pub struct Key {
    pub(super) encoding: EncodingKey,
    pub(super) decoding: DecodingKey,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read the key file {0}: {1}")]
    Read(String, io::Error),
    /// It is a text that would be another secret than it seems, or no secret at all.
    #[error("the key file {0} {1}; write one with `openssl rand -hex 32`")]
    Unclear(String, &'static str),
    /// Too easy to guess.
    #[error("the key has {0} bytes; HS256 needs at least {SECRET_BYTES_MIN}: write one with `openssl rand -hex 32`")]
    TooShort(usize),
}

impl Key {
    /// HS256 with a raw secret.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn hs256(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::TooShort(secret.len()));
        }
        Ok(Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        })
    }

    /// HS256 with the secret in a file, less a byte order mark and one trailing line end (LF or CRLF), which editors add. A text
    /// with more lines or other control characters is refused; bytes that are no text are the secret as they are.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn hs256_file(path: &Path) -> Result<Self, KeyError> {
        let name = || path.display().to_string();
        let bytes = read_up_to(path, KEY_FILE_BYTES_MAX).map_err(|error| KeyError::Read(name(), error))?;
        if bytes.len() > KEY_FILE_BYTES_MAX {
            return Err(KeyError::Unclear(name(), "is too large to be one"));
        }
        let secret = secret(&bytes).map_err(|why| KeyError::Unclear(name(), why))?;
        Self::hs256(secret)
    }
}

/// The first bytes of a file, and one more if there is more: it may be a device, which has no end.
fn read_up_to(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(most as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The secret in a key file.
fn secret(bytes: &[u8]) -> Result<&[u8], &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16, which other programs read as another secret");
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let line = bytes
        .strip_suffix(b"\n")
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let secret = line.unwrap_or(bytes);
    match std::str::from_utf8(secret) {
        Ok(text) if text.contains('\n') => Err("has more than one line"),
        Ok(text) if text.contains(char::is_control) => Err("has control characters in its line"),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_file_means_one_line_whatever_the_editor_added_and_nothing_else() {
        let key = b"a key of thirty-two bytes or more".as_slice();
        for (before, after) in [
            ("", ""),
            ("", "\n"),
            ("", "\r\n"),
            ("\u{feff}", ""),
            ("\u{feff}", "\r\n"),
        ] {
            let file = [before.as_bytes(), key, after.as_bytes()].concat();
            assert_eq!(secret(&file), Ok(key), "{before:?} {after:?}");
        }
        for after in ["\n\n", "\r\n\r\n", "\nanother", "\r", "\ttab", "\0"] {
            assert!(secret(&[key, after.as_bytes()].concat()).is_err(), "{after:?}");
        }
        assert!(secret(b"\xff\xfek\0e\0y\0").is_err());
        // Raw bytes are no text; whatever they are, they are the secret.
        assert_eq!(secret(b"\x80\x01\n\x02"), Ok(b"\x80\x01\n\x02".as_slice()));
    }

    #[test]
    fn a_file_that_is_too_large_for_a_key_is_never_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let refused = Key::hs256_file(&path).err().unwrap().to_string();
        assert!(
            refused.contains("too large") && refused.contains(&*path.to_string_lossy()),
            "{refused}"
        );
    }

    #[test]
    fn a_short_key_is_refused_and_one_trailing_newline_ignored() {
        assert!(matches!(Key::hs256(&[0; 31]), Err(KeyError::TooShort(31))));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, format!("{}\n", "k".repeat(32))).unwrap();
        let token = Key::hs256_file(&path)
            .unwrap()
            .mint(&["streamkit::*".into()], Duration::from_secs(9))
            .unwrap();
        assert!(Key::hs256(&[b'k'; 32]).unwrap().verify(&token).is_some());
        std::fs::write(&path, format!("{}\n", "k".repeat(31))).unwrap();
        assert!(matches!(Key::hs256_file(&path), Err(KeyError::TooShort(31))));
    }
}
