//! Which bus, as an operator writes it.

use std::fmt;

/// Which bus, and what opens it. What opens it is shown nowhere.
#[derive(Clone)]
pub struct BusSettings {
    pub(super) kind: BusKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// Whose protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BusKind {
    Nats,
    Redis,
}

/// Why an address is none of a bus. Nothing of it is told: it may hold a password.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BusSettingsError {
    /// Neither NATS nor Redis.
    #[error("the address of a message bus begins with nats:// or redis://")]
    Scheme,
    /// No host, or no port that could be one.
    #[error(
        "the address of a message bus is nats://HOST:PORT or redis://HOST:PORT, with USER:PASSWORD@ before the host if need be, and nothing behind the port"
    )]
    Address,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("in user and password of a message bus, `%` stands before two hexadecimal digits; write it as %25")]
    Percent,
    /// Both say who it is.
    #[error("user and password of the message bus stand in its address and beside it: leave one out")]
    Twice,
}

impl BusSettings {
    /// Reads an address, such as `nats://127.0.0.1:4222` or `redis://user:password@host:6379`. A user without a password is a token of NATS; a password
    /// without a user is one of Redis. `beside` are user and password that do not stand in the address, such as those of environment variables.
    ///
    /// # Errors
    /// [`BusSettingsError`].
    pub fn parse(address: &str, beside: (Option<String>, Option<String>)) -> Result<Self, BusSettingsError> {
        let (scheme, rest) = address.split_once("://").ok_or(BusSettingsError::Scheme)?;
        let (kind, port) = match scheme {
            "nats" => (BusKind::Nats, 4222),
            "redis" => (BusKind::Redis, 6379),
            _ => return Err(BusSettingsError::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (who, place) = match rest.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        let (host, port) = match place.rsplit_once(':') {
            // The colons of an address of IPv6 stand in brackets.
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| BusSettingsError::Address)?),
            _ => (place, port),
        };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        if host.is_empty() || port == 0 || !host.bytes().all(is_plain) {
            return Err(BusSettingsError::Address);
        }
        let decoded = |text: &str| match text {
            "" => Ok(None),
            text => decode(text).map(Some),
        };
        let (user, password) = match who.map(|who| who.split_once(':').unwrap_or((who, ""))) {
            Some((user, password)) => (decoded(user)?, decoded(password)?),
            None => (None, None),
        };
        let is_beside = beside.0.is_some() || beside.1.is_some();
        let (user, password) = match (user, password) {
            (None, None) => beside,
            _ if is_beside => return Err(BusSettingsError::Twice),
            own => own,
        };
        Ok(Self {
            kind,
            host: host.to_owned(),
            port,
            user,
            password,
        })
    }
}

impl fmt::Display for BusSettings {
    /// Without what opens it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.kind {
            BusKind::Nats => "nats",
            BusKind::Redis => "redis",
        };
        write!(out, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BusSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "BusSettings({self})")
    }
}

/// Undoes the encoding of characters that mean something in an address.
fn decode(text: &str) -> Result<String, BusSettingsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let is_hex = digits.is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits
            .filter(|_| is_hex)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or(BusSettingsError::Percent)?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| BusSettingsError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_what_opens_the_bus_is_shown_nowhere() {
        let some = |text: &str| Some(text.to_owned());
        for (address, shown, user, password) in [
            ("nats://a", "nats://a:4222", None, None),
            ("redis://a:1/", "redis://a:1", None, None),
            ("nats://token@a:1", "nats://a:1", some("token"), None),
            ("redis://:secret@a", "redis://a:6379", None, some("secret")),
            (
                "redis://me:se%40cret%25@[::1]:7",
                "redis://[::1]:7",
                some("me"),
                some("se@cret%"),
            ),
            ("nats://me:a@b@[::1]", "nats://[::1]:4222", some("me"), some("a@b")),
        ] {
            let bus = BusSettings::parse(address, (None, None)).unwrap();
            assert_eq!(
                (bus.to_string(), &bus.user, &bus.password),
                (shown.to_owned(), &user, &password)
            );
            assert!(!format!("{bus:?}").contains("secret"));
        }
        let beside = BusSettings::parse("nats://a", (some("me"), some("secret"))).unwrap();
        assert_eq!((beside.user, beside.password), (some("me"), some("secret")));
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_word_of_it() {
        for (address, why) in [
            ("", BusSettingsError::Scheme),
            ("kafka://secret", BusSettingsError::Scheme),
            ("rediss://secret@a", BusSettingsError::Scheme),
            ("nats://", BusSettingsError::Address),
            ("nats://a:0", BusSettingsError::Address),
            ("nats://a:secret", BusSettingsError::Address),
            ("redis://a:1/0", BusSettingsError::Address),
            ("redis://secret%@a", BusSettingsError::Percent),
            ("redis://secret%+1@a", BusSettingsError::Percent),
            ("redis://%ff@a", BusSettingsError::Percent),
        ] {
            let error = BusSettings::parse(address, (None, None)).unwrap_err();
            assert_eq!(error, why, "{address}");
            assert!(!error.to_string().contains("secret"));
        }
        let twice = BusSettings::parse("nats://me@a", (Some("you".to_owned()), None));
        assert_eq!(twice.unwrap_err(), BusSettingsError::Twice);
    }
}
