//! A secret for HMAC that stands in a file as it is.

/// The secret in a file: one line of text, or bytes that are none.
pub(super) fn secret(bytes: &[u8]) -> Result<&[u8], &'static str> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("is UTF-16, which other programs read as another secret");
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let line = bytes
        .strip_suffix(b"\n")
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let secret = line.unwrap_or(bytes);
    let Ok(text) = std::str::from_utf8(secret) else {
        return Ok(secret);
    };
    // NULs at the end make a short secret long enough; HMAC fills keys up with the same.
    match text.trim_end_matches('\0') {
        "" => Err("has nothing in its line"),
        text if text.contains('\n') => Err("has more than one line"),
        text if text.contains(char::is_control) => Err("has control characters in its line"),
        _ => Ok(secret),
    }
}

#[cfg(test)]
mod tests {
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
        for after in ["\n\n", "\r\n\r\n", "\nanother", "\r", "\ttab", "\0more", "\n\0"] {
            assert!(secret(&[key, after.as_bytes()].concat()).is_err(), "{after:?}");
        }
        assert!(secret(b"\xff\xfek\0e\0y\0").is_err());
        // Raw bytes are no text; whatever they are, they are the secret.
        assert_eq!(secret(b"\x80\x01\n\x02"), Ok(b"\x80\x01\n\x02".as_slice()));
    }

    #[test]
    fn nuls_behind_a_secret_fill_it_up_and_are_none_by_themselves() {
        let padded = b"top-secret\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice();
        assert_eq!(secret(padded), Ok(padded));
        for nothing in [b"".as_slice(), b"\n", &[0; 64]] {
            assert!(secret(nothing).is_err());
        }
    }
}
