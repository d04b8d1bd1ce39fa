//! A host, as others know it.

use std::fmt;

use uuid::Uuid;

/// Longest address of a host, in bytes.
const ADDRESS_MAX: usize = 256;

/// Longest version of a host, in bytes.
const VERSION_MAX: usize = 64;

/// Who a host is. It may stay the same from one start to the next.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct HostId(pub Uuid);

impl fmt::Display for HostId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// A host that serves the stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Who it is.
    pub id: HostId,
    /// Another one for each start.
    pub boot: Uuid,
    /// Where its link listens: `ws://HOST:PORT`, or `wss://HOST:PORT` for TLS.
    address: String,
    /// Which Streamkit it runs. For people.
    version: String,
}

impl Host {
    /// A host at an address, which other hosts reach it by. `None`: that is no such address, or too long. Of the version as much is kept as a
    /// row takes.
    pub fn new(id: HostId, boot: Uuid, address: &str, version: &str) -> Option<Self> {
        let rest = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| address.strip_prefix(scheme))?;
        // No path, and nobody's name or password.
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_address = !rest.is_empty() && address.len() <= ADDRESS_MAX && rest.bytes().all(is_plain);
        let version = version.chars().filter(char::is_ascii_graphic).take(VERSION_MAX);
        is_address.then(|| Self {
            id,
            boot,
            address: address.to_owned(),
            version: version.collect(),
        })
    }

    /// Where its link listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Which Streamkit it runs.
    pub fn version(&self) -> &str {
        &self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_a_host_and_carries_nothing_else() {
        let of = |address: &str| Host::new(HostId(Uuid::nil()), Uuid::nil(), address, "0.1.0\n");
        for good in [
            "ws://10.0.0.1:7400",
            "wss://a-b.example:443",
            "ws://[::1]:1",
            "ws://localhost",
        ] {
            let host = of(good).unwrap();
            assert_eq!((host.address(), host.version()), (good, "0.1.0"));
        }
        let long = format!("ws://{}", "a".repeat(ADDRESS_MAX));
        for bad in [
            "",
            "ws://",
            "http://a",
            "ws://user:secret@a",
            "ws://a/b",
            "ws://a b",
            "ws://a\r\nx",
            "ws://ä",
            &long,
        ] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
