//! The tests that a document names as proofs exist.

use std::collections::BTreeSet;

use streamkit_tidy::{files, root};

/// A row that nothing proves begins so, and goes on with the reason.
const NONE: &str = "– ";

/// The rows of all tables of a document: what is promised, and what proves it.
fn rows(text: &str) -> Vec<(&str, &str)> {
    let lines = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("|---"));
    lines
        .map(|line| {
            let mut cells = line.trim_matches('|').rsplitn(2, " | ").map(str::trim);
            let proof = cells.next().unwrap_or_default();
            (cells.next().unwrap_or_default(), proof)
        })
        .filter(|(_, proof)| *proof != "test")
        .collect()
}

/// Whatever runs as a test: a function behind its attribute, or one that a macro makes tests of.
fn tests() -> BTreeSet<String> {
    let sources = files("rs");
    let mut found = BTreeSet::new();
    for (_, text) in &sources {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let name = line
                .split_once("fn ")
                .and_then(|(_, rest)| rest.split(['(', '<']).next());
            if let Some(name) = name.filter(|_| std::mem::take(&mut is_test)) {
                found.insert(name.to_owned());
            }
        }
    }
    let listed = |text: &str, begins: &str| -> Vec<String> {
        let lists = text.split(begins).skip(1).filter_map(|rest| rest.split('}').next());
        let words = lists.flat_map(|list| list.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
        words.filter(|word| word.contains('_')).map(str::to_owned).collect()
    };
    for (_, text) in &sources {
        for name in [listed(text, "over_both! {"), listed(text, "@ $fixture;")].concat() {
            if sources.iter().any(|(_, text)| text.contains(&format!("fn {name}("))) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn each_promise_to_clients_of_the_go_system_names_a_test_that_exists_or_why_there_is_none() {
    let text = std::fs::read_to_string(root().join("docs/WIRE-V1.md")).unwrap();
    let (rows, tests) = (rows(&text), tests());
    assert!(rows.len() > 100 && tests.len() > 500, "{} {}", rows.len(), tests.len());
    let mut wrong = Vec::new();
    for (promise, proof) in rows {
        let quoted = proof.split('`').skip(1).step_by(2);
        let is_name = |word: &&str| word.contains('_') && !word.contains(['.', '/', ':']);
        let names: Vec<&str> = quoted.filter(is_name).collect();
        let missing = names.iter().filter(|name| !tests.contains(**name));
        wrong.extend(missing.map(|name| format!("{promise}: there is no test {name}")));
        let reason = proof.strip_prefix(NONE).map_or(0, str::len);
        if names.is_empty() && reason < 10 {
            wrong.push(format!("{promise}: neither a test nor a reason"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
