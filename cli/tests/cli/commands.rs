//! Each command as a script uses it.

use crate::program::*;

#[test]
fn the_demo_imports_reads_back_and_checks_all_events() {
    let dir = tempfile::tempdir().unwrap();
    let done = streamkit().arg("demo").arg("--data").arg(dir.path()).output().unwrap();
    assert!(done.status.success(), "{}", text(&done.stderr));
    let figures = &lines(&done.stdout)[0];
    assert_eq!(figures["segments"], 3149);
    assert_eq!(figures["aircraft"]["entries"], 74);
    assert!(verify(dir.path()).status.success());
}

#[test]
fn produced_lines_are_consumed_peeked_listed_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let done = served.run_with(&["produce", "orders/order-1"], "placed\npaid\n");
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(lines(&done.stdout)[0]["head"], 2);
    let json = "{\"payload\":\"sent\",\"metadata\":{\"by\":\"post\"}}\n{\"payload_base64\":\"/w==\"}\n";
    assert!(
        served
            .run_with(&["produce", "orders/order-1", "--expect", "2", "--json"], json)
            .status
            .success()
    );
    let entries = lines(&served.run(&["consume", "orders/order-1"]).stdout);
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[0]["payload"], "placed");
    assert_eq!(entries[2]["metadata"]["by"], "post");
    assert_eq!(entries[3]["payload_base64"], "/w==");
    let keys: Vec<&String> = entries[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "space",
            "segment",
            "sequence",
            "timestamp",
            "trx",
            "metadata",
            "payload"
        ]
    );
    assert_eq!(
        lines(&served.run(&["consume", "orders", "--limit", "3"]).stdout).len(),
        3
    );
    assert_eq!(
        lines(&served.run(&["consume", "orders/order-1", "--from", "4"]).stdout).len(),
        1
    );
    assert_eq!(lines(&served.run(&["peek", "orders/order-1"]).stdout)[0]["sequence"], 4);
    assert_eq!(lines(&served.run(&["spaces"]).stdout)[0]["space"], "orders");
    assert_eq!(
        lines(&served.run(&["segments", "orders"]).stdout)[0]["last_sequence"],
        4
    );
    let status = &lines(&served.run(&["status"]).stdout)[0];
    assert_eq!(status["entry_count"], 4);
    let method = status["commit_method"].as_str();
    assert!(matches!(method, Some("io_uring" | "threads")), "{status}");
}

#[test]
fn failures_have_their_exit_codes_and_say_what_next() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "o/a"], "1\n2\n3\n").status.success());
    let conflict = served.run_with(&["produce", "o/a", "--expect", "1"], "x\n");
    assert_eq!(conflict.status.code(), Some(3));
    let said = text(&conflict.stderr);
    assert!(
        said.contains("sequence conflict: expected head 1, it is 3; rerun with --expect 3"),
        "{said}"
    );
    assert_eq!(served.run(&["peek", "o/none"]).status.code(), Some(1));
    assert_eq!(served.run(&["peek", "no-slash"]).status.code(), Some(2));
    assert_eq!(served.run(&["spaces", "--token", "forged"]).status.code(), Some(4));
    for wrong in [
        &["consume", "o", "--since", "tomorrow"][..],
        &["spaces", "--url", "ftp://127.0.0.1:1"],
        &["bench", "--writers", "0"],
        &["serve", "--channel-inbound-bytes", "5"],
        &["serve", "--queues-bytes", "27661311"],
        &["serve", "--channels", "0"],
        &["serve", "--silence", "0s"],
    ] {
        assert_eq!(served.run(wrong).status.code(), Some(2), "{wrong:?}");
    }
    let nobody = served
        .command(&["spaces", "--url", "ws://127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(5));
    let second = streamkit()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&served.data)
        .arg("--jwt-key-file")
        .arg(dir.path().join("key"))
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second.stderr);
    assert!(said.contains("in use by process "), "{said}");
    let keyless = streamkit().args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(keyless.status.code(), Some(2));
    std::fs::write(dir.path().join("short"), "too short").unwrap();
    let weak = streamkit()
        .arg("serve")
        .arg("--jwt-key-file")
        .arg(dir.path().join("short"))
        .output()
        .unwrap();
    assert_eq!(weak.status.code(), Some(1));
    assert!(text(&weak.stderr).contains("at least 32"));
}

/// Not only a second server: whatever opens a directory needs it for itself.
#[test]
fn a_directory_in_use_is_refused_to_every_other_process_with_what_to_do_and_free_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    assert!(served.run_with(&["produce", "o/a"], "1\n").status.success());
    let data = served.data.to_str().unwrap().to_owned();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (key, target, copy) = (at("key"), at("target"), at("copy"));
    let all: [&[&str]; 6] = [
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--jwt-key-file",
            &key,
            "--data",
            &data,
        ],
        &["dev", "--listen", "127.0.0.1:0", "--data", &data],
        &["verify", &data],
        &["inspect", &data],
        &["repair", &data, &target],
        &["backup", &data, &copy],
    ];
    for command in all {
        let refused = streamkit().args(command).output().unwrap();
        assert_eq!(refused.status.code(), Some(1), "{command:?}");
        let said = text(&refused.stderr);
        for part in [
            &format!("the data directory {data} is in use by process "),
            "stop that one first, or choose another directory",
        ] {
            assert!(said.contains(part), "{command:?}: {said}");
        }
        assert!(refused.stdout.is_empty(), "{command:?}");
    }
    assert!(served.run_with(&["produce", "o/a"], "2\n").status.success());
    served.kill();
    for command in &all[2..] {
        let done = streamkit().args(*command).output().unwrap();
        assert!(done.status.success(), "{command:?}: {}", text(&done.stderr));
    }
    assert!(verify(std::path::Path::new(&target)).status.success());
}

#[test]
fn a_ragged_row_names_its_line_and_everything_before_it_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("ragged.csv");
    std::fs::write(&file, "id,city\n1,Rome\n2,Oslo\n3\n4,Bern\n").unwrap();
    let file = file.to_str().unwrap();
    let done = served.run(&["import", "places", file, "--segment-by", "city"]);
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stderr);
    assert!(
        said.contains("line 4") && said.contains("2 rows before it are stored"),
        "{said}"
    );
    assert_eq!(lines(&served.run(&["status"]).stdout)[0]["entry_count"], 2);
    std::fs::write(file, "id,city\n1,Rome\n2,Oslo\n3,Rome\n4,Bern\n").unwrap();
    assert!(
        served
            .run(&["import", "places", file, "--segment-by", "city"])
            .status
            .success()
    );
    let rome = lines(&served.run(&["consume", "places/Rome"]).stdout);
    assert_eq!(rome.len(), 2);
    assert_eq!(rome[1]["payload"], "{\"id\":\"3\",\"city\":\"Rome\"}");
    assert_eq!(
        (&rome[1]["metadata"]["source"], &rome[1]["metadata"]["row"]),
        (&file.into(), &"3".into())
    );
    let unknown = served.run(&["import", "places", file, "--segment-by", "town"]);
    assert!(text(&unknown.stderr).contains("the columns are id, city"));
}

#[test]
fn an_ndjson_line_is_stored_verbatim_and_a_malformed_one_named() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let file = dir.path().join("events.ndjson");
    std::fs::write(&file, "{ \"k\": 7, \"x\": [1] }\n{\"k\":\"b\"}\nnot json\n").unwrap();
    let done = served.run(&["import", "e", file.to_str().unwrap(), "--segment-by", "k"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("line 3"), "{}", text(&done.stderr));
    assert_eq!(
        lines(&served.run(&["peek", "e/7"]).stdout)[0]["payload"],
        "{ \"k\": 7, \"x\": [1] }"
    );
}

#[test]
fn damage_is_named_and_exits_6_while_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    // Two groups in the second extent: the later one shows that the earlier one was once whole.
    for _ in 0..2 {
        let lines = "a line of some length\n".repeat(3000);
        assert!(served.run_with(&["produce", "o/a"], &lines).status.success());
    }
    served.kill();
    let extent = served
        .data
        .join("stores")
        .join(STORE)
        .join("00000000000000000002.extent");
    let mut bytes = std::fs::read(&extent).unwrap();
    bytes[8192] ^= 1;
    std::fs::write(&extent, bytes).unwrap();
    let found = verify(&served.data);
    assert_eq!(found.status.code(), Some(6), "{}", text(&found.stdout));
    std::fs::write(served.data.join("format"), "streamkit 2\n").unwrap();
    let newer = verify(&served.data);
    assert_eq!(newer.status.code(), Some(1));
    assert!(
        text(&newer.stderr).contains("use a newer streamkit"),
        "{}",
        text(&newer.stderr)
    );
}

#[test]
fn the_same_token_works_after_dev_restarts() {
    use std::io::BufRead as _;
    let dir = tempfile::tempdir().unwrap();
    let start = || {
        let mut dev = streamkit();
        dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
        let mut child = dev
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let out = std::io::BufReader::new(child.stdout.take().unwrap());
        let exports: Vec<String> = out
            .lines()
            .take(3)
            .map(|line| line.unwrap().split_once('=').unwrap().1.to_owned())
            .collect();
        (child, exports)
    };
    let (mut child, first) = start();
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, second) = start();
    let spaces = streamkit()
        .args([
            "spaces", "--url", &second[0], "--token", &first[1], "--store", &first[2],
        ])
        .output();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(spaces.unwrap().status.success());
    assert_eq!(first[2], second[2]);
}
