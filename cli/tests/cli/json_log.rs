//! The log as lines of JSON, and its filter that changes while a server runs.

use streamkit_protocol::Request;

use crate::program::{STORE, Served};
use crate::telemetry::ask;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A name that would begin lines of its own, and clear a terminal.
const HOSTILE: &str = "a\u{1b}[2J\nERROR";

#[tokio::test]
async fn every_line_of_a_server_is_an_object_that_names_the_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut served = Served::start_with(dir.path(), &[("STREAMKIT_LOG_FORMAT", "json")]);
    let path = format!("{HOSTILE}/a");
    let line = "a line of some length\n";
    for _ in 0..2 {
        assert!(
            served
                .run_with(&["produce", &path], &line.repeat(30_000))
                .status
                .success()
        );
    }
    served.signal("TERM");
    assert!(served.wait().success());
    let extent = served.data.join("stores").join(STORE).join(format!("{:020}.extent", 2));
    let mut bytes = std::fs::read(&extent).unwrap();
    let at = bytes.windows(20).position(|window| window == &line.as_bytes()[..20]);
    bytes[at.unwrap() + 5] ^= 1;
    std::fs::write(&extent, bytes).unwrap();
    served.restart();
    let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let consume = Request::ConsumeSegment(streamkit_protocol::ConsumeSegment {
        space: HOSTILE.into(),
        segment: "a".into(),
        ..Default::default()
    });
    ask(&served, consume, &[("traceparent", &parent)]).await;
    for _ in 0..8 {
        assert_eq!(served.run(&["consume", &path]).status.code(), Some(6));
    }
    served.signal("TERM");
    assert!(served.wait().success());
    let text = format!("{}\n{}", served.first_line, served.log());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        for field in ["timestamp", "level", "target", "message"] {
            assert!(line[field].is_string(), "{field}: {line}");
        }
    }
    let serving = lines[0]["message"].as_str().unwrap();
    assert!(serving.starts_with("streamkit: serving on ws://"), "{serving}");
    let failed: Vec<_> = lines.iter().filter(|line| line["message"] == "a read failed").collect();
    let (traced, failed): (Vec<_>, Vec<_>) = failed.into_iter().partition(|line| line["trace_id"].is_string());
    assert_eq!(traced.len(), 1, "{lines:?}");
    assert_eq!(traced[0]["trace_id"], TRACE);
    assert_eq!(
        failed.len(),
        4,
        "further ones repeat them, though each is of another call"
    );
    for line in failed {
        assert_eq!(
            (line["space"].as_str(), line["segment"].as_str()),
            (Some(HOSTILE), Some("a"))
        );
        assert_eq!(
            (line["store_id"].as_str(), line["level"].as_str()),
            (Some(STORE), Some("WARN"))
        );
        assert!(line["channel"].is_string(), "{line}");
    }
}

#[test]
fn a_value_that_is_no_filter_or_format_is_refused_by_a_server_and_means_nothing_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path());
    for (option, variable) in [
        ("--log=a=b=c", "STREAMKIT_LOG"),
        ("--log-format=xml", "STREAMKIT_LOG_FORMAT"),
    ] {
        let mut serve = crate::program::streamkit();
        let refused = serve.args(["serve", "--jwt-key-file", "k", option]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{option}");
        let value = option.split_once('=').unwrap().1;
        let listed = served.command(&["spaces"]).env(variable, value).output().unwrap();
        assert!(listed.status.success(), "{variable}");
    }
}

#[test]
fn the_filter_in_the_settings_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let settings = dir.path().join("streamkit.toml");
    std::fs::write(&settings, "log = \"error\"\n").unwrap();
    let mut served = Served::start_with(dir.path(), &[("STREAMKIT_CONFIG", settings.to_str().unwrap())]);
    std::fs::write(&settings, "log = \"info\"\n").unwrap();
    served.signal("HUP");
    served.wait_for_log("the log has another filter filter=\"info\"");
    std::fs::write(&settings, "log = \"a=b=c\"\n").unwrap();
    served.signal("HUP");
    served.wait_for_log("SIGHUP: log filter: what is there cannot be used");
    // Nobody has to ask for it.
    std::fs::write(&settings, "log = \"debug\"\n").unwrap();
    served.wait_for_log("the log has another filter filter=\"debug\"");
    served.signal("TERM");
    assert!(served.wait().success());
}
