//! Forged tokens, and issuers that answer badly or not at all. Each time somebody else is unharmed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use streamkit_engine::StoreId;
use streamkit_protocol::Terminal;
use streamkit_server_core::{Algorithm, Key, Keys, KeysConfig};
use tokio_tungstenite::tungstenite::Error;
use uuid::Uuid;

use crate::handshake::get;
use crate::issuers::*;
use crate::peer::*;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_millis(30);

/// The status with which it is not let in.
async fn status(host: &Host, token: &str) -> u16 {
    match host.connect_with(token).await {
        Err(Error::Http(answer)) => answer.status().as_u16(),
        Ok(_) => 101,
        Err(other) => panic!("{other}"),
    }
}

/// One that believes the public keys of these files.
async fn host_of(files: &[&str]) -> Host {
    let mut config = KeysConfig::default();
    config.files = files
        .iter()
        .map(|file| format!("{}/tests/keys/{file}", env!("CARGO_MANIFEST_DIR")).into())
        .collect();
    Host::letting_in(Keys::open(config).unwrap()).await
}

fn part(json: serde_json::Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

#[tokio::test]
async fn unsigned_tokens_and_those_signed_with_a_public_key_as_a_secret_are_refused() {
    let host = host_of(&["rsa-public.pem", "p256-public.pem", "ed25519-public.pem"]).await;
    let mut other = host.connect_with(&token_of(&signer("p256.jwk", None))).await.unwrap();
    let claims = part(json!({"exp": 4_102_444_800_u64, "scopes": ["streamkit::*"]}));
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let token = format!("{}.{claims}.", part(json!({"alg": alg, "typ": "JWT"})));
        assert_eq!(status(&host, &token).await, 401, "{alg}");
    }
    assert_eq!(refused_for(&host, "algorithm").await, 5.0);
    for file in ["rsa-public.pem", "p256-public.pem", "ed25519-public.pem"] {
        let pem = String::from_utf8(read_key(file)).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(&body).unwrap();
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), body.as_bytes(), &der] {
            for name in ["HS256", "HS384", "HS512"] {
                let key = jsonwebtoken::EncodingKey::from_secret(secret);
                let header = jsonwebtoken::Header::new(name.parse().unwrap());
                let claims = json!({"exp": 4_102_444_800_u64, "scopes": ["streamkit::*"]});
                let token = jsonwebtoken::encode(&header, &claims, &key).unwrap();
                assert_eq!(status(&host, &token).await, 401, "{file} {name}");
            }
        }
    }
    assert_eq!(refused_for(&host, "algorithm").await, 5.0 + 36.0);
    other.answers_ping().await;
    host.stop().await;
}

#[tokio::test]
async fn a_kid_is_a_name_and_never_a_place() {
    let set = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, HOUR))).await;
    let good = token_of(&signer("p256.jwk", None));
    let mut other = host.connect_with(&good).await.unwrap();
    let attacker = Key::hs256(&[0; 31].iter().chain(&[1]).copied().collect::<Vec<_>>()).unwrap();
    for kid in [
        "../../../../dev/null",
        "/dev/zero",
        "/proc/self/environ",
        "' OR 1=1 --",
        "p256' UNION SELECT 'secret",
        "http://evil.example/key",
        "p256\0",
        "P256",
        "",
        "$(touch /tmp/x)",
        &"k".repeat(8000),
    ] {
        for key in [&attacker, &signer("p384.jwk", None)] {
            let token = token_with(key, |minting| minting.key_id = Some(kid.to_owned()));
            assert_eq!(status(&host, &token).await, 401, "{kid}");
        }
    }
    assert_eq!(refused_for(&host, "kid").await, 22.0);
    assert_eq!(set.asked(), 1, "the set was fetched a moment ago");
    other.answers_ping().await;
    assert_eq!(status(&host, &good).await, 101);
    host.stop().await;
}

#[tokio::test]
async fn a_token_without_an_end_of_its_length_costs_its_sender_alone() {
    let host = Host::start().await;
    let mut other = host.connect().await;
    for bytes in [10_000, 20_000, 100_000, 1 << 20] {
        let head = format!("Authorization: Bearer {}\r\n", "a".repeat(bytes));
        let address = host.url.trim_start_matches("ws://");
        let mut tcp = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /streamz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
        // The server may have answered, and left, before it has all of it.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut tcp, request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = tokio::io::AsyncReadExt::read_to_end(&mut tcp, &mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{bytes}: {answer}"
        );
        other.answers_ping().await;
    }
    assert!(refused_for(&host, "malformed").await >= 2.0);
    host.stop().await;
}

#[tokio::test]
async fn a_token_is_good_as_often_as_it_is_shown_until_it_expires() {
    let host = Host::start().await;
    let mut other = host.connect().await;
    let key = Key::hs256(SECRET).unwrap();
    let short = token_with(&key, |minting| minting.ttl = Duration::from_secs(2));
    assert_eq!(status(&host, &short).await, 101);
    assert_eq!(status(&host, &short).await, 101);
    while status(&host, &short).await == 101 {
        tokio::time::sleep(SOON).await;
    }
    for _ in 0..5 {
        assert_eq!(status(&host, &short).await, 401);
    }
    assert!(refused_for(&host, "expired").await >= 6.0);
    other.answers_ping().await;
    host.stop().await;
}

#[tokio::test]
async fn no_spelling_of_a_scope_opens_another_store() {
    let host = Host::start().await;
    let mut other = host.connect().await;
    let (mine, theirs) = (STORE, Uuid::from_u128(STORE.as_u128() ^ 1));
    for spelled in [
        mine.to_string(),
        mine.to_string().to_uppercase(),
        mine.simple().to_string(),
        mine.braced().to_string(),
        mine.urn().to_string(),
    ] {
        for (suffix, writes) in [("", true), (":read", false), (":write", true), (":write:read", true)] {
            let token = token(&[&format!("streamkit::{spelled}{suffix}")]);
            let mut peer = host.connect_with(&token).await.unwrap();
            let head = peer.open_in(theirs, &produce("s", "a")).await;
            assert_eq!(peer.frame().await.unwrap().channel_id, head.channel_id, "{spelled}");
            peer.answers_ping().await;
            let end = match writes {
                true => peer.produce("s", &format!("{spelled}{suffix}"), &[&record(1)]).await.1,
                false => peer.call(&produce("s", "a")).await.1,
            };
            assert_eq!(end == Terminal::Close, writes, "{spelled}{suffix} {end:?}");
        }
    }
    for wrong in [
        format!("streamkit::{mine}/../*"),
        format!("streamkit::{mine}\u{200b}"),
        format!("streamkit::{mine} "),
        format!("streamkit::{mine},streamkit::*x"),
        format!("streamkit::{mine}:admin"),
        "streamkit::**".to_owned(),
        "streamkit::% ".to_owned(),
    ] {
        assert_eq!(status(&host, &token(&[&wrong])).await, 401, "{wrong}");
    }
    let opened: Vec<StoreId> = streamkit_engine::backup::Source::stores(&*source(&host)).unwrap();
    assert!(opened.iter().all(|store| store.0 == mine), "{opened:?}");
    other.answers_ping().await;
    host.stop().await;
}

fn source(host: &Host) -> std::sync::Arc<dyn streamkit_engine::backup::Source> {
    streamkit_engine::Stores::backup(&host.engine).unwrap()
}

/// Answers of which none is a set.
fn bad_answers() -> Vec<(&'static str, Answer)> {
    let secret = json!({"kty": "oct", "k": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE"});
    let many: Vec<_> = (0..101).map(|_| public("p256.jwk")).collect();
    vec![
        ("garbage", Answer::Set("<html>sign in</html>".to_owned())),
        ("no JSON object", Answer::Set("[]".to_owned())),
        ("empty", Answer::Set("{\"keys\":[]}".to_owned())),
        ("a single key", Answer::Set(public("p384.jwk").to_string())),
        ("deep", Answer::Set("[".repeat(100_000))),
        ("secrets", Answer::Set(json!({ "keys": [secret] }).to_string())),
        ("too many", Answer::Set(json!({ "keys": many }).to_string())),
        (
            "of no use",
            Answer::Set(json!({"keys": [5, null, {"kty": "AKP"}]}).to_string()),
        ),
        ("500", Answer::Status("500 Internal Server Error")),
        ("204", Answer::Status("204 No Content")),
        ("no HTTP", Answer::Raw(b"SSH-2.0-OpenSSH_9.9\r\n".to_vec())),
        (
            "cut off",
            Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"keys\":[".to_vec()),
        ),
        ("nothing", Answer::Raw(Vec::new())),
        ("endless", Answer::Endless(64 << 20)),
        ("to http", Answer::Redirect("http://127.0.0.1:9/jwks.json".to_owned())),
        ("silent", Answer::Silence),
    ]
}

#[tokio::test]
async fn no_bad_answer_of_an_issuer_replaces_its_keys() {
    let set = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, SOON, Duration::ZERO))).await;
    let good = token_of(&signer("p256.jwk", None));
    let mut other = host.connect_with(&good).await.unwrap();
    for (what, answer) in bad_answers() {
        set.now_answers(answer);
        let (asked, failed) = (
            set.asked(),
            metric(&host, "streamkit_key_set_fetches_failed_total").await,
        );
        set.was_asked(asked + 2).await;
        while metric(&host, "streamkit_key_set_fetches_failed_total").await <= failed {
            tokio::time::sleep(SOON).await;
        }
        assert_eq!(status(&host, &good).await, 101, "{what}");
        other.answers_ping().await;
    }
    assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200 "));
    assert!(metric(&host, "streamkit_key_set_age_seconds").await > 0.0);
    // A secret that the issuer published is none: everybody could sign with it.
    let published = Key::hs256(&[b'A'; 32]).unwrap();
    assert_eq!(status(&host, &token_of(&published)).await, 401);
    set.now_answers(Answer::Set(crate::issuers::set(&["p384.jwk"])));
    let next = token_of(&signer("p384.jwk", None));
    while status(&host, &next).await != 101 {
        tokio::time::sleep(SOON).await;
    }
    assert_eq!(status(&host, &good).await, 401);
    host.stop().await;
}

#[tokio::test]
async fn before_there_was_a_set_tokens_of_the_issuer_are_put_off_and_others_are_not() {
    let set = Publisher::start(Answer::Status("503 Service Unavailable")).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("key"), [b'a'; 32]).unwrap();
    let mut config = KeysConfig::default();
    config.issuer = Some(issuer(&set.url, SOON, HOUR));
    let alone = Host::letting_in(Keys::open(config.clone()).unwrap()).await;
    config.files = vec![dir.path().join("key")];
    let host = Host::letting_in(Keys::open(config).unwrap()).await;
    let (own, theirs) = (
        token_of(&Key::hs256(&[b'a'; 32]).unwrap()),
        token_of(&signer("p256.jwk", None)),
    );
    assert_eq!((status(&host, &own).await, status(&host, &theirs).await), (101, 503));
    assert_eq!((status(&alone, &own).await, status(&alone, &theirs).await), (503, 503));
    assert_eq!(status(&alone, "garbage").await, 401);
    assert!(refused_for(&host, "unavailable").await >= 1.0);
    assert!(get(&host, "/readyz", "").await.starts_with("HTTP/1.1 200 "));
    let ready = get(&alone, "/readyz", "").await;
    assert!(ready.starts_with("HTTP/1.1 503 ") && ready.contains("keys"), "{ready}");
    set.now_answers(Answer::Set(crate::issuers::set(&["p256.jwk"])));
    for host in [&host, &alone] {
        while status(host, &theirs).await != 101 {
            tokio::time::sleep(SOON).await;
        }
        assert!(get(host, "/readyz", "").await.starts_with("HTTP/1.1 200 "));
    }
    host.stop().await;
    alone.stop().await;
}

#[tokio::test]
async fn an_issuer_that_rotates_is_asked_once_and_nobody_is_refused() {
    let set = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, Duration::ZERO))).await;
    let old = token_of(&signer("p256.jwk", None));
    assert_eq!(status(&host, &old).await, 101);
    set.now_answers(Answer::Set(crate::issuers::set(&["p256.jwk", "p384.jwk"])));
    let next = token_of(&signer("p384.jwk", None));
    let calls = (0..20).map(|_| status(&host, &next));
    assert_eq!(futures_util::future::join_all(calls).await, [101; 20]);
    assert_eq!(status(&host, &old).await, 101);
    // Those who came while it was fetched shared that fetch.
    assert!(set.asked() <= 4, "{}", set.asked());
    host.stop().await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once_and_shuts_nobody_out() {
    let set = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, SOON))).await;
    let good = token_of(&signer("p256.jwk", None));
    assert_eq!(status(&host, &good).await, 101);
    tokio::time::sleep(SOON * 2).await;
    // The issuer hangs, and everybody who names an unknown key would wait for it.
    set.now_answers(Answer::Silence);
    let forger = signer("p384.jwk", None);
    let forged = |n: u32| token_with(&forger, |minting| minting.key_id = Some(format!("forged-{n}")));
    let forged: Vec<String> = (0..100).map(forged).collect();
    let flood = futures_util::future::join_all(forged.iter().map(|token| status(&host, token)));
    let honest = async {
        set.was_asked(2).await;
        for _ in 0..50 {
            assert_eq!(status(&host, &good).await, 101);
        }
    };
    let (flood, ()) = tokio::join!(flood, honest);
    assert!(flood.iter().all(|status| [401, 503].contains(status)), "{flood:?}");
    assert!(set.asked() <= 3, "{}", set.asked());
    host.stop().await;
}

#[tokio::test]
async fn an_issuer_whose_keys_are_for_all_of_rsa_is_believed_for_one_algorithm() {
    let set = Publisher::start(Answer::Set(set(&["rsa.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, HOUR))).await;
    let all = [Algorithm::RS256, Algorithm::RS512, Algorithm::PS256];
    let key = Key::parse(&read_key("rsa.jwk"), &all).unwrap().remove(0);
    for (algorithm, told) in all.into_iter().zip([101, 401, 401]) {
        let token = token_with(&key, |minting| minting.algorithm = Some(algorithm));
        assert_eq!(status(&host, &token).await, told, "{algorithm}");
    }
    host.stop().await;
}

/// Nobody can say then whether a token with an unknown `kid` is right, and whoever is told 401 gives up.
#[tokio::test]
async fn while_the_issuer_is_away_a_token_of_a_key_that_may_be_new_is_put_off() {
    let set = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, HOUR))).await;
    let (good, next) = (token_of(&signer("p256.jwk", None)), token_of(&signer("p384.jwk", None)));
    assert_eq!(status(&host, &good).await, 101);
    assert_eq!(status(&host, &next).await, 401, "it was fetched a moment ago");
    host.stop().await;
    let host = Host::letting_in(keys_of(issuer(&set.url, HOUR, Duration::ZERO))).await;
    assert_eq!(status(&host, &good).await, 101);
    set.now_answers(Answer::Status("500 Internal Server Error"));
    for _ in 0..3 {
        assert_eq!(status(&host, &next).await, 503);
        assert_eq!(status(&host, &good).await, 101);
    }
    set.now_answers(Answer::Set(crate::issuers::set(&["p384.jwk"])));
    while status(&host, &next).await != 101 {
        tokio::time::sleep(SOON).await;
    }
    host.stop().await;
}
