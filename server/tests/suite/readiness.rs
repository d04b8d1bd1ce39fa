//! What the log says at the start, over disks that do not do everything.

use std::sync::Arc;

use streamkit_engine::{CommitMethod, Engine, EngineConfig};

use crate::refusing::{Lines, Refusing, all_lines};

/// Opens an engine, and returns what it logged.
fn logged(config: EngineConfig) -> (Engine, String) {
    // With it each place that logs knows of somebody who listens: one that is met first by a thread without may keep silent.
    all_lines();
    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let engine = tracing::subscriber::with_default(log, || Engine::open(config)).unwrap();
    (engine, lines.text())
}

#[test]
fn the_log_says_once_how_commits_are_made_and_why_not_through_io_uring() {
    let dir = tempfile::tempdir().unwrap();
    let refusing = || EngineConfig {
        disk: Arc::new(Refusing::default()),
        ..EngineConfig::new(dir.path())
    };
    let (engine, log) = logged(refusing());
    assert_eq!(engine.commit_method(), "threads");
    let count = |text: &str| log.matches(text).count();
    assert_eq!(
        (
            count("WARN"),
            count("not in this container"),
            count("opened a data directory")
        ),
        (1, 1, 1),
        "{log}"
    );
    assert!(log.contains("commit_method=\"threads\""), "{log}");
    drop(engine);
    // Nobody is warned of what he asked for.
    for config in [refusing(), EngineConfig::new(dir.path())] {
        let commit_method = CommitMethod::Threads;
        let (engine, log) = logged(EngineConfig {
            commit_method,
            ..config
        });
        assert_eq!(engine.commit_method(), "threads");
        assert!(
            !log.contains("WARN") && log.contains("commit_method=\"threads\""),
            "{log}"
        );
    }
}
