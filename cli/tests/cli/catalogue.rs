//! docs/ERRORS.md says of each failed opening and of each exit code whether to try again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use streamkit_engine::{Busy, OpenError, StorageError, StoreId};

use crate::program::*;

/// The retry column under a heading, by the first column.
fn retries(heading: &str, column: usize) -> BTreeMap<String, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ERRORS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text
        .split("\n## ")
        .find(|section| section.starts_with(heading))
        .unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|line| {
        line.split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect::<Vec<_>>()
    });
    cells
        .map(|cells| (cells[1].to_owned(), cells[column].to_owned()))
        .collect()
}

#[test]
fn a_failed_opening_that_passes_is_told_as_such() {
    let dir = || "/d".into();
    let store = StoreId(uuid::Uuid::nil());
    let waited = Duration::from_secs(1);
    let all = [
        OpenError::InUse {
            dir: dir(),
            holder: String::new(),
        },
        OpenError::NewerFormat {
            path: dir(),
            found: 2,
            supported: 1,
        },
        OpenError::DamagedFormat {
            path: dir(),
            found: String::new(),
        },
        OpenError::StoresGone(dir()),
        OpenError::HoldsCopies(dir()),
        OpenError::HoldsStores(dir()),
        OpenError::Unfinished {
            dir: dir(),
            what: "backup",
        },
        OpenError::TooManyStores(1),
        OpenError::TooManyFiles(1),
        OpenError::StillOpening { store, waited },
        OpenError::OpeningsHang(1),
        OpenError::Config(String::new()),
    ];
    let mut listed = retries("Opening", 4);
    for error in all {
        let debug = format!("OpenError::{error:?}");
        let name = debug.split([' ', '(']).next().unwrap();
        let retry = if error.is_transient() { "yes" } else { "no" };
        assert_eq!(listed.remove(name).as_deref(), Some(retry), "{name}");
    }
    let rest = listed.keys().find(|name| name.starts_with("OpenError"));
    assert_eq!(rest, None, "not compared");
    // Those that pass another one on.
    let why = String::new();
    assert!(
        OpenError::Busy(Busy {
            why,
            retry_after: waited
        })
        .is_transient()
    );
    let source = Arc::new(std::io::Error::other("x"));
    let io = StorageError::Io {
        operation: "open",
        path: dir(),
        source,
    };
    assert!(!OpenError::Storage(io).is_transient());
}

#[test]
fn every_exit_code_is_listed() {
    let help = text(&streamkit().arg("--help").output().unwrap().stdout);
    let codes = help.split_once("Exit codes:").unwrap().1.lines();
    let codes = codes
        .filter_map(|line| line.split_whitespace().next())
        .filter(|code| *code != "0");
    let mut listed = retries("Commands", 2);
    for code in codes {
        assert!(
            listed.remove(code).is_some(),
            "add a row of exit code {code} to docs/ERRORS.md"
        );
    }
    assert!(!listed.keys().any(|code| code.parse::<u8>().is_ok()), "{listed:?}");
}
