//! How this program was called, so that what it advises to run next runs.

use std::path::Path;

/// The words before the name of a command: `streamkit`, `./target/release/streamkit`, `cargo run --release --`.
pub(crate) fn called() -> String {
    let argument = std::env::args_os().next().unwrap_or_else(|| "streamkit".into());
    by(Path::new(&argument), std::env::var_os("CARGO_MANIFEST_DIR").is_some())
}

/// Cargo runs the program with its own variables set.
fn by(argument: &Path, cargo: bool) -> String {
    if cargo && argument.components().any(|part| part.as_os_str() == "target") {
        let release = argument.components().any(|part| part.as_os_str() == "release");
        return if release {
            "cargo run --release --"
        } else {
            "cargo run --"
        }
        .to_owned();
    }
    let text = argument.to_string_lossy();
    match text.contains(char::is_whitespace) {
        true => format!("'{text}'"),
        false => text.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_program_as_it_was_called() {
        assert_eq!(by(Path::new("streamkit"), false), "streamkit");
        assert_eq!(
            by(Path::new("./target/release/streamkit"), false),
            "./target/release/streamkit"
        );
        assert_eq!(
            by(Path::new("target/release/streamkit"), true),
            "cargo run --release --"
        );
        assert_eq!(by(Path::new("target/debug/streamkit"), true), "cargo run --");
        assert_eq!(
            by(Path::new("/opt/my tools/streamkit"), false),
            "'/opt/my tools/streamkit'"
        );
    }
}
