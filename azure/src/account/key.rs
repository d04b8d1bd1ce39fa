//! The key of an account: it signs, and cannot be read back.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::secret::Secret;
use super::settings_error::SettingsError;

/// Fewest bytes of a key. Azure's have 64.
const FEWEST: usize = 16;

/// An account's key, in the form that signs. Nothing shows it.
#[derive(Clone)]
pub struct AccountKey(Arc<hmac::Key>);

impl AccountKey {
    /// Reads a key from base64, and overwrites the text.
    ///
    /// # Errors
    /// [`SettingsError::Key`] if it is no key; it does not tell the text.
    pub fn new(text: &Secret) -> Result<Self, SettingsError> {
        let mut bytes = STANDARD
            .decode(text.expose().trim())
            .map_err(|_| SettingsError::Key("it is no base64"))?;
        let is_short = bytes.len() < FEWEST;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        bytes.fill(0);
        std::hint::black_box(&bytes);
        match is_short {
            true => Err(SettingsError::Key("it is too short")),
            false => Ok(Self(Arc::new(key))),
        }
    }

    /// The signature of a text, as base64.
    pub(super) fn sign(&self, text: &str) -> String {
        STANDARD.encode(hmac::sign(&self.0, text.as_bytes()))
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("AccountKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<AccountKey, SettingsError> {
        AccountKey::new(&Secret::new(text.to_owned()))
    }

    #[test]
    fn a_key_signs_as_hmac_with_sha_256() {
        // RFC 4231, test case 6, has a key of 131 bytes 0xaa.
        let signed = key(&STANDARD.encode([0xaa; 131]))
            .unwrap()
            .sign("Test Using Larger Than Block-Size Key - Hash Key First");
        let expected = [
            0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f, 0x0d, 0x8a, 0x26, 0xaa, 0xcb, 0xf5, 0xb7, 0x7f, 0x8e, 0x0b,
            0xc6, 0x21, 0x37, 0x28, 0xc5, 0x14, 0x05, 0x46, 0x04, 0x0f, 0x0e, 0xe3, 0x7f, 0x54,
        ];
        assert_eq!(signed, STANDARD.encode(expected));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_told() {
        for text in ["not base64!!", "", "c2hvcnQ="] {
            let error = key(text).unwrap_err().to_string();
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
        let shown = format!("{:?}", key(&STANDARD.encode([7; 64])).unwrap());
        assert_eq!(shown, "AccountKey(…)");
    }
}
