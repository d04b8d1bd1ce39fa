//! The inputs of the house rules: the repository's files, which module of a crate imports which, and which errors there are.

pub mod errors;
pub mod imports;

use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().expect("this crate stands in the repository").to_owned()
}

/// The repository's files with an extension, each with its text.
pub fn files(extension: &str) -> Vec<(PathBuf, String)> {
    files_in(&root(), extension)
}

/// Those in a folder.
///
/// # Panics
/// If there are none, or one cannot be read.
pub fn files_in(dir: &Path, extension: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    walk(dir, extension, &mut found);
    assert!(!found.is_empty(), "{} holds no .{extension}", dir.display());
    found.sort();
    found
}

fn walk(dir: &Path, extension: &str, found: &mut Vec<(PathBuf, String)>) {
    for entry in std::fs::read_dir(dir).expect("a folder that can be listed") {
        let path = entry.expect("an entry of it").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "streamkit-data" {
                walk(&path, extension, found);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            let text = std::fs::read_to_string(&path).expect("a file of text");
            found.push((path, text));
        }
    }
}
