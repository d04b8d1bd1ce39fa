//! Bytes in the protocol's form: standard base64 with padding in a JSON string, `null` for none. Decoding is as strict
//! as the Go peer's: it requires padding and the standard alphabet, and skips only CR and LF.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, Visitor};

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Appends the base64 of `bytes` to `out`.
pub(crate) fn encode_into(bytes: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let length = bytes.len().div_ceil(3) * 4;
    out.resize(start + length, 0);
    // The slice has exactly the encoded length, so this cannot fail; an error would leave zeros that no peer accepts.
    let written = ENGINE.encode_slice(bytes, &mut out[start..]).unwrap_or_default();
    debug_assert_eq!(written, length);
}

/// Decodes a text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, String> {
    match ENGINE.decode(text) {
        Ok(bytes) => Ok(bytes),
        Err(error) if text.contains(['\r', '\n']) => {
            let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            ENGINE.decode(joined).map_err(|_| describe(error))
        }
        Err(error) => Err(describe(error)),
    }
}

fn describe(error: base64::DecodeError) -> String {
    format!("illegal base64 data: {error}")
}

/// A payload: bytes, or none. The two differ on the wire: an empty payload is `""`, none is `null`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Payload(pub Option<Bytes>);

impl Payload {
    /// The bytes; empty if there are none.
    pub fn into_bytes(self) -> Bytes {
        self.0.unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Payload;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a base64 string or null")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Payload, E> {
                Ok(Payload(Some(decode(text).map_err(E::custom)?.into())))
            }
            fn visit_none<E: de::Error>(self) -> Result<Payload, E> {
                Ok(Payload(None))
            }
            fn visit_unit<E: de::Error>(self) -> Result<Payload, E> {
                Ok(Payload(None))
            }
            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Payload, D::Error> {
                deserializer.deserialize_str(self)
            }
        }
        deserializer.deserialize_option(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back() {
        for length in 0..200 {
            let bytes: Vec<u8> = (0..length).map(|i| (i * 37) as u8).collect();
            let mut text = Vec::new();
            encode_into(&bytes, &mut text);
            assert_eq!(decode(std::str::from_utf8(&text).unwrap()).unwrap(), bytes);
        }
    }

    #[test]
    fn only_padded_standard_base64_is_accepted() {
        assert_eq!(decode("aGVs\r\nbG8=").unwrap(), b"hello");
        for bad in ["aGVsbG8", "aGVsbG8==", "_-8=", "a", "aGVs bG8=", "a=Vs", "aGVsbG8=aGVs"] {
            assert!(decode(bad).is_err(), "{bad}");
        }
    }
}
