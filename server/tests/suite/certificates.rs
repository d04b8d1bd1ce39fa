//! Authorities and certificates made for a test, a server that shows one, and peers that look at it.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use streamkit_server_core::{CertificateError, CertificateFiles, Certificates, ClientCertificates, Limits};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::peer::{Host, Peer, request, token};

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        // Another name for each: two of one name would be taken for each other.
        let name = format!("authority {}", uuid::Uuid::new_v4());
        Self::called(&name, KeyPair::generate().unwrap())
    }

    pub fn called(name: &str, key: KeyPair) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its own certificate, as that of a server: what `openssl req -x509` alone makes.
    pub fn itself(&self) -> Pair {
        Pair {
            certificate: self.pem(),
            key: self.0.key().serialize_pem(),
        }
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Of a server at `localhost`, good until the year begins.
    pub fn server_until(&self, year: i32) -> Pair {
        self.server_in(2001, year)
    }

    /// The same, good from then on.
    pub fn server_from(&self, year: i32) -> Pair {
        self.server_in(year, 2070)
    }

    fn server_in(&self, from: i32, until: i32) -> Pair {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    pub fn server(&self) -> Pair {
        self.server_until(2070)
    }

    pub fn client(&self) -> Pair {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.distinguished_name.push(DnType::CommonName, "a client of a test");
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        Pair {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A peer that trusts this authority alone, speaks these versions and shows a certificate, or none.
    pub fn trusting(&self, versions: &[&'static SupportedProtocolVersion], shows: Option<&Pair>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        match shows {
            None => config.with_no_client_auth(),
            Some(Pair { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
                let chain = chain.collect::<Result<_, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        }
    }
}

/// The files of a server.
pub struct Folder {
    dir: tempfile::TempDir,
    pub files: CertificateFiles,
}

impl Folder {
    pub fn new(pair: &Pair) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            chain: dir.path().join("chain.pem"),
            key: dir.path().join("key.pem"),
            client_authorities: None,
            client_certificates: ClientCertificates::Required,
        };
        let folder = Self { dir, files };
        folder.write(pair);
        folder
    }

    pub fn write(&self, pair: &Pair) {
        std::fs::write(&self.files.chain, &pair.certificate).unwrap();
        std::fs::write(&self.files.key, &pair.key).unwrap();
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Clients show certificates of this authority.
    pub fn asks_clients(mut self, authority: &Authority, wanted: ClientCertificates) -> Self {
        self.files.client_authorities = Some(self.file("clients.pem", &authority.pem()));
        self.files.client_certificates = wanted;
        self
    }

    pub fn open(&self) -> Result<Certificates, CertificateError> {
        Certificates::open(self.files.clone())
    }
}

/// A server that speaks TLS at one address, and none at that of its host.
pub struct Secure {
    pub host: Host,
    pub address: String,
    pub certificates: Certificates,
    pub folder: Folder,
    serving: tokio::task::JoinHandle<()>,
}

impl Secure {
    pub async fn start(pair: &Pair) -> Self {
        Self::over(Folder::new(pair), Limits::default()).await
    }

    pub async fn over(folder: Folder, limits: Limits) -> Self {
        let host = Host::with_limits(limits).await;
        let certificates = folder.open().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (server, serves) = (host.server.clone(), certificates.clone());
        let serving = tokio::spawn(async move { server.serve_tls(listener, serves).await });
        Self {
            host,
            address,
            certificates,
            folder,
            serving,
        }
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// A peer that has spoken TLS.
    pub async fn tls(&self, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
        secure(self.tcp().await, config).await
    }

    /// A peer with a WebSocket, too.
    pub async fn connect(&self, config: ClientConfig) -> Peer<TlsStream<TcpStream>> {
        upgrade(self.tls(config).await.unwrap()).await.unwrap()
    }

    /// What a metric says.
    pub async fn metric(&self, name: &str) -> String {
        let all = crate::handshake::get(&self.host, "/metrics", "").await;
        let value = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name} is not in {all}")).to_owned()
    }

    /// Waits until so many handshakes have failed for a reason.
    pub async fn failed(&self, reason: &str, times: usize) {
        let name = format!("streamkit_tls_handshakes_failed_total{{reason=\"{reason}\"}}");
        let counted = async {
            while self.metric(&name).await.parse::<usize>().unwrap() < times {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(crate::peer::PATIENCE, counted).await;
        waited.unwrap_or_else(|_| panic!("{reason} was not counted"));
    }

    pub async fn stop(self) {
        self.host.stop().await;
        self.serving.await.unwrap();
    }
}

pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    config: ClientConfig,
) -> std::io::Result<TlsStream<S>> {
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> Result<Peer<S>, tokio_tungstenite::tungstenite::Error> {
    let request = request("wss://localhost", &token(&["streamkit::*"]));
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(Peer {
        socket,
        answers_pings: false,
    })
}
