//! Every file that documents and comments cite exists.

use streamkit_tidy::{files, root};

/// Paths of the repository that a text names: `engine/src/lib.rs`, `docs/FORMAT.md`.
fn cited(text: &str) -> Vec<&str> {
    let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let words = text.split(|c| !is_path(c)).map(|word| word.trim_matches('.'));
    let roots = [
        "benches/", "cli/", "client/", "docs/", "engine/", "fuzz/", "server/", "tidy/", "torture/",
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
