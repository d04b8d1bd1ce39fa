//! `serve` with TLS and without, and clients of it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};

use crate::program::{Served, signal, streamkit, text};

/// An authority and certificates of it, in a folder.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: PathBuf,
}

impl Authority {
    fn new(dir: &Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "an authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = dir.to_owned();
        std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, dir }
    }

    /// The path of a file of it.
    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    /// `NAME.pem` and `NAME.key`, good until the year begins.
    fn sign(&self, name: &str, until: i32) {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn an_address_that_others_can_reach_is_warned_of_without_tls() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, "a key of thirty-two bytes or more\n").unwrap();
    let authority = Authority::new(dir.path());
    authority.sign("server", 2060);
    let (chain, secret) = (authority.path("server.pem"), authority.path("server.key"));
    let tls = ["--tls-cert", &chain, "--tls-key", &secret];
    for (address, options, warns) in [
        ("0.0.0.0:0", &[][..], true),
        ("0.0.0.0:0", &tls[..], false),
        ("127.0.0.1:0", &[][..], false),
    ] {
        let mut serve = streamkit();
        serve.args(["serve", "--listen", address]).args(options);
        serve.arg("--data").arg(dir.path().join("data"));
        serve.arg("--jwt-key-file").arg(&key);
        let mut child = serve.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let scheme = if options.is_empty() { " ws://" } else { " wss://" };
        assert!(first.contains(scheme), "{first}");
        // What it says before it serves, it says.
        signal(child.id(), "TERM");
        let log: Vec<String> = lines.map(Result::unwrap).collect();
        let log = log.join("\n");
        assert!(child.wait().unwrap().success(), "{log}");
        let warnings = log.matches("TLS is not spoken here").count();
        assert_eq!(warnings, usize::from(warns), "{address}: {log}");
    }
}

#[test]
fn certificates_that_cannot_be_used_keep_the_server_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    served.kill();
    let authority = Authority::new(dir.path());
    authority.sign("server", 2060);
    authority.sign("other", 2060);
    let refused = |options: &[&str]| {
        let mut serve = streamkit();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&served.data);
        serve.arg("--jwt-key-file").arg(dir.path().join("key")).args(options);
        let said = serve.output().unwrap();
        (said.status.code().unwrap(), text(&said.stderr))
    };
    let (chain, key, other) = (
        authority.path("server.pem"),
        authority.path("server.key"),
        authority.path("other.key"),
    );
    let (code, said) = refused(&["--tls-cert", &chain, "--tls-key", &other]);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("other.key is not that of the first certificate in"),
        "{said}"
    );
    let (code, said) = refused(&["--tls-cert", &key, "--tls-key", &key]);
    assert!(code == 1 && said.contains("there is no certificate in it"), "{said}");
    let (code, said) = refused(&["--tls-cert", &chain]);
    assert!(code == 2 && said.contains("--tls-key"), "{said}");
    let (code, said) = refused(&["--tls-client-ca", &chain]);
    assert!(code == 2 && said.contains("--tls-cert"), "{said}");
}

#[test]
fn an_expired_certificate_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    served.kill();
    let authority = Authority::new(dir.path());
    authority.sign("server", 2020);
    served.restart_with(&[
        "--tls-cert",
        &authority.path("server.pem"),
        "--tls-key",
        &authority.path("server.key"),
    ]);
    served.wait_for_log("a certificate has expired");
}

/// A process of a test, ended with it.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_key_set_is_fetched_over_tls_from_whom_the_machine_trusts_and_from_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    authority.sign("issuer", 2060);
    std::fs::write(dir.path().join("nothing.pem"), "").unwrap();
    let set = include_bytes!("../../../server/tests/keys/p256.jwk");
    let mut key: serde_json::Value = serde_json::from_slice(set).unwrap();
    key.as_object_mut().unwrap().remove("d");
    std::fs::write(dir.path().join("set"), serde_json::json!({"keys": [key]}).to_string()).unwrap();
    let issuer = Command::new("openssl")
        .args([
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-WWW",
            "-cert",
            "issuer.pem",
            "-key",
            "issuer.key",
        ])
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut issuer = Ended(issuer.unwrap());
    let mut said = BufReader::new(issuer.0.stdout.take().unwrap()).lines();
    let port = said.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.rsplit_once(':')?.1.to_owned()));
    let url = format!("https://127.0.0.1:{}/set", port.unwrap());
    let mut served = Served::start(dir.path());
    for (trusted, told) in [("nothing.pem", "cannot be reached"), ("ca.pem", "is here")] {
        served.kill();
        served = Served::start_with(dir.path(), &[("SSL_CERT_FILE", &authority.path(trusted))]);
        served.kill();
        served.restart_with(&["--jwks-url", &url]);
        served.wait_for_log(told);
    }
}

/// A server with TLS and further options.
fn served(dir: &Path, authority: &Authority, options: &[&str]) -> Served {
    authority.sign("server", 2060);
    let mut served = Served::start(dir);
    served.kill();
    let (chain, key) = (authority.path("server.pem"), authority.path("server.key"));
    served.restart_with(&[&["--tls-cert", &chain, "--tls-key", &key], options].concat());
    served
}

#[test]
fn client_commands_and_backups_go_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let served = served(dir.path(), &authority, &[]);
    assert!(served.url.starts_with("wss://"), "{}", served.url);
    let ca = authority.path("ca.pem");
    let run = |arguments: &[&str]| {
        let output = served
            .command(arguments)
            .env("STREAMKIT_CA_CERT", &ca)
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    std::fs::write(dir.path().join("lines"), "placed\npaid\n").unwrap();
    run(&["produce", "orders/order-1", &authority.path("lines")]);
    assert_eq!(run(&["consume", "orders/order-1"]).lines().count(), 2);
    // Beside the protocol.
    assert!(
        run(&["status"]).contains("\"commit_method\":\""),
        "{}",
        run(&["status"])
    );
    let url = served.url.replace("wss://", "https://");
    let backup = authority.path("backup");
    assert!(run(&["backup", &url, &backup, "--json"]).contains("\"stores\":1"));
    assert!(run(&["backup", &served.url, &backup, "--json"]).contains("\"stores\":1"));
}

#[test]
fn what_is_missing_for_tls_is_said_with_the_option_that_gives_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let ca = authority.path("ca.pem");
    let served = served(dir.path(), &authority, &["--tls-client-ca", &ca]);
    authority.sign("client", 2060);
    let (client, key) = (authority.path("client.pem"), authority.path("client.key"));
    let shows = ["--ca-cert", &*ca, "--client-cert", &*client, "--client-key", &*key];
    let backup = authority.path("backup");
    for command in [
        &["spaces"][..],
        &["health", "--ready"],
        &["backup", &served.url, &backup],
    ] {
        let run = |options: &[&str]| {
            let output = served.command(command).args(options).output().unwrap();
            (output.status.code().unwrap(), text(&output.stderr))
        };
        let (code, said) = run(&[]);
        assert!(code == 5 && said.contains("--ca-cert FILE"), "{code}: {said}");
        let (code, said) = run(&["--ca-cert", &ca]);
        assert!(code == 5 && said.contains("--client-cert FILE"), "{code}: {said}");
        let (code, said) = run(&["--ca-cert", &key]);
        assert!(
            code == 2 && said.contains("client.key: there is no certificate in it"),
            "{code}: {said}"
        );
        let (code, said) = run(&["--ca-cert", &ca, "--client-cert", &client]);
        assert!(code == 2 && said.contains("--client-key"), "{code}: {said}");
        let (code, said) = run(&shows);
        assert_eq!(code, 0, "{said}");
    }
    // With the wrong scheme.
    let plain = served.url.replace("wss://", "ws://");
    for command in [
        &["spaces", "--url", &plain][..],
        &["health", "--url", &plain],
        &["backup", &plain, &backup],
    ] {
        let output = served.command(command).output().unwrap();
        let said = text(&output.stderr);
        assert!(
            output.status.code() == Some(5) && said.contains("begins with wss://"),
            "{command:?}: {said}"
        );
    }
}

#[test]
fn a_pair_that_cannot_be_used_is_said_loudly_and_a_good_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let served = served(dir.path(), &authority, &[]);
    let ca = authority.path("ca.pem");
    let comes_in = || {
        served
            .command(&["spaces", "--ca-cert", &ca])
            .output()
            .unwrap()
            .status
            .success()
    };
    authority.sign("other", 2060);
    // Whole or not at all.
    let replace = |new: &str, old: &str| std::fs::rename(dir.path().join(new), dir.path().join(old)).unwrap();
    replace("other.key", "server.key");
    served.wait_for_log("the old ones stay in use");
    assert!(comes_in());
    replace("other.pem", "server.pem");
    served.wait_for_log("who connects from now on gets the new ones");
    assert!(comes_in());
    assert_eq!(served.log().matches("the old ones stay in use").count(), 1);
}
