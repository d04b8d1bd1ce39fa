//! What people at the command line write, and what they are told.

use crate::program::*;

fn served_with_orders(dir: &std::path::Path) -> Served {
    let served = Served::start(dir);
    assert!(served.run_with(&["produce", "orders/a"], "1\n2\n3\n").status.success());
    assert!(served.run_with(&["produce", "orders/b"], "4\n").status.success());
    served
}

#[test]
fn the_last_entries_are_read_of_a_segment_and_of_a_space() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let payloads = |args: &[&str]| {
        let done = served.run(&[&["consume", "--format", "payload"], args].concat());
        assert!(done.status.success(), "{}", text(&done.stderr));
        text(&done.stdout)
    };
    assert_eq!(payloads(&["orders/a", "--last", "2"]), "2\n3\n");
    assert_eq!(payloads(&["orders/a", "--last", "9"]), "1\n2\n3\n");
    assert_eq!(payloads(&["orders", "--last", "2"]), "3\n4\n");
    let shown = served.run(&[
        "consume",
        "orders/a",
        "--limit",
        "1",
        "--format",
        r"{segment}\t{sequence}: {payload}",
    ]);
    assert_eq!(text(&shown.stdout), "a\t1: 1\n");
    let peeked = served.run(&["peek", "orders/b", "--format", "payload"]);
    assert_eq!(text(&peeked.stdout), "4\n");
    for wrong in [
        &["orders/a", "--format", "{nothing}"][..],
        &["orders/a", "--last", "1", "--from", "1"],
        &["orders", "--last", "200000"],
    ] {
        assert_eq!(
            served.run(&[&["consume"], wrong].concat()).status.code(),
            Some(2),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_read_ends_where_it_is_told_and_seconds_are_no_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let first = lines(&served.run(&["consume", "orders/a", "--limit", "1"]).stdout);
    let committed = first[0]["timestamp"].to_string();
    let count = |args: &[&str]| lines(&served.run(&[&["consume", "orders"], args].concat()).stdout).len();
    assert!(count(&["--until", &committed]) >= 1);
    assert_eq!(count(&["--until", "2013-01-31T18:00+02:00"]), 0);
    assert_eq!(count(&["--since", "2013-01-31"]), 4);
    assert_eq!(count(&["--since", "@1359655200"]), 4);
    let seconds = served.run(&["consume", "orders", "--since", "1359655200"]);
    assert_eq!(seconds.status.code(), Some(2));
    assert!(
        text(&seconds.stderr).contains("write @1359655200"),
        "{}",
        text(&seconds.stderr)
    );
}

#[test]
fn what_is_not_there_is_said_to_be_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    for (args, said) in [
        (&["consume", "ordres"][..], "there is no space ordres"),
        (&["consume", "orders/c"], "there is no segment orders/c"),
        (&["consume", "orders/c", "--last", "3"], "there is no segment orders/c"),
        (&["segments", "ordres"], "there is no space ordres"),
        (&["status", "orders/c"], "there is no segment orders/c"),
    ] {
        let done = served.run(args);
        assert!(done.status.success(), "{args:?}");
        assert!(text(&done.stderr).contains(said), "{args:?}: {}", text(&done.stderr));
    }
    for args in [
        &["consume", "orders", "--since", "1ms"][..],
        &["consume", "orders/a", "--from", "4"],
        &["status"],
    ] {
        assert_eq!(text(&served.run(args).stderr), "", "{args:?}");
    }
}

#[test]
fn removing_asks_for_a_yes_and_says_what_goes() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let asked = served.run(&["trim", "orders/a", "--before", "3"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(
        text(&asked.stderr).contains("2 entries of orders/a"),
        "{}",
        text(&asked.stderr)
    );
    let trimmed = served.run(&["trim", "orders/a", "--before", "3", "--yes"]);
    assert_eq!(lines(&trimmed.stdout)[0]["removed"], 2);
    assert_eq!(
        served
            .run(&["trim", "orders/a", "--before", "4", "--yes"])
            .status
            .code(),
        Some(2)
    );
    let asked = served.run(&["delete", "orders"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(
        text(&asked.stderr).contains("2 entries in 2 segments"),
        "{}",
        text(&asked.stderr)
    );
    let deleted = served.run(&["delete", "orders", "--yes"]);
    assert_eq!(lines(&deleted.stdout)[0]["segments"], 2);
    assert_eq!(served.run(&["spaces"]).stdout, b"");
    assert_eq!(served.run(&["delete", "orders", "--yes"]).status.code(), Some(1));
}

#[test]
fn a_token_that_expired_is_told_apart_from_one_that_is_wrong_and_no_stream_broke_off() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let key = dir.path().join("key");
    let minted = |args: &[&str]| {
        let done = streamkit()
            .args(["token", "--store"])
            .args(args)
            .arg("--jwt-key-file")
            .arg(&key)
            .output();
        text(&done.unwrap().stdout).trim().to_owned()
    };
    let consume = |token: &str| {
        let done = served
            .command(&["consume", "orders"])
            .env("STREAMKIT_TOKEN", token)
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(4));
        let said = text(&done.stderr);
        assert!(!said.contains("broke off"), "{said}");
        said
    };
    let expired = minted(&["*", "--ttl", "1s"]);
    std::thread::sleep(std::time::Duration::from_millis(2100));
    assert!(consume(&expired).contains("the token has expired"));
    let target = dir.path().join("backup");
    let mut backup = served.command(&["backup", &served.url, target.to_str().unwrap()]);
    let backup = backup.env("STREAMKIT_TOKEN", expired.trim()).output().unwrap();
    assert_eq!(backup.status.code(), Some(4));
    assert!(
        text(&backup.stderr).contains("the token has expired"),
        "{}",
        text(&backup.stderr)
    );
    assert!(consume("nonsense").contains("the server refused the token"));
    assert!(consume(&minted(&["00000000-0000-4000-8000-000000000001"])).contains("access denied"));
    assert!(consume(&minted(&["*", "--write-only"])).contains("access denied"));
}

#[test]
fn addresses_are_taken_as_people_write_them_and_bad_values_say_where_they_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let address = served.url.trim_start_matches("ws://");
    for url in [
        address.to_owned(),
        format!("http://{address}"),
        address.replace("127.0.0.1", ""),
    ] {
        let done = served.run(&["spaces", "--url", &url]);
        assert!(done.status.success(), "{url}: {}", text(&done.stderr));
    }
    let serve = |listen: &[&str], variable: &str, file: &str| {
        let config = dir.path().join("settings.toml");
        std::fs::write(&config, file).unwrap();
        let mut serve = streamkit();
        serve.arg("serve").args(listen).arg("--config").arg(&config);
        serve.args(["--jwt-key-file", "/nowhere"]);
        if !variable.is_empty() {
            serve.env("STREAMKIT_LISTEN", variable);
        }
        let done = serve.output().unwrap();
        assert_eq!(done.status.code(), Some(2));
        text(&done.stderr)
    };
    let said = serve(&["--listen", ":8080"], "", "");
    assert!(said.contains("0.0.0.0:8080") && !said.contains("comes from"), "{said}");
    let said = serve(&[], "example.org:80", "");
    assert!(said.contains("comes from the variable STREAMKIT_LISTEN"), "{said}");
    let said = serve(&[], "", "listen = \"everywhere\"\n");
    assert!(
        said.contains("comes from the file") && said.contains("settings.toml"),
        "{said}"
    );
    let said = serve(&[], "", "channels = 0\n");
    assert!(said.contains("comes from the file"), "{said}");
    let said = serve(&["--listen", "::1"], "", "");
    assert!(said.contains("write [::1]:8080"), "{said}");
    // A file that cannot be used is a wrong argument as well.
    let said = serve(&[], "", "channels = [\n");
    assert!(said.contains("cannot use the settings in"), "{said}");
    let said = serve(&["--config", "/nowhere"], "", "");
    assert!(said.contains("cannot use the settings in /nowhere"), "{said}");
}

#[test]
fn a_server_tells_of_variables_that_look_like_its_own_and_are_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut dev = streamkit();
    dev.args(["dev", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path());
    dev.env("STREAMKIT_LISTNE", "0.0.0.0:80")
        .env("STREAMKIT_SERVICE_HOST", "x");
    dev.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = dev.spawn().unwrap();
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap());
    let (mut said, told) = (
        String::new(),
        "STREAMKIT_LISTNE is no variable of this program; did you mean STREAMKIT_LISTEN?",
    );
    while !said.contains(told) || !said.contains("STREAMKIT_SERVICE_HOST is no variable of this program\n") {
        assert_ne!(std::io::BufRead::read_line(&mut log, &mut said).unwrap(), 0, "{said}");
    }
    signal(child.id(), "TERM");
    std::io::Read::read_to_string(&mut log, &mut said).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(said.matches("is no variable").count(), 2, "{said}");
}

#[test]
fn a_bench_leaves_nothing_behind_and_ctrl_c_keeps_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let done = served.run(&["bench", "--writers", "11", "--calls", "3", "--json"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert_eq!(lines(&done.stdout)[0]["calls"], 33);
    assert_eq!(served.run(&["spaces"]).stdout, b"");
    let kept = served.run(&["bench", "--writers", "11", "--calls", "1", "--keep"]);
    assert!(kept.status.success());
    let space = lines(&served.run(&["spaces"]).stdout)[0]["space"]
        .as_str()
        .unwrap()
        .to_owned();
    let segments = lines(&served.run(&["segments", &space]).stdout);
    assert_eq!(segments.len(), 11);
    assert!(
        segments
            .iter()
            .all(|s| s["segment"].as_str().unwrap().len() == "segment-00".len())
    );
    assert!(served.run(&["delete", &space, "--yes"]).status.success());
    let mut long = served.command(&["bench", "--duration", "1h", "--json"]);
    long.stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let child = long.spawn().unwrap();
    until("it writes", || {
        (!served.run(&["spaces"]).stdout.is_empty()).then_some(())
    });
    signal(child.id(), "INT");
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130), "{}", text(&stopped.stderr));
    assert!(lines(&stopped.stdout)[0]["calls"].as_u64().unwrap() > 0);
    assert_eq!(served.run(&["spaces"]).stdout, b"");
}

#[test]
fn an_offset_is_kept_of_what_somebody_could_read_and_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let file = dir.path().join("offset");
    let closed = |how: &str| {
        let consume = served.command(&["consume", "orders", "--offset-file", file.to_str().unwrap()]);
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", &format!("\"$0\" \"$@\" {how}")])
            .arg(consume.get_program())
            .args(consume.get_args());
        shell.envs(consume.get_envs().filter_map(|(key, value)| Some((key, value?))));
        shell.output().unwrap()
    };
    let done = closed(">&-");
    assert_eq!(done.status.code(), Some(1));
    assert!(
        text(&done.stderr).contains("standard output is closed"),
        "{}",
        text(&done.stderr)
    );
    assert!(!file.exists());
    assert!(closed(">/dev/null").status.success());
    assert!(file.exists());
    std::fs::remove_file(&file).unwrap();
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&file)
            .status()
            .unwrap()
            .success()
    );
    let done = closed("");
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("it is no file"), "{}", text(&done.stderr));
}

#[test]
fn numbers_beyond_all_measure_and_times_of_nothing_are_refused_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let key = dir.path().join("k");
    std::fs::write(&key, [b'k'; 32]).unwrap();
    let most = u64::MAX.to_string();
    for args in [
        &["status", "--timeout", "0s"][..],
        &["backup", "--timeout", "0s", "a", "b"],
        &["bench", "--writers", &most],
        &["bench", "--batch", &most],
        &["bench", "--size", &most],
        &["bench", "--connections", &most],
        &["bench", "--segments", "0"],
        &["serve", "--jwt-key-file", key.to_str().unwrap(), "--connections", &most],
        &[
            "serve",
            "--jwt-key-file",
            key.to_str().unwrap(),
            "--inbound-bytes",
            &most,
        ],
        &["serve", "--jwt-key-file", key.to_str().unwrap(), "--open-stores", "0"],
    ] {
        let done = served.run(args);
        assert_eq!(done.status.code(), Some(2), "{args:?}: {}", text(&done.stderr));
        assert!(
            text(&done.stderr).contains("invalid value"),
            "{args:?}: {}",
            text(&done.stderr)
        );
    }
}

#[test]
fn a_bench_that_wrote_nothing_says_why_and_of_no_space_that_it_stays() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let refused = served
        .command(&["bench", "--calls", "1"])
        .env("STREAMKIT_TOKEN", "x")
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(4));
    let said = text(&refused.stderr);
    assert!(said.contains("unauthorized") && !said.contains("stays"), "{said}");
    assert!(refused.stdout.is_empty());
}
