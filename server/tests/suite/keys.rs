//! Several keys at a time, and keys that change under a server.

use std::path::Path;
use std::time::Duration;

use streamkit_server_core::{AccessError, Algorithm, Key, Keys, KeysConfig, Minting, TokenFault};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::handshake::get;
use crate::issuers::*;
use crate::peer::*;

const LOOK: Duration = Duration::from_millis(20);

fn key_of(byte: u8) -> Key {
    Key::hs256(&[byte; 32]).unwrap()
}

fn write(dir: &Path, name: &str, byte: u8) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, [byte; 32]).unwrap();
    path
}

fn keys(files: &[&Path]) -> Keys {
    let mut config = KeysConfig::default();
    config.files = files.iter().map(|file| (*file).to_owned()).collect();
    config.look = LOOK;
    Keys::open(config).unwrap()
}

async fn until_told(keys: &Keys, token: &str, wanted: Option<TokenFault>) {
    let told = async {
        loop {
            let now = match keys.access(token).await {
                Ok(_) => None,
                Err(AccessError::Unknown(fault)) => Some(fault),
                Err(other) => panic!("{other}"),
            };
            if now == wanted {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn keys_rotate_by_files_without_one_refused_call() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (write(dir.path(), "old", b'a'), write(dir.path(), "new", b'a'));
    let keys = keys(&[&new, &old]);
    let host = Host::letting_in(keys.clone()).await;
    let mut session = host.connect_with(&token_of(&key_of(b'a'))).await.unwrap();
    // The new key is there before anybody signs with it, and the old one stays until its tokens are gone.
    write(dir.path(), "new", b'b');
    until_told(&keys, &token_of(&key_of(b'b')), None).await;
    for byte in *b"abab" {
        let mut peer = host.connect_with(&token_of(&key_of(byte))).await.unwrap();
        peer.answers_ping().await;
    }
    write(dir.path(), "old", b'b');
    until_told(&keys, &token_of(&key_of(b'a')), Some(TokenFault::Signature)).await;
    assert!(host.connect_with(&token_of(&key_of(b'b'))).await.is_ok());
    // Who is in stays in.
    session.answers_ping().await;
    assert_eq!(metric(&host, "streamkit_keys").await, 2.0);
    host.stop().await;
}

#[tokio::test]
async fn a_broken_or_missing_file_keeps_the_keys_that_it_had_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "key", b'a');
    let keys = keys(&[&file]);
    let host = Host::letting_in(keys.clone()).await;
    let broken = [
        b"".as_slice(),
        b"short",
        b"-----BEGIN PUBLIC KEY-----\n",
        b"{\"keys\":[]}",
    ];
    for content in broken {
        std::fs::write(&file, content).unwrap();
        while metric(&host, "streamkit_key_files_broken").await < 1.0 {
            tokio::time::sleep(LOOK).await;
        }
        host.connect_with(&token_of(&key_of(b'a'))).await.unwrap();
        assert!(keys.reload().unwrap_err().to_string().contains("the key file"));
        write(dir.path(), "key", b'a');
        keys.reload().unwrap();
        assert_eq!(metric(&host, "streamkit_key_files_broken").await, 0.0);
    }
    std::fs::remove_file(&file).unwrap();
    while metric(&host, "streamkit_key_files_broken").await < 1.0 {
        tokio::time::sleep(LOOK).await;
    }
    host.connect_with(&token_of(&key_of(b'a'))).await.unwrap();
    write(dir.path(), "key", b'c');
    until_told(&keys, &token_of(&key_of(b'c')), None).await;
    host.stop().await;
}

#[tokio::test]
async fn a_file_that_comes_back_as_it_was_is_no_longer_broken() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "key", b'a');
    let keys = keys(&[&file]);
    let host = Host::letting_in(keys.clone()).await;
    for reloads in [false, true] {
        std::fs::remove_file(&file).unwrap();
        if reloads {
            keys.reload().unwrap_err();
        }
        until_broken(&host, 1.0).await;
        write(dir.path(), "key", b'a');
        until_broken(&host, 0.0).await;
    }
    host.stop().await;
}

#[tokio::test]
async fn what_took_the_place_of_a_file_and_is_none_is_told_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "key", b'a');
    let keys = keys(&[&file]);
    let host = Host::letting_in(keys.clone()).await;
    let place: [fn(&Path); 2] = [
        |file| std::fs::create_dir(file).unwrap(),
        |file| {
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(file)
                    .status()
                    .unwrap()
                    .success()
            )
        },
    ];
    for put in place {
        std::fs::remove_file(&file).unwrap();
        put(&file);
        until_broken(&host, 1.0).await;
        let why = keys.reload().unwrap_err().to_string();
        assert!(why.contains("it is no file any more"), "{why}");
        keys.access(&token_of(&key_of(b'a'))).await.unwrap();
        std::fs::remove_dir(&file)
            .or_else(|_| std::fs::remove_file(&file))
            .unwrap();
        write(dir.path(), "key", b'a');
        until_broken(&host, 0.0).await;
    }
    host.stop().await;
}

async fn until_broken(host: &Host, files: f64) {
    let told = async {
        while metric(host, "streamkit_key_files_broken").await != files {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap();
}

#[tokio::test]
async fn reload_reads_at_once_and_a_broken_file_holds_no_other_back() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (write(dir.path(), "one", b'a'), write(dir.path(), "two", b'b'));
    let mut config = KeysConfig::default();
    config.files = vec![one.clone(), two];
    config.look = Duration::from_secs(3600);
    let keys = Keys::open(config).unwrap();
    std::fs::write(&one, "short").unwrap();
    write(dir.path(), "two", b'c');
    let why = keys.reload().unwrap_err().to_string();
    assert!(why.contains(&*one.to_string_lossy()), "{why}");
    for (byte, told) in [(b'a', None), (b'c', None), (b'b', Some(TokenFault::Signature))] {
        until_told(&keys, &token_of(&key_of(byte)), told).await;
    }
}

#[tokio::test]
async fn there_are_no_keys_without_a_file_or_with_one_that_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Keys::open(KeysConfig::default()).is_err());
    let mut config = KeysConfig::default();
    config.set_files = vec![write(dir.path(), "secret", b'a')];
    let why = Keys::open(config).err().unwrap().to_string();
    assert!(why.contains("no set"), "{why}");
    let mut config = KeysConfig::default();
    config.files = vec![dir.path().join("none")];
    let why = Keys::open(config).err().unwrap().to_string();
    assert!(why.contains("cannot be read"), "{why}");
}

#[tokio::test]
async fn a_kid_chooses_among_keys_that_have_one_and_nothing_among_those_that_have_none() {
    let dir = tempfile::tempdir().unwrap();
    let set_file = dir.path().join("set");
    std::fs::write(&set_file, set(&["p256.jwk", "p384.jwk"])).unwrap();
    let plain = write(dir.path(), "plain", b'a');
    let mut config = KeysConfig::default();
    (config.files, config.set_files) = (vec![plain], vec![set_file]);
    let keys = Keys::open(config).unwrap();
    let p256 = signer("p256.jwk", None);
    for (key, id, told) in [
        (&p256, Some("p256"), None),
        // None says nothing.
        (&p256, None, None),
        // A wrong one leads to a wrong key, or to none: what those without an id say to it tells nothing.
        (&p256, Some("p384"), Some(TokenFault::Algorithm)),
        (&p256, Some("other"), Some(TokenFault::KeyId)),
        (&key_of(b'a'), Some("anything"), None),
        (&key_of(b'a'), None, None),
    ] {
        let token = match id {
            Some(id) => token_with(key, |minting| minting.key_id = Some(id.to_owned())),
            None => token_of(&Key::parse(&read_key_of(key), &Algorithm::UNSAID).unwrap()[0]),
        };
        until_told(&keys, &token, told).await;
    }
}

#[tokio::test]
async fn a_key_without_an_id_hides_no_new_key_of_an_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let published = Publisher::start(Answer::Set(set(&["p256.jwk"]))).await;
    let mut config = KeysConfig::default();
    config.files = vec![write(dir.path(), "plain", b'a')];
    config.issuer = Some(issuer(&published.url, Duration::from_secs(3600), Duration::ZERO));
    let keys = Keys::open(config).unwrap();
    keys.access(&token_of(&signer("p256.jwk", None))).await.unwrap();
    published.now_answers(Answer::Set(set(&["p384.jwk"])));
    keys.access(&token_of(&signer("p384.jwk", None))).await.unwrap();
}

/// The same key without an id.
fn read_key_of(key: &Key) -> Vec<u8> {
    match key.id() {
        Some(_) => read_key("p256-pkcs8.pem"),
        None => vec![b'a'; 32],
    }
}

#[tokio::test]
async fn audience_and_issuer_keep_out_tokens_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = KeysConfig::default();
    config.files = vec![write(dir.path(), "key", b'a')];
    config.rules.audiences = vec!["streams".to_owned()];
    config.rules.issuers = vec!["https://issuer.example".to_owned()];
    let host = Host::letting_in(Keys::open(config).unwrap()).await;
    let token = |audience: &str, issuer: &str| {
        token_with(&key_of(b'a'), |minting: &mut Minting| {
            minting.audiences = vec!["else".to_owned(), audience.to_owned()];
            minting.issuer = Some(issuer.to_owned());
        })
    };
    host.connect_with(&token("streams", "https://issuer.example"))
        .await
        .unwrap();
    for (token, reason) in [
        (token("mail", "https://issuer.example"), "audience"),
        (token("streams", "https://other.example"), "issuer"),
    ] {
        assert!(matches!(host.connect_with(&token).await, Err(Error::Http(answer)) if answer.status() == 401));
        assert_eq!(refused_for(&host, reason).await, 1.0, "{reason}");
    }
    host.stop().await;
}

#[tokio::test]
async fn a_browser_brings_its_token_as_a_subprotocol_and_is_answered_the_other_one() {
    let host = Host::start().await;
    let good = token(&["streamkit::*"]);
    let connect = async |offered: String| {
        let mut request = format!("{}/streamz", host.url).into_client_request().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", offered.parse().unwrap());
        tokio_tungstenite::connect_async(request).await
    };
    for offered in [
        format!("streamkit.v1, bearer.{good}"),
        format!("bearer.{good},x,streamkit.v1"),
    ] {
        let (_, answer) = connect(offered).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "streamkit.v1");
    }
    for (offered, status) in [
        (format!("bearer.{good}"), 400),
        (format!("streamkit.v1, bearer.{good}, bearer.{good}"), 400),
        (format!("streamkit.v1, bearer.{good}x"), 401),
        ("streamkit.v1".to_owned(), 401),
    ] {
        match connect(offered.clone()).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), status, "{offered}"),
            other => panic!("{offered}: {other:?}"),
        }
    }
    let both = format!("Authorization: Bearer {good}\r\nSec-WebSocket-Protocol: streamkit.v1, bearer.{good}\r\n");
    assert!(get(&host, "/streamz", &both).await.starts_with("HTTP/1.1 400 "));
    assert_eq!(refused_for(&host, "unclear").await, 3.0);
    host.stop().await;
}

#[tokio::test]
async fn a_cookie_counts_only_where_that_is_allowed_and_from_a_page_of_this_host() {
    let dir = tempfile::tempdir().unwrap();
    let good = token_of(&key_of(b'a'));
    for cookies in [false, true] {
        let mut config = KeysConfig::default();
        config.files = vec![write(dir.path(), "key", b'a')];
        config.cookies = cookies;
        let host = Host::letting_in(Keys::open(config).unwrap()).await;
        let page = host.url.replace("ws://", "http://");
        let cookie = format!("Cookie: theme=dark; app_token={good}\r\n");
        let own = get(&host, "/backup", &format!("{cookie}Origin: {page}\r\n")).await;
        let status = if cookies { "HTTP/1.1 200 " } else { "HTTP/1.1 401 " };
        assert!(own.starts_with(status), "{own}");
        for foreign in ["Origin: http://evil.example\r\n", "Origin: null\r\n", ""] {
            let answer = get(&host, "/backup", &format!("{cookie}{foreign}")).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
        let (reason, count) = if cookies { ("origin", 3.0) } else { ("missing", 4.0) };
        assert_eq!(refused_for(&host, reason).await, count);
        // Not allowed, it is as if it were not there.
        let twice = get(&host, "/backup", &format!("{cookie}Authorization: Bearer {good}\r\n")).await;
        let status = if cookies { "HTTP/1.1 400 " } else { "HTTP/1.1 200 " };
        assert!(twice.starts_with(status), "{twice}");
        host.stop().await;
    }
}
