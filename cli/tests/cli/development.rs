//! `dev`: its key and store id, and folders that are not its own.

use std::path::Path;

use crate::program::*;

fn dev(data: &Path) -> std::process::Output {
    let mut dev = streamkit();
    dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    dev.output().unwrap()
}

#[test]
fn a_folder_that_is_in_use_or_of_a_newer_format_gets_no_development_key() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let made = |name: &str| served.data.join(name).exists();
    let refused = dev(&served.data);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("in use by process "));
    assert!(!made("development-key") && !made("development-store"));
    let demo = streamkit().args(["demo", "--data"]).arg(&served.data).output().unwrap();
    assert_eq!(demo.status.code(), Some(1));
    assert!(!made("development-key") && !made("development-store"));
    served.kill();
    std::fs::write(served.data.join("format"), "streamkit 2\n").unwrap();
    let refused = dev(&served.data);
    assert!(text(&refused.stderr).contains("use a newer streamkit"));
    let made = |name: &str| served.data.join(name).exists();
    assert!(!made("development-key") && !made("development-store"));
}

#[cfg(unix)]
#[test]
fn the_development_key_is_its_owners_alone() {
    use std::io::BufRead as _;
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mut dev = streamkit();
    dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    let mut child = dev.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    assert_eq!(out.lines().take(3).count(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    for name in ["development-key", "development-store"] {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    std::fs::write(dir.path().join("development-key"), "").unwrap();
    let mut again = streamkit();
    again.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    let refused = again.output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("remove the file"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_demo_in_memory_does_not_say_that_its_data_is_safe() {
    let in_memory = std::fs::read_to_string("/proc/self/mounts").is_ok_and(|m| m.contains("/dev/shm tmpfs"));
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("skipped: there is no /dev/shm");
        return;
    };
    let mut command = streamkit();
    let done = command
        .args(["demo", "--json", "--data"])
        .arg(dir.path().join("data"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let broken = &lines(&done.stdout)[0]["broken"];
    assert_eq!(
        broken.as_str().is_some_and(|why| why.contains("memory")),
        in_memory,
        "{broken}"
    );
}
