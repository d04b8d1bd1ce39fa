//! TLS: who may speak with whom, and certificates that change.

use rustls::ProtocolVersion;
use rustls::version::{TLS12, TLS13};
use streamkit_protocol::{Request, Terminal};
use streamkit_server_core::{CertificateError, ClientCertificates, Limits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::{Authority, BOTH, Folder, Pair, Secure, upgrade};
use crate::peer::{PATIENCE, consume, peek, record};

#[tokio::test]
async fn both_versions_carry_a_conversation() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    for (version, spoken, segment) in [
        (&TLS12, ProtocolVersion::TLSv1_2, "a"),
        (&TLS13, ProtocolVersion::TLSv1_3, "b"),
    ] {
        let mut config = authority.trusting(&[version], None);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut peer = secure.connect(config).await;
        let tls = peer.socket.get_ref().get_ref().1;
        assert_eq!(tls.protocol_version(), Some(spoken));
        assert_eq!(tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        let records: Vec<String> = (1..=2000).map(record).collect();
        let records: Vec<&str> = records.iter().map(String::as_str).collect();
        assert_eq!(peer.produce("s", segment, &records).await.1, Terminal::Close);
        let (entries, end) = peer.call(&Request::ConsumeSegment(consume("s", segment))).await;
        assert_eq!((entries.len(), end), (2000, Terminal::Close));
    }
    secure.stop().await;
}

#[tokio::test]
async fn a_record_larger_than_those_of_tls_comes_back() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let mut peer = secure.connect(authority.trusting(BOTH, None)).await;
    let large = format!("{{\"sequence\":1,\"payload\":\"{}\"}}", "eHh4".repeat(200_000));
    assert_eq!(peer.produce("s", "a", &[&large]).await.1, Terminal::Close);
    let (entries, _) = peer.call(&peek("s", "a")).await;
    assert!(entries[0].len() > 800_000);
    secure.stop().await;
}

#[tokio::test]
async fn who_trusts_another_authority_comes_not_and_harms_nobody() {
    let (authority, other) = (Authority::new(), Authority::new());
    let secure = Secure::start(&authority.server()).await;
    let mut inside = secure.connect(authority.trusting(BOTH, None)).await;
    let error = secure.tls(other.trusting(BOTH, None)).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    secure.failed("refused", 1).await;
    inside.answers_ping().await;
}

#[tokio::test]
async fn an_expired_certificate_is_served_and_refused_by_clients() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server_until(2020)).await;
    let error = secure.tls(authority.trusting(BOTH, None)).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    let expires = secure
        .metric("streamkit_tls_certificate_expires_timestamp_seconds")
        .await;
    assert_eq!(expires, "1577836800", "2020-01-01");
    secure.host.connect().await.answers_ping().await;
}

/// Whether a client that shows this is answered.
async fn is_let_in(secure: &Secure, authority: &Authority, shows: Option<&Pair>) -> bool {
    let mut answered = [false; 2];
    for (version, answered) in [&TLS12, &TLS13].into_iter().zip(&mut answered) {
        *answered = match secure.tls(authority.trusting(&[version], shows)).await {
            // TLS 1.3 tells it with the first answer.
            Ok(stream) => upgrade(stream).await.is_ok(),
            Err(_) => false,
        };
    }
    assert_eq!(answered[0], answered[1], "whatever the version");
    answered[0]
}

#[tokio::test]
async fn clients_show_certificates_where_they_have_to() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let (good, bad) = (clients.client(), others.client());
    for (wanted, without) in [
        (ClientCertificates::Required, false),
        (ClientCertificates::Optional, true),
    ] {
        let folder = Folder::new(&authority.server()).asks_clients(&clients, wanted);
        let secure = Secure::over(folder, Limits::default()).await;
        let mut inside = secure.connect(authority.trusting(BOTH, Some(&good))).await;
        assert!(is_let_in(&secure, &authority, Some(&good)).await);
        assert_eq!(is_let_in(&secure, &authority, None).await, without, "{wanted:?}");
        assert!(!is_let_in(&secure, &authority, Some(&bad)).await, "{wanted:?}");
        // A server's certificate is none of a client.
        assert!(!is_let_in(&secure, &authority, Some(&clients.server())).await);
        secure.failed("certificate", 4).await;
        inside.answers_ping().await;
        secure.stop().await;
    }
}

#[tokio::test]
async fn files_that_make_no_server_are_refused_with_the_reason() {
    let authority = Authority::new();
    let (pair, other) = (authority.server(), authority.server());
    let refused = |certificate: &str, key: &str| {
        let folder = Folder::new(&Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        });
        folder.open().err().expect("it is refused")
    };
    let mismatch = refused(&pair.certificate, &other.key);
    assert!(matches!(mismatch, CertificateError::Mismatch { .. }), "{mismatch}");
    assert!(
        mismatch
            .to_string()
            .contains("key.pem is not that of the first certificate in"),
        "{mismatch}"
    );
    let encrypted = pair.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (certificate, key, why) in [
        ("", &*pair.key, "there is no certificate in it"),
        (&*pair.key, &*pair.key, "there is no certificate in it"),
        (&*pair.certificate, "", "there is no private key in it"),
        (&*pair.certificate, &*pair.certificate, "there is no private key in it"),
        (&*pair.certificate, &*encrypted, "the key is encrypted"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &*pair.key,
            "how long it is good",
        ),
    ] {
        let error = refused(certificate, key).to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut folder = Folder::new(&pair);
    folder.files.client_authorities = Some(folder.file("clients.pem", "nobody"));
    assert!(
        folder
            .open()
            .err()
            .unwrap()
            .to_string()
            .contains("there is no certificate in it")
    );
    folder.files.key = folder.files.key.with_file_name("none.pem");
    assert!(matches!(folder.open().err().unwrap(), CertificateError::Read(..)));
    // A folder, and what has no end, is read by nobody.
    folder.files.key = "/".into();
    assert!(folder.open().err().unwrap().to_string().contains("it is no file"));
}

#[tokio::test]
async fn keys_are_read_in_each_form_that_openssl_writes() {
    let dir = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let arguments = arguments.split(' ');
        let run = std::process::Command::new("openssl")
            .args(arguments)
            .current_dir(dir.path())
            .output();
        let run = run.unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    };
    for (make, form) in [
        ("genrsa -traditional -out key.pem 2048", "BEGIN RSA PRIVATE KEY"),
        ("genrsa -out key.pem 2048", "BEGIN PRIVATE KEY"),
        (
            "ecparam -name prime256v1 -genkey -noout -out key.pem",
            "BEGIN EC PRIVATE KEY",
        ),
        ("genpkey -algorithm ed25519 -out key.pem", "BEGIN PRIVATE KEY"),
    ] {
        openssl(make);
        openssl(
            "req -x509 -key key.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -days 9 -out chain.pem",
        );
        let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let pair = Pair {
            certificate: read("chain.pem"),
            key: read("key.pem"),
        };
        assert!(pair.key.contains(form), "{form}");
        Folder::new(&pair)
            .open()
            .unwrap_or_else(|error| panic!("{form}: {error}"));
    }
}

/// The certificate that whoever connects now is shown.
async fn shown(secure: &Secure, authority: &Authority) -> Vec<u8> {
    let stream = secure.tls(authority.trusting(BOTH, None)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn who_is_connected_stays_when_certificates_change_and_who_comes_gets_the_new_ones() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    let first = shown(&secure, &authority).await;
    let mut before = secure.connect(authority.trusting(BOTH, None)).await;
    let until = secure
        .metric("streamkit_tls_certificate_expires_timestamp_seconds")
        .await;

    secure.folder.write(&authority.server_until(2060));
    secure.certificates.reload().unwrap();
    let second = shown(&secure, &authority).await;
    assert_ne!(first, second);
    before.answers_ping().await;

    // What is half written, or of two pairs, changes nothing.
    std::fs::write(&secure.folder.files.key, authority.server().key).unwrap();
    let error = secure.certificates.reload().unwrap_err();
    assert!(matches!(error, CertificateError::Mismatch { .. }), "{error}");
    assert_eq!(shown(&secure, &authority).await, second);

    // An old one that came back is what all clients refuse.
    secure.folder.write(&authority.server_until(2020));
    let error = secure.certificates.reload().unwrap_err();
    assert!(matches!(error, CertificateError::Expired(_)), "{error}");
    assert_eq!(shown(&secure, &authority).await, second);

    // Nobody has to be told.
    secure.folder.write(&authority.server_until(2050));
    let noticed = async {
        while shown(&secure, &authority).await == second {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed)
        .await
        .expect("nobody looked at the files");
    before.answers_ping().await;
    assert_eq!(before.produce("s", "a", &[&record(1)]).await.1, Terminal::Close);
    let now = secure
        .metric("streamkit_tls_certificate_expires_timestamp_seconds")
        .await;
    assert_ne!(until, now);
    secure.stop().await;
}

#[tokio::test]
async fn the_end_of_a_connection_is_said_in_tls_too() {
    let authority = Authority::new();
    let secure = Secure::start(&authority.server()).await;
    for version in [&TLS12, &TLS13] {
        let mut tls = secure.tls(authority.trusting(&[version], None)).await.unwrap();
        tls.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        // Without a word of the end, it would be an error: something may have been cut off.
        tls.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    let mut peer = secure.connect(authority.trusting(BOTH, None)).await;
    let head = peer.open(&crate::peer::produce("s", "a")).await;
    peer.answers_ping().await;
    let stopping = tokio::spawn(secure.stop());
    assert_eq!(
        peer.finish(head).await.1,
        crate::peer::refused("the server is shutting down")
    );
    assert_eq!(peer.frame().await.unwrap().control, streamkit_protocol::Control::Close);
    assert!(peer.frame().await.is_none());
    let mut tls = peer.socket.into_inner();
    assert_eq!(tls.read(&mut [0]).await.unwrap(), 0);
    drop(tls);
    stopping.await.unwrap();
}
