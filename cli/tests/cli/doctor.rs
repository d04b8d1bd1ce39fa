//! `doctor`: what it says of a folder, and that the folder is as it was.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use crate::program::*;

fn doctor(arguments: &[&str]) -> Output {
    let mut command = streamkit();
    command.args(["doctor", "--time", "30ms", "--json"]).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_doctor_tells_a_disk_from_memory_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let here = dir.path().to_str().unwrap();
    std::fs::write(dir.path().join("doctor.tmp"), "mine").unwrap();
    let done = doctor(&["--disk", here]);
    let found = &lines(&done.stdout)[0];
    // Where the tests' own folder is in memory, that is what it says.
    let broken = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|f| f["severity"] == "broken");
    assert_eq!(done.status.code(), Some(i32::from(broken)), "{found}");
    let methods = found["methods"].as_array().unwrap();
    assert!(methods.len() >= 2 && methods.iter().all(|method| method["p50_us"].as_f64().unwrap() > 0.0));
    assert!(found["alone_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(std::fs::read_to_string(dir.path().join("doctor.tmp")).unwrap(), "mine");
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 1);
    assert_eq!(doctor(&[here]).status.code(), Some(1), "no data directory");
    assert_eq!(doctor(&[]).status.code(), Some(2));
    assert_eq!(doctor(&["--disk", "/no/such/folder"]).status.code(), Some(1));
    let shared_memory = Path::new("/dev/shm");
    if shared_memory.is_dir()
        && std::fs::read_to_string("/proc/self/mounts").is_ok_and(|m| m.contains("/dev/shm tmpfs"))
    {
        let done = doctor(&["--disk", "/dev/shm"]);
        assert_eq!(done.status.code(), Some(1));
        assert!(text(&done.stdout).contains("tmpfs is memory"));
    }
}

#[test]
fn a_doctor_knows_of_a_data_directory_whether_the_clock_is_behind_its_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    let data = served.data.clone();
    let here = data.to_str().unwrap();
    let behind = |done: Output| lines(&done.stdout)[0]["clock_behind_seconds"].clone();
    assert_eq!(behind(doctor(&[here])), serde_json::Value::Null, "no store");
    assert!(served.run_with(&["produce", "s/a"], "one\n").status.success());
    assert_eq!(behind(doctor(&[here])), 0, "beside its server");
    served.kill();
    assert_eq!(behind(doctor(&[here])), 0);
    assert_eq!(behind(doctor(&["--disk", here])), serde_json::Value::Null);
}

#[test]
fn without_room_beyond_what_is_to_stay_free_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let all = u64::MAX.to_string();
    let done = doctor(&["--disk", dir.path().to_str().unwrap(), "--keep-free-bytes", &all]);
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("too little to measure with"),
        "{}",
        text(&done.stderr)
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_doctor_that_is_stopped_leaves_nothing_behind() {
    for (name, code) in [("INT", 130), ("TERM", 130)] {
        let dir = tempfile::tempdir().unwrap();
        let is_empty = || std::fs::read_dir(dir.path()).unwrap().next().is_none();
        let mut child = streamkit()
            .args(["doctor", "--time", "1h", "--disk"])
            .arg(dir.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let since = Instant::now();
        while is_empty() {
            assert!(since.elapsed() < Duration::from_secs(20), "it did not begin");
            std::thread::sleep(Duration::from_millis(5));
        }
        signal(child.id(), name);
        assert_eq!(child.wait().unwrap().code(), Some(code));
        assert!(is_empty(), "after SIG{name}");
    }
}
