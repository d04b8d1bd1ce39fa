//! Addresses as people write them: where a server listens, and where a client finds it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where to listen: `127.0.0.1:8080`, `localhost:8080`, or the port alone, which is that of this machine only.
///
/// # Errors
/// How to write it. Without a host before the colon it is not guessed whether everybody may come in.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let local = |port: &str| port.parse().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    if let Ok(address) = local(text.strip_prefix("localhost:").unwrap_or(text)) {
        return Ok(address);
    }
    if let Some(meant) = without_port(text) {
        return Err(format!("write {meant}: an address has a port"));
    }
    let port = match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => port,
        _ => "8080",
    };
    Err(format!(
        "write 127.0.0.1:{port} (this machine only), 0.0.0.0:{port} (every IPv4 address of it) or [::]:{port}"
    ))
}

/// What an address is likely to mean that lacks its port, or the brackets that tell it from its port.
fn without_port(text: &str) -> Option<SocketAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let in_front_of_port = || {
        let (host, port) = text.rsplit_once(':')?;
        Some(SocketAddr::from((host.parse::<Ipv6Addr>().ok()?, port.parse().ok()?)))
    };
    in_front_of_port().or_else(|| Some(SocketAddr::new(bare.unwrap_or(text).parse::<IpAddr>().ok()?, 8080)))
}

/// A server's address as a WebSocket one: `ws://` may be missing, `http://` is the same server, as `https://` is that of `wss://`, and a
/// port alone is on this machine.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let example = "write ws://host:8080, or wss://host for TLS";
    let (scheme, rest) = match text.split_once("://") {
        Some(("ws" | "http", rest)) => ("ws", rest),
        Some(("wss" | "https", rest)) => ("wss", rest),
        Some((scheme, _)) => return Err(format!("{scheme}:// is no address of a server; {example}")),
        None => ("ws", text),
    };
    let rest = match rest.strip_prefix(':').unwrap_or(rest).parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => rest.to_owned(),
    };
    let address = format!("{scheme}://{rest}");
    match address.parse::<hyper::Uri>() {
        Ok(uri)
            if uri
                .authority()
                .is_some_and(|authority| authority.as_str().contains('@')) =>
        {
            Err(format!(
                "a user or a password before the host would be shown, and no server is told it; {example}, and give a token"
            ))
        }
        Ok(uri) if !has_possible_port(&uri) => Err(format!("a port is a number up to 65535; {example}")),
        Ok(uri) if uri.host().is_some_and(|host| !host.is_empty()) => Ok(address),
        Ok(_) => Err(format!("it names no host; {example}")),
        Err(error) => Err(format!("{error}; {example}")),
    }
}

/// A text that may be an address, without a user and a password in it: what is refused or broken may be told, and these may not.
pub(crate) fn without_user(text: &str) -> String {
    let (scheme, rest) = text
        .split_once("://")
        .map_or(("", text), |(scheme, rest)| (scheme, rest));
    match rest.rsplit_once('@') {
        Some((_, place)) if scheme.is_empty() => format!("…@{place}"),
        Some((_, place)) => format!("{scheme}://…@{place}"),
        None => text.to_owned(),
    }
}

/// The origin of pages as browsers write it: in lower case, without the port that its scheme has anyway, and without a path.
///
/// # Errors
/// How to write it: one that no browser sends would let nobody in, and say nothing.
pub(crate) fn origin(text: &str) -> Result<String, String> {
    let refuse = || {
        let how = "write it as browsers do: https://app.example, with its port if it has one, and no path";
        Err(format!("{how}; without any origin, any may connect"))
    };
    let lower = text.to_ascii_lowercase();
    if lower == "null" {
        return Ok(lower);
    }
    let Ok(uri) = lower.parse::<hyper::Uri>() else {
        return refuse();
    };
    let (Some(scheme), Some(authority), "" | "/", None) = (uri.scheme_str(), uri.authority(), uri.path(), uri.query())
    else {
        return refuse();
    };
    if authority.as_str().contains('@') || !has_possible_port(&uri) {
        return refuse();
    }
    let place = match (scheme, uri.port_u16()) {
        ("https", Some(443)) | ("http", Some(80)) => authority.host(),
        _ => authority.as_str(),
    };
    Ok(format!("{scheme}://{place}"))
}

/// Whether what stands where a port does is one; the library takes anything else for none. Digits alone are meant as a port, too.
fn has_possible_port(uri: &hyper::Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let behind_address = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    match behind_address.rsplit_once(':') {
        Some((_, port)) => port.parse::<u16>().is_ok(),
        None => behind_address.is_empty() || behind_address.bytes().any(|byte| !byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_listens_where_it_was_told_or_tells_how_to_say_it() {
        for text in ["8080", "localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(listen(text), Ok("127.0.0.1:8080".parse().unwrap()), "{text}");
        }
        assert_eq!(listen("[::1]:80"), Ok("[::1]:80".parse().unwrap()));
        for text in [":9000", "*:9000", "example.org:9000"] {
            assert!(listen(text).unwrap_err().contains("0.0.0.0:9000"), "{text}");
        }
        for text in ["", "x", "80808"] {
            assert!(listen(text).unwrap_err().contains("127.0.0.1:8080"), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_port_or_brackets_is_told_as_it_may_be_meant() {
        for (text, meant) in [
            ("::1", "[::1]:8080"),
            ("[::1]", "[::1]:8080"),
            ("::", "[::]:8080"),
            ("::1:9000", "[::1]:9000"),
            ("2001:db8::a", "[2001:db8::a]:8080"),
            ("1.2.3.4", "1.2.3.4:8080"),
        ] {
            let said = listen(text).unwrap_err();
            assert!(said.contains(&format!("write {meant}:")), "{text}: {said}");
            assert!(listen(meant).is_ok());
        }
    }

    #[test]
    fn an_address_without_its_scheme_is_the_servers() {
        for text in [
            "127.0.0.1:8080",
            "8080",
            ":8080",
            "http://127.0.0.1:8080",
            "ws://127.0.0.1:8080",
        ] {
            assert_eq!(url(text).as_deref(), Ok("ws://127.0.0.1:8080"), "{text}");
        }
        assert_eq!(
            url("events.local:80/base/").as_deref(),
            Ok("ws://events.local:80/base/")
        );
        for text in ["wss://x:1", "https://x:1"] {
            assert_eq!(url(text).as_deref(), Ok("wss://x:1"), "{text}");
        }
        for text in ["[::1]:8080", "[::1]", "events.local"] {
            assert_eq!(url(text), Ok(format!("ws://{text}")), "{text}");
        }
        for text in ["99999", "ws://127.0.0.1:99999", "[::1]:70000", "host:", "unix:/tmp/x"] {
            assert!(url(text).unwrap_err().contains("up to 65535"), "{text}");
        }
        for text in ["ws://user:password@host", "user@host:80", "wss://:x@[::1]:8080/base"] {
            let said = url(text).unwrap_err();
            assert!(
                said.contains("give a token") && !said.contains("x@") && !said.contains("user:"),
                "{said}"
            );
        }
        for text in ["", "ftp://x", "ws://", "a b"] {
            assert!(url(text).unwrap_err().contains("ws://host:8080"), "{text}");
        }
    }

    #[test]
    fn who_comes_is_hidden_and_where_to_is_not() {
        for (text, told) in [
            ("ws://user:password@host:1", "ws://…@host:1"),
            ("user:password@host", "…@host"),
            ("ws://user:p/ss@w@rd@host", "ws://…@host"),
            ("ws://host:8080/base", "ws://host:8080/base"),
            ("99999", "99999"),
        ] {
            assert_eq!(without_user(text), told);
        }
    }

    #[test]
    fn an_origin_is_taken_as_browsers_write_it() {
        for (text, sent) in [
            ("https://app.example", "https://app.example"),
            ("https://App.example/", "https://app.example"),
            ("https://app.example:443", "https://app.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            assert_eq!(origin(text).as_deref(), Ok(sent), "{text}");
        }
        for text in [
            "",
            "*",
            "app.example",
            "app.example:443",
            "https://",
            "https://app.example/page",
            "https://app.example?x",
            "https://u@app.example",
            "https://app.example:99999",
            "https://*.example x",
        ] {
            assert!(origin(text).unwrap_err().contains("https://app.example"), "{text}");
        }
    }
}
