//! JSON, checked as RFC 8259 has it and left as it stands. No value is built: numbers keep their text, and nesting costs a bit
//! of memory and no stack, so that whatever is valid is accepted.

/// Where a text is no JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Byte of the text, from 0.
    at: usize,
    what: &'static str,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not JSON: {} at byte {}", self.what, self.at + 1)
    }
}

/// Checks that a text is one JSON value.
pub(crate) fn check(text: &[u8]) -> Result<(), Fault> {
    members(text, |_, _| {}).map(|_| ())
}

/// The same, and hands over key and value of each member of the outermost object, both as they stand. Tells whether the value
/// is an object.
pub(crate) fn members<'a>(text: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<bool, Fault> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(Fault {
            at: error.valid_up_to(),
            what: "bytes that are not UTF-8",
        });
    }
    let mut scan = Scan { text, at: 0 };
    scan.space();
    let object = scan.next() == Some(b'{');
    if object {
        scan.at += 1;
        scan.space();
        let mut more = scan.next() != Some(b'}');
        while more {
            let key = scan.key()?;
            scan.space();
            let from = scan.at;
            scan.value()?;
            each(key, &text[from..scan.at]);
            scan.space();
            more = scan.next() == Some(b',');
            if more {
                scan.at += 1;
                scan.space();
            }
        }
        scan.expect(b"}", "a comma or } is expected")?;
    } else {
        scan.value()?;
    }
    scan.space();
    match scan.next() {
        None => Ok(object),
        Some(_) => Err(scan.fault("more stands behind the value")),
    }
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn fault(&self, what: &'static str) -> Fault {
        let what = match self.at < self.text.len() {
            true => what,
            false => "the text ends too early",
        };
        Fault { at: self.at, what }
    }

    fn space(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, word: &[u8], what: &'static str) -> Result<(), Fault> {
        match self.text[self.at..].starts_with(word) {
            true => {
                self.at += word.len();
                Ok(())
            }
            false => Err(self.fault(what)),
        }
    }

    /// A key and the colon behind it.
    fn key(&mut self) -> Result<&'a [u8], Fault> {
        if self.next() != Some(b'"') {
            return Err(self.fault("a key is expected"));
        }
        let from = self.at;
        self.string()?;
        let key = &self.text[from..self.at];
        self.space();
        self.expect(b":", "a colon is expected")?;
        Ok(key)
    }

    fn value(&mut self) -> Result<(), Fault> {
        // What is open: `true` for an object, `false` for an array.
        let mut open = Vec::new();
        loop {
            self.space();
            match self.next() {
                Some(b'{') => {
                    self.at += 1;
                    self.space();
                    if self.next() != Some(b'}') {
                        self.key()?;
                        open.push(true);
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    if self.next() != Some(b']') {
                        open.push(false);
                        continue;
                    }
                    self.at += 1;
                }
                Some(b'"') => self.string()?,
                Some(b'-' | b'0'..=b'9') => self.number()?,
                Some(b't') => self.expect(b"true", "a value is expected")?,
                Some(b'f') => self.expect(b"false", "a value is expected")?,
                Some(b'n') => self.expect(b"null", "a value is expected")?,
                _ => return Err(self.fault("a value is expected")),
            }
            // A value is over, and with it perhaps what it stands in.
            loop {
                let Some(&object) = open.last() else { return Ok(()) };
                self.space();
                match (self.next(), object) {
                    (Some(b','), _) => {
                        self.at += 1;
                        if object {
                            self.space();
                            self.key()?;
                        }
                        break;
                    }
                    (Some(b'}'), true) | (Some(b']'), false) => {
                        self.at += 1;
                        open.pop();
                    }
                    (_, true) => return Err(self.fault("a comma or } is expected")),
                    (_, false) => return Err(self.fault("a comma or ] is expected")),
                }
            }
        }
    }

    fn string(&mut self) -> Result<(), Fault> {
        self.at += 1;
        loop {
            match self.next() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.next() {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
                        Some(b'u') => {
                            self.at += 1;
                            for _ in 0..4 {
                                if !self.next().is_some_and(|digit| digit.is_ascii_hexdigit()) {
                                    return Err(self.fault("four hexadecimal digits are expected"));
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(self.fault("there is no such escape")),
                    }
                }
                Some(0x20..) => self.at += 1,
                Some(_) => return Err(self.fault("a control character in a text")),
                None => return Err(self.fault("")),
            }
        }
    }

    fn number(&mut self) -> Result<(), Fault> {
        if self.next() == Some(b'-') {
            self.at += 1;
        }
        match self.next() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.next() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.next(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.next(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Fault> {
        if !self.next().is_some_and(|digit| digit.is_ascii_digit()) {
            return Err(self.fault("a digit is expected"));
        }
        while self.next().is_some_and(|digit| digit.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_valid_is_accepted_however_deep_or_large() {
        for text in [
            "0",
            "-0",
            "-0.0e-0",
            "1E5",
            "1e+400",
            "123456789012345678901234567890",
            "0.1",
            "\"\"",
            "null",
            "true",
            "false",
            "[]",
            "{}",
            "[[],{}]",
            " [ 1 , {\"a\" : [ ] } ]\t",
            "{\"a\":1,\"a\":2}",
            "{\"\":0}",
            r#""\ud800""#,
            r#""\uDFAA \ud834\udd1e \u0000""#,
            r#""\"\\\/\b\f\n\r\t""#,
            "\"\u{7f}\u{2028}\u{10ffff}é\"",
        ] {
            assert_eq!(check(text.as_bytes()), Ok(()), "{text}");
        }
        let deep = [vec![b'['; 500_000], vec![b']'; 500_000]].concat();
        assert_eq!(check(&deep), Ok(()));
        let deep = format!("{}1{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(check(deep.as_bytes()), Ok(()));
    }

    #[test]
    fn all_that_is_not_valid_is_refused() {
        for text in [
            "",
            " ",
            "[",
            "{",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\" 1}",
            "{\"a\":1 \"b\":2}",
            "{'a':1}",
            "01",
            "-",
            "+1",
            "1.",
            ".1",
            "1e",
            "1e+",
            "-01",
            "0x1",
            "1.e1",
            "NaN",
            "Infinity",
            "nul",
            "tru",
            "True",
            "nulll",
            "\"",
            "\"\\\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u12""#,
            "\"a\tb\"",
            "\"a\nb\"",
            "\"a\0\"",
            "'a'",
            "1 2",
            "[] []",
            "{}{}",
            "1,",
            "\u{feff}1",
            "\u{a0}1",
            "\u{c}1",
            "[1]#",
            "/**/1",
            "[\"a\",\n4\n,1,",
            "{\"a\":[1}",
            "[\"a\"",
            "{\"a\":1",
            "\\u0031",
        ] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        for bytes in [
            &b"\"\xff\""[..],
            b"\"\xed\xa0\x80\"",
            b"\"\xc0\xaf\"",
            b"\xff1",
            b"[\"\xe2\x82\"]",
        ] {
            assert!(check(bytes).is_err(), "{bytes:?}");
        }
        let deep = [vec![b'['; 500_000], vec![b']'; 499_999]].concat();
        assert!(check(&deep).is_err());
    }

    #[test]
    fn members_of_the_outermost_object_are_handed_over_as_they_stand() {
        let text = br#" { "a" : 1E5 , "b\u0062":{"a":[2]},"c":"x\ny" } "#;
        let mut seen = Vec::new();
        assert_eq!(members(text, |key, value| seen.push((key, value))), Ok(true));
        let seen: Vec<_> = seen
            .into_iter()
            .map(|(key, value)| (std::str::from_utf8(key).unwrap(), std::str::from_utf8(value).unwrap()))
            .collect();
        assert_eq!(
            seen,
            [
                ("\"a\"", "1E5"),
                ("\"b\\u0062\"", "{\"a\":[2]}"),
                ("\"c\"", "\"x\\ny\"")
            ]
        );
        assert_eq!(members(b"[{\"a\":1}]", |_, _| panic!()), Ok(false));
    }
}
