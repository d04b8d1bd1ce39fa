//! A link over TLS, at which both hosts show certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use streamkit_client::Tls;
use streamkit_engine::{Record, SegmentPath, Stores as _};
use streamkit_hosts::forwarding::{Forwarding, ForwardingSettings};
use streamkit_hosts::host::Host;
use streamkit_hosts::link::server;
use streamkit_server_core::{CertificateFiles, Certificates, ClientCertificates, InProcess, Limits};
use tokio::sync::watch;
use uuid::Uuid;

use crate::pair::{Pair, SECRET, secret, store_of};

fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// A certificate and its key in files, signed by an authority.
fn signed(
    dir: &Path,
    name: &str,
    by: &CertifiedIssuer<'_, KeyPair>,
    purpose: ExtendedKeyUsagePurpose,
) -> (PathBuf, PathBuf) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![purpose];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    let certificate = write(dir, &format!("{name}.pem"), &certificate.pem());
    (certificate, write(dir, &format!("{name}.key"), &key.serialize_pem()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_show_certificates_to_each_other_and_one_that_shows_none_writes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let mut params = CertificateParams::new(["authority".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let trusted = write(dir.path(), "authority.pem", &authority.pem());
    let (chain, key) = signed(dir.path(), "there", &authority, ExtendedKeyUsagePurpose::ServerAuth);
    let (shown, shown_key) = signed(dir.path(), "here", &authority, ExtendedKeyUsagePurpose::ClientAuth);
    let certificates = Certificates::open(CertificateFiles {
        chain,
        key,
        client_authorities: Some(trusted.clone()),
        client_certificates: ClientCertificates::Required,
    });

    let pair = Pair::new().await;
    let (stores, bus) = (pair.stores_there(), Arc::new(InProcess::default()));
    let server = server(stores, &secret(SECRET), pair.there, Limits::default(), bus);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("wss://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { server.serve_tls(listener, certificates.unwrap()).await });
    let there: Arc<[Host]> = [Host::new(pair.there, Uuid::nil(), &address, "").unwrap()].into();

    let trusts = Tls::default().trust_file(&trusted).unwrap();
    let shows = trusts.clone().show_files(&shown, &shown_key).unwrap();
    for (tls, figures) in [(shows, (1, 0, 0)), (trusts, (0, 1, 1)), (Tls::default(), (0, 1, 1))] {
        let settings = ForwardingSettings {
            tls,
            patience: std::time::Duration::from_secs(60),
            ..ForwardingSettings::new(pair.here, secret(SECRET))
        };
        let others = watch::Sender::new(there.clone());
        let forwarding = Forwarding::new(pair.stores_here(), settings, others.subscribe(), None);
        let store = forwarding.store(store_of(&pair.there)).await.unwrap();
        let path = SegmentPath::new("s", "a").unwrap();
        store.publish(&path, vec![Record::new("x")]).await.unwrap();
        let now = forwarding.forwarding();
        assert_eq!((now.forwarded, now.fell_back, now.refused), figures);
    }
}
