//! Keys of rows, and the conditions on their versions.

use std::fmt;

/// Most bytes of a key. The service takes 1 KiB of UTF-16, and these are all ASCII.
const KEY_MAX: usize = 512;
/// Most bytes of the name of a version.
const VERSION_MAX: usize = 256;

/// A partition or row key. It has letters, digits and `- . _ ~ ! =` alone: tables refuse `/ \ # ?` and control characters, and `% ' +`
/// mean something in an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableKey(String);

impl TableKey {
    /// Takes a key as it is; `None` if it is none.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let is_key = (1..=KEY_MAX).contains(&text.len()) && text.bytes().all(|b| is_plain(b) || b"~!=".contains(&b));
        is_key.then_some(Self(text))
    }

    /// Encodes any text so that it may be a part of a key: each byte that is no letter, digit or one of `- . _` becomes `=` and two
    /// hexadecimal digits. Two texts have the same encoding only if they are the same.
    pub fn encode(text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            match is_plain(byte) {
                true => encoded.push(byte.into()),
                false => encoded.push_str(&format!("={byte:02x}")),
            }
        }
        encoded
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

impl fmt::Debug for TableKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for TableKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The version of a row, as the service names it. Opaque: it is compared whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowVersion(String);

impl RowVersion {
    /// Takes a version's name; `None` if it could not stand in a request.
    pub fn new(text: &str) -> Option<Self> {
        let is_version = (1..=VERSION_MAX).contains(&text.len())
            && text != "*"
            && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        is_version.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a write demands of the row that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Condition {
    /// That there is one.
    Exists,
    /// That it is of this version.
    Is(RowVersion),
}

impl Condition {
    /// As the header `If-Match` says it.
    pub(super) fn header(&self) -> &str {
        match self {
            Self::Exists => "*",
            Self::Is(version) => version.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_text_can_be_encoded_to_a_key_of_its_own() {
        let texts = [
            "a/b", "a\\b", "a#b", "a?b", "a\u{0}b", "a\u{7f}b", "a=2fb", "a%2fb", "ä", "a'b", "a b", "a+b", "a.b",
            "A.b",
        ];
        let keys: BTreeSet<String> = texts.iter().map(|text| TableKey::encode(text)).collect();
        assert_eq!(keys.len(), texts.len());
        for key in keys {
            assert!(TableKey::new(key.clone()).is_some(), "{key}");
        }
        assert_eq!(TableKey::encode("a/b"), "a=2fb");
    }

    #[test]
    fn what_a_table_or_an_address_could_misread_is_no_key() {
        for text in [
            "",
            "a/b",
            "a\\b",
            "a#b",
            "a?b",
            "a%b",
            "a'b",
            "a+b",
            "a&b",
            "ä",
            "a\nb",
            "a b",
            &"a".repeat(513),
        ] {
            assert!(TableKey::new(text).is_none(), "{text}");
        }
        assert!(TableKey::new("0f3a!s00000000000000000001~x").is_some());
    }

    #[test]
    fn a_version_that_could_end_a_header_is_none() {
        for text in ["", "*", "a\r\nx: y", "a\nb", "ä", "\u{7f}", &"a".repeat(257)] {
            assert!(RowVersion::new(text).is_none(), "{text:?}");
        }
        assert!(RowVersion::new("W/\"datetime'2026-11-29T11%3A00%3A00.1234567Z'\"").is_some());
    }
}
