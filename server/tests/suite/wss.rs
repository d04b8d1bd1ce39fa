//! Our client over TLS.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::TryStreamExt as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use streamkit_client::{Builder, Client, ConsumeSegment, Entry, Error, RetryPolicy, Tls, TlsError};
use streamkit_server_core::{ClientCertificates, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::{Authority, Folder, Pair, Secure};
use crate::peer::{STORE, token};
use crate::served::client::records;

fn trusting(secure: &Secure, authority: &Authority) -> Tls {
    let file = secure.folder.file("trusted.pem", &authority.pem());
    Tls::default().trust_file(file).unwrap()
}

fn showing(secure: &Secure, tls: Tls, pair: &Pair) -> Result<Tls, TlsError> {
    let certificate = secure.folder.file("shown.pem", &pair.certificate);
    tls.show_files(certificate, secure.folder.file("shown.key", &pair.key))
}

fn client(secure: &Secure, tls: Tls) -> Builder {
    at(&format!("wss://{}", secure.address), tls)
}

fn at(url: &str, tls: Tls) -> Builder {
    Client::builder(url).tls(tls).token(token(&["streamkit::*"]))
}

/// Why a client does not get in. It does not try again.
async fn refused(client: Builder) -> TlsError {
    let dials = Arc::new(AtomicU32::new(0));
    let failed = dials.clone();
    let client = client.retry(RetryPolicy::AGGRESSIVE).on_dial_failed(move |_| {
        failed.fetch_add(1, Ordering::Relaxed);
    });
    let error = client.build().connect().await.unwrap_err();
    assert_eq!(dials.load(Ordering::Relaxed), 1, "{error}");
    assert!(!error.is_transient() && error.is_not_stored());
    match error {
        Error::Tls { why, .. } => why,
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_servers_authority_has_all_it_has_without_tls() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let store = client(&secure, trusting(&secure, &authority)).build().store(STORE);
    store.produce_all("s", "a", 1, records(25_000)).await.unwrap();
    let entries: Vec<Entry> = store
        .consume_segment(ConsumeSegment::all("s", "a"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(entries.len(), 25_000);
    // By name, too.
    let (_, port) = secure.address.split_once(':').unwrap();
    let named = at(&format!("wss://localhost:{port}/"), trusting(&secure, &authority));
    assert_eq!(
        named
            .build()
            .store(STORE)
            .peek("s", "a")
            .await
            .unwrap()
            .unwrap()
            .sequence,
        25_000
    );
}

#[tokio::test]
async fn a_connection_that_was_lost_is_made_anew_with_the_certificate_of_then() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let reconnected = Arc::new(AtomicU32::new(0));
    let count = reconnected.clone();
    let client = client(&secure, trusting(&secure, &authority)).on_reconnected(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let client = client.build();
    client.connect().await.unwrap();
    let (folder, host, address) = (secure.folder, secure.host, secure.address);
    folder.write(&authority.server());
    host.stop().await;
    let host = crate::peer::Host::start().await;
    let (server, certificates) = (host.server.clone(), folder.open().unwrap());
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move { server.serve_tls(listener, certificates).await });
    assert_eq!(client.store(STORE).peek("s", "a").await.unwrap(), None);
    assert_eq!(reconnected.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_servers_certificate_is_told_by_its_kind() {
    let (authority, other) = (Authority::new(), Authority::new());
    let secure = Secure::start(&authority.server()).await;
    assert_eq!(refused(client(&secure, Tls::default())).await, TlsError::UnknownIssuer);
    assert_eq!(
        refused(client(&secure, trusting(&secure, &other))).await,
        TlsError::UnknownIssuer
    );
    let (_, port) = secure.address.split_once(':').unwrap();
    let named = at(&format!("wss://127.0.0.2:{port}"), trusting(&secure, &authority));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.2:{port}"))
        .await
        .unwrap();
    let (server, certificates) = (secure.host.server.clone(), secure.certificates.clone());
    tokio::spawn(async move { server.serve_tls(listener, certificates).await });
    let why = refused(named).await;
    assert!(
        matches!(&why, TlsError::OtherName(why) if why.contains("127.0.0.2")),
        "{why}"
    );

    let secure = Secure::start(&authority.server_until(2020)).await;
    assert_eq!(
        refused(client(&secure, trusting(&secure, &authority))).await,
        TlsError::Expired
    );
    let secure = Secure::start(&authority.server_from(2060)).await;
    assert_eq!(
        refused(client(&secure, trusting(&secure, &authority))).await,
        TlsError::NotYetGood
    );
    // As a client's certificate is none of a server.
    let secure = Secure::start(&authority.client()).await;
    let why = refused(client(&secure, trusting(&secure, &authority))).await;
    assert!(
        matches!(why, TlsError::BadCertificate(_) | TlsError::OtherName(_)),
        "{why:?}"
    );
}

#[tokio::test]
async fn an_authoritys_own_certificate_is_told_as_what_it_is() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.itself()).await;
    let why = refused(client(&secure, trusting(&secure, &authority))).await;
    assert_eq!(why, TlsError::IsAuthority);
}

#[tokio::test]
async fn an_authority_that_has_only_the_name_of_another_has_not_signed_it() {
    let key = |of| KeyPair::generate_for(of).unwrap();
    let authority = Authority::called("one", key(&PKCS_ECDSA_P256_SHA256));
    let secure = Secure::start(&authority.server()).await;
    for of in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
        let other = Authority::called("one", key(of));
        let why = refused(client(&secure, trusting(&secure, &other))).await;
        assert_eq!(why, TlsError::UnknownIssuer);
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate_or_is_told_that_it_has_to() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let folder = Folder::new(&authority.server()).asks_clients(&clients, ClientCertificates::Required);
    let secure = Secure::over(folder, Limits::default()).await;
    let tls = || trusting(&secure, &authority);
    let shows = showing(&secure, tls(), &clients.client()).unwrap();
    let store = client(&secure, shows).build().store(STORE);
    store.produce_all("s", "a", 1, records(3)).await.unwrap();
    assert_eq!(refused(client(&secure, tls())).await, TlsError::CertificateWanted);
    let stranger = showing(&secure, tls(), &others.client()).unwrap();
    assert_eq!(refused(client(&secure, stranger)).await, TlsError::CertificateRefused);
    // The token counts all the same.
    let shows = showing(&secure, tls(), &clients.client()).unwrap();
    let error = client(&secure, shows)
        .token("none")
        .build()
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unauthorized), "{error:?}");
}

#[tokio::test]
async fn files_that_are_of_no_use_are_named() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let file = secure.folder.file("nothing.pem", "nothing");
    let why = Tls::default().trust_file(&file).err().unwrap().to_string();
    assert!(why.contains("nothing.pem: there is no certificate in it"), "{why}");
    let why = Tls::default().trust_file("none.pem").err().unwrap().to_string();
    assert!(why.starts_with("none.pem: "), "{why}");
    let (pair, other) = (authority.client(), authority.client());
    let keyless = Pair {
        key: pair.certificate.clone(),
        ..pair.clone()
    };
    let why = showing(&secure, Tls::default(), &keyless).err().unwrap().to_string();
    assert!(why.contains("shown.key: there is no private key in it"), "{why}");
    let crossed = Pair { key: other.key, ..pair };
    let tls = showing(&secure, trusting(&secure, &authority), &crossed).unwrap();
    let why = refused(client(&secure, tls)).await;
    assert!(
        matches!(&why, TlsError::File(files, _) if files.contains("shown.key")),
        "{why}"
    );
}

#[tokio::test]
async fn who_speaks_tls_to_a_server_that_does_not_is_told_and_the_other_way_round() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let plain = secure.host.url.replace("ws://", "wss://");
    assert_eq!(refused(at(&plain, Tls::default())).await, TlsError::NotSpoken);
    let bare = at(&format!("ws://{}", secure.address), Tls::default());
    assert_eq!(refused(bare).await, TlsError::NotDialled);
}

#[tokio::test]
async fn a_stream_beside_the_protocol_is_dialled_like_the_client_does() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    for (url, tls) in [
        (format!("wss://{}", secure.address), trusting(&secure, &authority)),
        (secure.host.url.clone(), Tls::default()),
    ] {
        let mut stream = streamkit_client::connect(&url, &tls).await.unwrap();
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    let error = streamkit_client::connect(&format!("wss://{}", secure.address), &Tls::default())
        .await
        .err()
        .unwrap();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    for url in ["ftp://x", "x", ""] {
        let error = streamkit_client::connect(url, &Tls::default()).await.err().unwrap();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
    }
}
