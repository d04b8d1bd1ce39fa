//! Which entries `consume` prints, and how.

use crate::program::*;

fn served_with_orders(dir: &std::path::Path) -> Served {
    let served = Served::start(dir);
    for (path, by, input) in [
        ("orders/a", "card", "1\n2\n"),
        ("orders/b", "cash", "3\n"),
        ("orders/a", "cash", "4\n5\n"),
    ] {
        let done = served.run_with(&["produce", path, "-H", &format!("by={by}"), "-H", "x=y=z"], input);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }
    served
}

#[test]
fn only_entries_with_all_of_the_metadata_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let printed = |arguments: &[&str]| {
        let done = served.run(&[&["consume", "--output", "raw"], arguments].concat());
        assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        text(&done.stdout).replace('\n', "")
    };
    let card = ["--where", "by=card"];
    let cash = ["--where", "by=cash"];
    assert_eq!(printed(&[&["orders"], &card[..]].concat()), "12");
    assert_eq!(printed(&[&["orders"], &cash[..]].concat()), "345");
    assert_eq!(printed(&[&["orders/a"], &cash[..]].concat()), "45");
    assert_eq!(printed(&[&["orders", "--limit", "2"], &cash[..]].concat()), "34");
    assert_eq!(printed(&[&["orders", "--last", "2"], &cash[..]].concat()), "45");
    assert_eq!(printed(&[&["orders/a", "--last", "3"], &card[..]].concat()), "12");
    assert_eq!(
        printed(&[&["orders/a", "--from", "2", "--where", "x=y=z"], &card[..]].concat()),
        "2"
    );
    assert_eq!(printed(&["orders", "--where", "by=bank"]), "");
    assert_eq!(printed(&[&["orders", "--since", "1h"], &card[..]].concat()), "12");
    assert_eq!(printed(&[&["orders", "--since", "now"], &card[..]].concat()), "");
    let file = dir.path().join("offset");
    let file = file.to_str().unwrap();
    assert_eq!(
        printed(&[&["orders", "--limit", "2", "--offset-file", file], &cash[..]].concat()),
        "34"
    );
    assert_eq!(printed(&[&["orders", "--offset-file", file], &cash[..]].concat()), "5");
    let wrong = served.run(&["consume", "orders", "--where", "by"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("KEY=VALUE"), "{}", text(&wrong.stderr));
}

#[test]
fn a_table_has_a_line_for_each_entry_and_a_wrong_template_is_told_where() {
    let dir = tempfile::tempdir().unwrap();
    let served = served_with_orders(dir.path());
    let table = text(&served.run(&["consume", "orders", "--output", "table"]).stdout);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["sequence", "committed", "segment", "payload"]);
    assert_eq!(rows.len(), 6);
    assert_eq!((rows[3][0], rows[3][2], rows[3][3]), ("1", "b", "3"));
    let peeked = text(&served.run(&["peek", "orders/a", "--output", "table"]).stdout);
    assert_eq!(peeked.lines().count(), 2);
    // As it was called before.
    assert_eq!(
        text(&served.run(&["peek", "orders/a", "--format", "payload"]).stdout),
        "5\n"
    );
    let wrong = served.run(&["consume", "orders", "--output", "{sequence} {payload"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        text(&wrong.stderr).contains("the { at character 12"),
        "{}",
        text(&wrong.stderr)
    );
}
