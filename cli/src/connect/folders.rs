//! Folders of this user: for what is configured, and for what is so at the moment.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};

/// The folder in which contexts are kept.
///
/// # Errors
/// No variable says where that is.
pub(crate) fn configuration() -> Result<PathBuf> {
    ours("XDG_CONFIG_HOME", ".config", "APPDATA")
}

/// The folder in which servers of `dev` say where they are.
///
/// # Errors
/// As [`configuration`].
pub(crate) fn state() -> Result<PathBuf> {
    ours("XDG_STATE_HOME", ".local/state", "LOCALAPPDATA")
}

fn ours(xdg: &str, below_home: &str, on_windows: &str) -> Result<PathBuf> {
    let named = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
    let whole = |path: PathBuf| path.is_absolute().then_some(path);
    let found = named(xdg).and_then(whole).or_else(|| match cfg!(windows) {
        true => named(on_windows).and_then(whole),
        false => Some(named("HOME").and_then(whole)?.join(below_home)),
    });
    let found = found.ok_or_else(|| Error::other(format!("neither HOME nor {xdg} names a folder")))?;
    Ok(found.join("streamkit"))
}

/// Makes a folder that is its owner's alone, and those above it.
///
/// # Errors
/// It cannot be made.
pub(crate) fn make(dir: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}
