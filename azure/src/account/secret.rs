//! Text that nobody may see: never shown, and overwritten when it is no longer needed.

use std::fmt;

/// A key, a signature, or a text that has one in it. Its bytes are overwritten when it is dropped, as far as a program without unsafe
/// code can do it: copies that the system or a library made stay where they are.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the text over, so that no other copy of it stays.
    pub fn new(text: String) -> Self {
        Self(text.into_bytes())
    }

    /// The text.
    pub(crate) fn expose(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise the compiler may leave out what nobody reads.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("AbC123".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        assert_eq!(secret.expose(), "AbC123");
    }
}
