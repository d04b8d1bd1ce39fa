//! Every file that documents and comments cite exists.

use streamkit_tidy::errors::{code, rows};
use streamkit_tidy::{files, root};

/// Paths of the repository that a text names: `engine/src/lib.rs`, `docs/FORMAT.md`.
fn cited(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let words = text.split(|c| !is_path(c)).map(|word| word.trim_matches('.'));
    let roots = [
        "azure/", "benches/", "cli/", "client/", "docs/", "engine/", "fuzz/", "hosts/", "server/", "tidy/", "torture/",
    ];
    let ends = [".rs", ".md"];
    words
        .filter(|word| roots.iter().any(|root| word.starts_with(root)) && ends.iter().any(|end| word.ends_with(end)))
        .collect()
}

#[test]
fn each_path_that_a_document_or_a_comment_cites_is_there() {
    let mut wrong = Vec::new();
    let decisions = root().join("docs/decisions");
    let changes = root().join("CHANGELOG.md");
    for (file, text) in [files("md"), files("rs")].concat() {
        // They tell of a day, and of what stood there then.
        if file.starts_with(&decisions) || file == changes {
            continue;
        }
        let comments =
            |line: &&str| file.extension().is_none_or(|kind| kind != "rs") || line.trim_start().starts_with("//");
        for path in text.lines().filter(comments).flat_map(cited) {
            if !root().join(path).exists() {
                wrong.push(format!("{} cites {path}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_between_documents_lead_somewhere() {
    for (path, text) in files("md") {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") || target.starts_with('#') || target.contains('\n') {
                continue;
            }
            let file = path
                .parent()
                .expect("it stands in a folder")
                .join(target.split('#').next().unwrap_or_default());
            assert!(file.exists(), "{} links to {target}", path.display());
        }
    }
}

#[test]
fn each_failure_that_an_operator_may_meet_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/PRODUCTION.md")).expect("the page for operators");
    let rows = rows(&text);
    let tests: Vec<&str> = rows
        .iter()
        .filter_map(|(_, row)| Some(code(row.get("test")?)))
        .collect();
    assert!(tests.len() > 15, "failure modes have a column `test`");
    for test in tests {
        let (file, name) = test.split_once("::").unwrap_or((test, ""));
        let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        let before = source.split_once(&format!("fn {name}()")).map(|(before, _)| before);
        let attribute = before.and_then(|before| before.trim_end().lines().rev().find(|line| line.starts_with("#[")));
        let is_test = attribute.is_some_and(|attribute| {
            ["#[test]", "#[tokio::test"]
                .iter()
                .any(|test| attribute.starts_with(test))
        });
        assert!(
            is_test && !name.is_empty(),
            "docs/PRODUCTION.md: there is no test {test}"
        );
    }
}
