//! Tokens: minted with every kind of key, and never written where others read.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::program::{Served, streamkit, text};

/// A key that the server's tests have, too.
fn key(file: &str) -> String {
    format!("{}/../server/tests/keys/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn mint(file: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = streamkit();
    command
        .args(["token", "--store", "*", "--jwt-key-file", file])
        .args(more);
    let done = command.output().unwrap();
    (
        done.status.code(),
        text(&done.stdout).trim().to_owned(),
        text(&done.stderr),
    )
}

fn decoded(token: &str, part: usize) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(part).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn a_token_is_signed_with_each_kind_of_key_and_says_what_it_was_told() {
    for (file, more, algorithm) in [
        ("rsa-pkcs8.pem", &[][..], "RS256"),
        ("rsa.jwk", &["--algorithm", "PS512"], "PS512"),
        ("p256-sec1.pem", &[], "ES256"),
        ("p384.jwk", &[], "ES384"),
        ("ed25519-pkcs8.pem", &[], "EdDSA"),
    ] {
        let (code, token, said) = mint(&key(file), more);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(decoded(&token, 0)["alg"], algorithm);
    }
    let more = [
        "--key-id",
        "mine",
        "--audience",
        "a",
        "--audience",
        "b",
        "--issuer",
        "me",
        "--subject",
        "you",
        "--read-only",
    ];
    let (_, token, said) = mint(&key("p256-sec1.pem"), &more);
    assert_eq!(decoded(&token, 0)["kid"], "mine", "{said}");
    let claims = decoded(&token, 1);
    assert_eq!(claims["aud"], serde_json::json!(["a", "b"]));
    assert_eq!((&claims["iss"], &claims["sub"]), (&"me".into(), &"you".into()));
    assert_eq!(claims["scopes"], serde_json::json!(["streamkit::*:read"]));
    for (file, more, why) in [
        ("p256-public.pem", &[][..], "only checks tokens"),
        ("p256.jwk", &["--key-id", "other"], "no key that signs"),
        ("p256.jwk", &["--algorithm", "ES384"], "does not sign with ES384"),
        ("rsa.jwk", &["--algorithm", "HS256"], "none of these"),
        ("rsa-1024-public.pem", &[], "1024 bits"),
    ] {
        let (code, token, said) = mint(&key(file), more);
        assert!(
            code == Some(1) && token.is_empty() && said.contains(why),
            "{file}: {said}"
        );
    }
}

#[test]
fn no_token_that_a_server_was_given_stands_in_its_log_or_its_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start_with(dir.path(), &[("STREAMKIT_LOG", "trace")]);
    assert!(served.run(&["spaces"]).status.success());
    let address = served.url.trim_start_matches("ws://").to_owned();
    let ask = |path: &str, headers: &str| {
        let mut tcp = TcpStream::connect(&address).unwrap();
        write!(
            tcp,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    };
    let (_, forged, _) = mint(&key("p256.jwk"), &[]);
    let good = &served.token;
    for headers in [
        format!("Authorization: Bearer {good}\r\n"),
        format!("Authorization: Bearer {forged}\r\n"),
        format!("Authorization: Bearer {good}\r\nAuthorization: Bearer {forged}\r\n"),
        format!("Cookie: app_token={good}\r\n"),
        format!("Sec-WebSocket-Protocol: streamkit.v1, bearer.{forged}\r\n"),
        format!("Sec-WebSocket-Protocol: bearer.{good}\r\n"),
    ] {
        for path in ["/streamz", "/backup"] {
            let answer = ask(path, &headers);
            assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
        }
    }
    served.wait_for_log("was not let in");
    let metrics = ask("/metrics", "");
    assert!(
        metrics.contains("streamkit_tokens_refused_total{reason=\"algorithm\"}"),
        "{metrics}"
    );
    let told = format!("{}{metrics}", served.log());
    for token in [good, &forged] {
        for part in token.split('.').skip(1) {
            assert!(!told.contains(part), "{told}");
        }
    }
}
