//! A small run of the torture, with the program as it was built beside this test.

use std::path::PathBuf;
use std::time::Duration;

use streamkit_torture_hosts::chaos::Longest;
use streamkit_torture_hosts::run::{Plan, run};

/// The program, beside what was built.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own
        .ancestors()
        .map(|folder| folder.join("streamkit"))
        .find(|path| path.is_file());
    found.expect("the program: `cargo build -p streamkit-server --bin streamkit` builds it")
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_killed_stopped_and_cut_off_lose_nothing_and_agree() {
    let plan = Plan {
        program: program(),
        hosts: 3,
        tricks: 8,
        longest: Longest {
            stop: Duration::from_secs(3),
            cut: Duration::from_secs(1),
        },
        attempts: 30,
        crews: 1,
        options: Vec::new(),
    };
    let (counts, broken) = run(1, &plan).await.unwrap();
    assert_eq!(broken, Vec::<String>::new());
    assert!(counts.acknowledged > 0, "{counts:?}");
}
