//! Small files that are whole or not there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// Puts a file in place of what may be there, durable, readable by nobody but its owner. After a crash the old one or the new
/// one is there, never a part.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    // One that a crash left would keep the permissions it has.
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    // The process's mask may have taken away from its owner, too.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The name is durable only with its folder.
    #[cfg(unix)]
    std::fs::File::open(match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })?
    .sync_all()?;
    Ok(())
}

/// Whether a file can be put there by [`replace`], as far as that can be told before there is something to put there.
pub(crate) fn check_place(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tried", std::process::id()));
    let tried = path.with_file_name(name);
    OpenOptions::new().write(true).create_new(true).open(&tried)?;
    std::fs::remove_file(&tried)
}
