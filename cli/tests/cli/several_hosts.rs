//! `serve --storage azure`, on a real emulator: what several hosts tell at `/metrics`.

use std::collections::BTreeMap;
use std::path::Path;

use uuid::Uuid;

use crate::emulator::{ACCOUNT, Emulator, KEY};
use crate::program::*;

/// Starts a host in a folder of its own.
fn host(emulator: &Emulator, dir: &Path, account: &str, bus: &str) -> Served {
    let Emulator { blobs, tables, .. } = emulator;
    let opens = format!(
        "AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint=http://127.0.0.1:{blobs}/{ACCOUNT};\
         TableEndpoint=http://127.0.0.1:{tables}/{ACCOUNT};"
    );
    std::fs::create_dir(dir).unwrap();
    let secret = dir.join("secret");
    std::fs::write(&secret, "a secret of all hosts that is long enough").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let variables = [
        ("STREAMKIT_STORAGE", "azure"),
        ("AZURE_STORAGE_CONNECTION_STRING", &opens),
        ("STREAMKIT_AZURE_ALLOW_HTTP", "true"),
        ("STREAMKIT_AZURE_TABLE", account),
        ("STREAMKIT_AZURE_CONTAINER", account),
        ("STREAMKIT_AZURE_TABLE_DEADLINE", "60s"),
        ("STREAMKIT_HOST_LISTEN", "127.0.0.1:0"),
        ("STREAMKIT_HOST_SECRET_FILE", secret.to_str().unwrap()),
        ("STREAMKIT_BUS", bus),
        // So that something is sealed, archived and retired meanwhile.
        ("STREAMKIT_EXTENT_GROUPS", "4"),
        ("STREAMKIT_ARCHIVE_PERIOD", "200ms"),
        ("STREAMKIT_ARCHIVE_GROUPS", "2"),
    ];
    Served::start_with(dir, &variables)
}

/// What a host tells, by name and labels.
fn metrics(host: &Served) -> BTreeMap<String, f64> {
    let told = host.get("/metrics");
    let lines = told.lines().filter(|line| line.starts_with("streamkit_"));
    let samples = lines.filter_map(|line| line.rsplit_once(' '));
    samples
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// A figure of all hosts together.
fn sum(hosts: &[&Served], name: &str) -> f64 {
    let of = |host: &&Served| *metrics(host).get(name).unwrap_or_else(|| panic!("no {name}"));
    hosts.iter().map(of).sum()
}

#[test]
fn hosts_tell_what_the_account_the_logs_the_archive_the_link_and_the_bus_do() {
    let (emulator, dir) = (Emulator::shared(), tempfile::tempdir().unwrap());
    let account = format!("t{}", Uuid::new_v4().simple());
    // Nobody listens there.
    let (mut one, two) = ["one", "two"]
        .map(|name| host(&emulator, &dir.path().join(name), &account, "redis://127.0.0.1:9"))
        .into();
    let hosts = [&one, &two];
    for host in hosts {
        host.wait_for_log("the message bus is not there");
        until("each sees the other", || {
            (metrics(host)["streamkit_other_hosts"] == 1.0).then_some(())
        });
        let told = metrics(host);
        assert_eq!(told["streamkit_bus_connected"], 0.0);
        assert_eq!(told["streamkit_shared_groups_total{group=\"own\"}"], 0.0);
        assert_eq!(told["streamkit_open_stores"], 0.0);
    }
    for n in 0..12 {
        for host in hosts {
            let stored = host.run_with(&["produce", "orders/a"], &format!("{n}\n"));
            assert!(stored.status.success(), "{}", text(&stored.stderr));
        }
    }
    let read = one.run(&["consume", "orders/a"]);
    assert_eq!(lines(&read.stdout).len(), 24, "{}", text(&read.stderr));

    // Each append is told once by the host that was asked, and once by the host that wrote it.
    assert_eq!(sum(&hosts, "streamkit_transactions_total"), 24.0);
    assert_eq!(sum(&hosts, "streamkit_commit_seconds_count"), 24.0);
    let own = sum(&hosts, "streamkit_shared_groups_total{group=\"own\"}");
    assert!((1.0..=24.0).contains(&own), "{own} groups");
    let landed = "streamkit_medium_calls_total{call=\"insert\",end=\"done\"}";
    assert!(sum(&hosts, landed) >= 1.0);
    let calls = "streamkit_medium_call_seconds_count{call=\"read_root\"}";
    assert!(sum(&hosts, calls) >= 2.0);
    assert!(sum(&hosts, "streamkit_medium_sent_bytes_total{call=\"insert\"}") > 0.0);
    assert_eq!(sum(&hosts, "streamkit_queued_transactions"), 0.0);
    assert_eq!(sum(&hosts, "streamkit_open_stores"), 2.0);
    // One of them is to write the store, and the other one has it do that.
    let forwards = |end: &str| sum(&hosts, &format!("streamkit_forwards_total{{end=\"{end}\"}}"));
    let done_here = forwards("not_taken") + forwards("refused") + forwards("unanswered");
    assert_eq!((forwards("answered") + done_here, forwards("refused")), (12.0, 0.0));
    assert!(sum(&hosts, "streamkit_shared_looks_total") >= 1.0);
    assert!(sum(&hosts, "streamkit_shared_tail_reads_total") >= 1.0);
    for reason in ["refused", "damaged", "went_back", "host"] {
        let failed = format!("streamkit_shared_logs_failed_total{{reason=\"{reason}\"}}");
        assert_eq!(sum(&hosts, &failed), 0.0, "{reason}");
    }
    for host in hosts {
        let said = host.log();
        assert_eq!(said.matches("the message bus").count(), 1, "{said}");
    }

    // A host that leaves notes how far its copy is, and so does one that was at work for longer: what is sealed before that becomes history.
    one.signal("TERM");
    assert!(one.wait().success());
    one.restart();
    assert!(one.run(&["status", "orders/a"]).status.success());
    let hosts = [&one, &two];
    for change in ["history", "retired", "checkpoint"] {
        until(&format!("a change of a root: {change}"), || {
            let name = format!("streamkit_root_changes_total{{change=\"{change}\"}}");
            (sum(&hosts, &name) >= 1.0).then_some(())
        });
    }
    assert!(sum(&hosts, "streamkit_archive_rounds_total{end=\"archived\"}") >= 1.0);
    assert_eq!(metrics(&one)["streamkit_cache_most_bytes"], (16_u64 << 30) as f64);
    assert!(metrics(&one)["streamkit_archive_behind_seconds"] < 60.0);
}
