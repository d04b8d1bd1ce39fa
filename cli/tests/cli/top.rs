//! `top`: a server at work, on a real terminal and in a pipe.

use std::io::{Read as _, Write as _};

use crate::piped::Piped;
use crate::program::*;
use crate::tmux::Terminal;

/// Load, until it is dropped.
fn load(served: &Served) -> Piped {
    Piped::start(served.command(&["bench", "--duration", "1h", "--writers", "2", "--json"]))
}

#[test]
fn in_a_pipe_it_prints_one_object_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let _load = load(&served);
    // The segments of a load are there once it has begun.
    let seen = until("the busiest segments are told", || {
        let done = served.run(&["top"]);
        assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
        let mut told = lines(&done.stdout);
        assert_eq!(told.len(), 1);
        let seen = told.remove(0);
        (seen["busiest"].as_array().unwrap().len() == 2).then_some(seen)
    });
    assert_eq!(
        (&seen["url"], &seen["ready"]),
        (&served.url.as_str().into(), &true.into())
    );
    for busy in seen["busiest"].as_array().unwrap() {
        assert!(busy["space"].as_str().unwrap().starts_with("bench-"), "{busy}");
        assert!(busy["entries_per_second"].as_f64().unwrap() > 0.0, "{busy}");
        assert!(busy["last_sequence"].as_u64().unwrap() > 0, "{busy}");
    }
    assert!(seen["busiest_unknown"].is_null());
    assert!(seen["entries_per_second"].as_f64().unwrap() > 0.0, "{seen}");
    assert!(seen["disk_free_bytes"].as_u64().unwrap() > 0, "{seen}");
    assert!(seen["connections"].as_u64().unwrap() >= 1, "{seen}");
    let commit = &seen["commit_us"];
    assert!(0.0 < commit["p50"].as_f64().unwrap() && commit["p50"].as_f64() <= commit["p99"].as_f64());
    let operations = seen["operations"].as_array().unwrap();
    let produce = operations.iter().find(|of| of["operation"] == "produce").unwrap();
    assert!(
        produce["per_second"].as_f64().unwrap() > 0.0 && produce["failed_per_second"] == 0.0,
        "{produce}"
    );
}

#[test]
fn a_token_that_may_not_read_hides_the_segments_alone() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let seen = until("the spaces were asked for", || {
        let done = served
            .command(&["top"])
            .env("STREAMKIT_TOKEN", "no.such.token")
            .output();
        let seen = lines(&done.unwrap().stdout).remove(0);
        seen["busiest_unknown"].is_string().then_some(seen)
    });
    assert_eq!(seen["ready"], true, "{seen}");
}

#[test]
fn without_a_server_it_fails_as_other_commands_do() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let of = |url: &str| {
        let done = served.command(&["top"]).env("STREAMKIT_URL", url).output().unwrap();
        assert!(done.stdout.is_empty());
        (done.status.code(), text(&done.stderr))
    };
    assert_eq!(of("ws://127.0.0.1:1").0, Some(5));
    assert_eq!(served.run(&["top", "--every", "10ms"]).status.code(), Some(2));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .unwrap();
    });
    let (code, said) = of(&url);
    other.join().unwrap();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("answered 404 to /metrics"), "{said}");
}

/// What has to stand there at any width.
fn has_all(shown: &str) -> bool {
    let figures = [
        "entries/s",
        "commit p50/p99",
        "sync p50/p99",
        "disk free",
        "connections",
    ];
    let tables = [" operation", " produce ", "busiest segments", " q leaves"];
    let segments = [0, 1].map(|n| format!("/segment-{n} "));
    let segments = segments.iter().map(String::as_str);
    figures
        .into_iter()
        .chain(tables)
        .chain(segments)
        .all(|part| shown.contains(part))
}

#[test]
fn a_person_sees_the_server_at_work_and_that_it_went_away_and_came_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start(dir.path());
    for (columns, lines, leave) in [(80, 24, "q"), (120, 40, "C-c")] {
        let loaded = load(&served);
        let Some(terminal) = Terminal::run(&served.command(&["top"]), columns, lines) else {
            return;
        };
        let shown = terminal.until("all is shown", has_all);
        assert!(shown.contains("\n ready\n") && shown.contains(&served.url), "{shown}");
        assert_eq!(shown.contains("entries/s, up to "), columns == 120, "{shown}");
        drop(loaded);
        served.kill();
        let shown = terminal.until_shows("no answer, trying again: ");
        // What was known stays, and nothing else stands amid it.
        assert!(
            has_all(&shown) && !shown.contains("INFO") && !shown.contains("WARN"),
            "{shown}"
        );
        served.restart();
        terminal.until_shows("\n ready\n");
        let loaded = load(&served);
        terminal.until("the load is seen again", has_all);
        drop(loaded);
        terminal.press(leave);
        terminal.until_left_with(0);
    }
}

#[test]
fn the_terminal_is_given_back_when_the_command_is_ended_from_outside() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for name in ["TERM", "INT"] {
        let Some(terminal) = Terminal::run(&served.command(&["top"]), 80, 24) else {
            return;
        };
        terminal.until_shows("\n ready\n");
        signal(terminal.command(), name);
        terminal.until_left_with(0);
    }
}

#[test]
fn no_name_steers_the_terminal_or_moves_what_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    let wide = format!("{}/\u{1b}[2J\u{9b}1m\t\u{202e}", "日本語".repeat(20));
    let narrow = "s/a\u{1b}]0;title\u{7}\tb";
    for path in [wide.as_str(), narrow] {
        assert!(served.run_with(&["produce", path], "1\n").status.success());
    }
    let Some(terminal) = Terminal::run(&served.command(&["top"]), 80, 24) else {
        return;
    };
    for (path, seen) in [
        (narrow, " s/a\\u{1b}]0;title\\u{7}\\u{9}b "),
        (wide.as_str(), "日本語日本語"),
    ] {
        let shown = until("its segment is shown", || {
            assert!(served.run_with(&["produce", path], "1\n").status.success());
            Some(terminal.shown()).filter(|shown| shown.contains(seen))
        });
        let line = shown.lines().find(|line| line.contains(seen)).unwrap();
        // Its head stands at the edge, as that of any other.
        assert!(
            line.trim_end().ends_with(|digit: char| digit.is_ascii_digit()),
            "{shown}"
        );
        assert!(shown.contains(" q leaves"), "{shown}");
    }
    terminal.press("q");
    terminal.until_left_with(0);
}
