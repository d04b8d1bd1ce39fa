//! A server under a service manager: what it tells it, and what SIGHUP reads again.
#![cfg(target_os = "linux")]

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rcgen::generate_simple_self_signed;

use crate::program::{PATIENCE, Served, streamkit, text, until};

/// The manager's end.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message with this line.
    fn hears(&self, line: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let length = self
                .0
                .recv(&mut bytes)
                .unwrap_or_else(|error| panic!("no {line}: {error}"));
            let told = text(&bytes[..length]);
            if told.lines().any(|told| told == line) {
                return told;
            }
        }
    }

    /// Forgets what it was told before.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 4096]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }
}

fn managed(dir: &Path, manager: &UnixDatagram, place: &str) -> Served {
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let variables = [("NOTIFY_SOCKET", place), ("WATCHDOG_USEC", "200000")];
    Served::start_with(dir, &variables)
}

#[test]
fn a_service_manager_hears_that_a_server_serves_works_reloads_and_stops() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let name = format!("@streamkit-test-{}", std::process::id());
    let hidden = SocketAddr::from_abstract_name(&name[1..]).unwrap();
    for (socket, place) in [
        (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap()),
        (UnixDatagram::bind_addr(&hidden).unwrap(), name.as_str()),
    ] {
        let mut served = managed(dir.path(), &socket, place);
        let manager = Manager(socket);
        let told = manager.hears("READY=1");
        assert!(told.contains("STATUS=serving on 127.0.0.1:"), "{told}");
        manager.hears("WATCHDOG=1");
        manager.hears("WATCHDOG=1");
        served.signal("HUP");
        let told = manager.hears("RELOADING=1");
        assert!(told.contains("\nMONOTONIC_USEC="), "{told}");
        manager.hears("READY=1");
        manager.hears("WATCHDOG=1");
        // One that stands says nothing.
        served.signal("STOP");
        std::thread::sleep(Duration::from_millis(300));
        manager.forget();
        std::thread::sleep(Duration::from_millis(500));
        manager.0.set_nonblocking(true).unwrap();
        assert!(
            manager.0.recv(&mut [0; 64]).is_err(),
            "a stopped process says that it works"
        );
        manager.0.set_nonblocking(false).unwrap();
        served.signal("CONT");
        manager.hears("WATCHDOG=1");
        served.signal("TERM");
        manager.hears("STOPPING=1");
        assert_eq!(served.wait().code(), Some(0));
    }
}

#[test]
fn a_manager_that_is_not_there_keeps_nobody_from_serving() {
    let dir = tempfile::tempdir().unwrap();
    for place in ["/nowhere/notify", "@nobody-listens-here", "relative"] {
        let mut served = Served::start_with(dir.path(), &[("NOTIFY_SOCKET", place)]);
        assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
        served.signal("TERM");
        assert_eq!(served.wait().code(), Some(0));
        assert!(
            served.log().contains("service manager") || served.log().contains("NOTIFY_SOCKET"),
            "{}",
            served.log()
        );
    }
}

#[test]
fn a_hangup_reads_certificates_again_and_keeps_the_old_ones_where_the_new_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let (chain, key) = (dir.path().join("chain.pem"), dir.path().join("chain.key"));
    let write = || {
        let made = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&chain, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    };
    write();
    let old = dir.path().join("old.pem");
    std::fs::copy(&chain, &old).unwrap();
    let variables = [
        ("STREAMKIT_TLS_CERT", chain.to_str().unwrap()),
        ("STREAMKIT_TLS_KEY", key.to_str().unwrap()),
    ];
    let mut served = Served::start_with(dir.path(), &variables);
    served.signal("HUP");
    served.wait_for_log("certificates: read again");
    std::fs::write(&chain, "no certificate\n").unwrap();
    served.signal("HUP");
    served.wait_for_log("certificates: what is there cannot be used");
    let status = |trusted: &Path| {
        let mut status = served.command(&["status", "--ca-cert", trusted.to_str().unwrap()]);
        status.output().unwrap().status.success()
    };
    assert!(status(&old), "it serves on, with the old ones");
    write();
    served.signal("HUP");
    until("they are read again twice", || {
        (served.log().matches("certificates: read again").count() == 2).then_some(())
    });
    assert!(status(&chain) && !status(&old), "it has the new ones");
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(0));
}

fn pipe(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// A file that never comes to its end, as on a disk that hangs: nobody writes into the pipe that took its place.
#[test]
fn a_file_that_cannot_be_read_again_keeps_nobody_from_stopping_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (settings, place) = (dir.path().join("settings.toml"), dir.path().join("notify"));
    std::fs::write(&settings, "").unwrap();
    let manager = UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let variables = [
        ("NOTIFY_SOCKET", place.to_str().unwrap()),
        ("STREAMKIT_CONFIG", settings.to_str().unwrap()),
    ];
    let mut served = Served::start_with(dir.path(), &variables);
    std::fs::remove_file(&settings).unwrap();
    pipe(&settings);
    let manager = Manager(manager);
    manager.hears("READY=1");
    served.signal("HUP");
    manager.hears("RELOADING=1");
    served.signal("HUP");
    served.signal("TERM");
    manager.hears("STOPPING=1");
    assert_eq!(served.wait().code(), Some(0));
}

/// What stands in a pipe is read once.
#[test]
fn settings_of_a_pipe_stay_when_the_others_are_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("settings.toml");
    pipe(&settings);
    let writer = {
        let settings = settings.clone();
        std::thread::spawn(move || std::fs::write(settings, "log = \"warn,streamkit=debug\"\n").unwrap())
    };
    let mut served = Served::start_with(dir.path(), &[("STREAMKIT_CONFIG", settings.to_str().unwrap())]);
    writer.join().unwrap();
    served.wait_for_log("settings were read");
    served.signal("HUP");
    served.wait_for_log("keys: read again");
    served.signal("TERM");
    assert_eq!(served.wait().code(), Some(0));
    assert!(!served.log().contains("another filter"), "{}", served.log());
}

#[test]
fn a_probe_hears_whether_a_server_is_well() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start_with(dir.path(), &[("STREAMKIT_DRAIN", "1h")]);
    let url = served.url.clone();
    let health_of = |url: &str, more: &[&str]| {
        let mut health = streamkit();
        health.args(["health", "--url", url]).args(more);
        let done = health.output().unwrap();
        (done.status.code(), text(&done.stdout), text(&done.stderr))
    };
    let health = |more: &[&str]| health_of(&url, more);
    let well = "{\"healthy\":true,\"said\":\"ok\"}\n".to_owned();
    assert_eq!(health(&[]), (Some(0), well.clone(), String::new()));
    assert_eq!(health(&["--ready"]), (Some(0), well.clone(), String::new()));
    served.signal("TERM");
    until("it is red", || (health(&["--ready"]).0 == Some(1)).then_some(()));
    let (_, said, error) = health(&["--ready"]);
    assert!(said.contains("false") && error.contains("503 shutting down"), "{error}");
    assert_eq!(health(&[]).1, well);
    let (code, _, error) = health_of(&format!("{url}/elsewhere"), &[]);
    assert!(
        code == Some(1) && error.contains("is no Streamkit server"),
        "{code:?}: {error}"
    );
    served.signal("TERM");
    served.wait();
    let (code, _, error) = health(&["--timeout", "1s"]);
    assert_eq!(code, Some(5), "{error}");
}
