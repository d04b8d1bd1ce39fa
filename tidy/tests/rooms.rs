//! The rooms of the house: no circle between folders, none of more than two files inside one, and the rooms of the engine, of
//! the server and of others in one order each, from top to bottom.

use std::collections::{BTreeMap, BTreeSet};

use streamkit_tidy::imports::{Imports, circles, imports};
use streamkit_tidy::root;

/// Crates whose rooms stand in an order: each imports only from those below it.
const ORDERS: &[(&str, &[&str])] = &[
    ("azure", AZURE),
    ("engine", ENGINE),
    ("hosts", HOSTS),
    ("server", SERVER),
    ("cli", CLI),
];

const AZURE: &[&str] = &[
    "store",
    "archive",
    "simulation",
    "tools",
    "driver",
    "collector",
    "ledger",
    "log",
    "medium",
    "account",
];

const ENGINE: &[&str] = &[
    "engine",
    "doctor",
    "backup",
    "offline",
    "store",
    "commit",
    "read",
    "log",
    "index",
    "directory",
    "format",
    "config",
    "simulation",
    "disk",
    "runtime",
    "boundary",
    "clock",
    "error",
    "limits",
];

const HOSTS: &[&str] = &["workers", "forwarding", "link", "presence", "choose", "bus", "host"];

const SERVER: &[&str] = &[
    "http",
    "v1",
    "v2",
    "websocket",
    "verbs",
    "shared",
    "live",
    "stores",
    "circuit",
    "metrics",
    "calls",
    "told",
    "budgets",
    "tls",
    "peer",
    "auth",
    "certificate",
    "term",
    "stood",
    "limits",
];

const CLI: &[&str] = &[
    "usage",
    "commands",
    "serving",
    "connect",
    "telemetry",
    "import",
    "input",
    "arguments",
    "output",
    "signals",
    "failure",
    "terminal",
    "called",
    "files",
];

/// The crates without circles. What only tests need not be.
const CRATES: &[&str] = &[
    "azure",
    "engine",
    "engine/record",
    "client",
    "client/protocol",
    "hosts",
    "server",
    "cli",
];

fn of(name: &str) -> Imports {
    imports(&root().join(name).join("src"))
}

#[test]
fn rooms_import_only_from_those_below() {
    let mut wrong = Vec::new();
    for (name, order) in ORDERS {
        let place = |room: &str| {
            let place = order.iter().position(|known| *known == room);
            place.unwrap_or_else(|| panic!("{name}: {room} has no place in the order of the rooms"))
        };
        for (module, imported) in &of(name).of {
            // What the crate shows to others.
            let Some(room) = module.first() else { continue };
            for import in imported {
                if place(&import[0]) < place(room) {
                    wrong.push(format!("{name}: {} imports {}", module.join("::"), import.join("::")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_circle_stands_between_folders() {
    for name in CRATES {
        let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, imported) in of(name).of {
            let Some(folder) = module.first() else { continue };
            let others = imported
                .iter()
                .map(|import| import[0].clone())
                .filter(|other| other != folder);
            folders.entry(folder.clone()).or_default().extend(others);
        }
        let found = circles(&folders);
        assert!(found.is_empty(), "{name}: {found:?}");
    }
}

#[test]
fn no_circle_within_a_folder_has_more_than_two_files() {
    for name in CRATES {
        for circle in circles(&of(name).of) {
            assert!(circle.len() <= 2, "{name}: {circle:?}");
        }
    }
}
