//! Small files that are whole or not there.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Puts a file in place of what may be there, durable, readable by nobody but its owner. After a crash the old one or the new
/// one is there, never a part.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let fresh = beside(path);
    let replaced = write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path));
    if let Err(error) = replaced {
        // Ours alone, if it is there at all.
        let _ = std::fs::remove_file(&fresh);
        return Err(error);
    }
    sync_folder_of(path)
}

/// A name is durable only with its folder.
fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    })?
    .sync_all()?;
    let _ = path;
    Ok(())
}

/// A file that gets its name when it is whole. Dropped before, it is removed.
pub(crate) struct Fresh(PathBuf);

impl Fresh {
    /// Makes one beside the place where it goes.
    pub(crate) fn beside(path: &Path) -> std::io::Result<(Self, std::fs::File)> {
        let fresh = beside(path);
        let file = OpenOptions::new().write(true).create_new(true).open(&fresh)?;
        Ok((Self(fresh), file))
    }

    /// Gives it its name, durable. What came there meanwhile stays.
    ///
    /// # Errors
    /// Something is there.
    pub(crate) fn keep_as(self, path: &Path) -> std::io::Result<()> {
        match std::fs::hard_link(&self.0, path) {
            Ok(()) => {}
            // A file system without links.
            Err(error) if error.kind() != ErrorKind::AlreadyExists && path.symlink_metadata().is_err() => {
                std::fs::rename(&self.0, path)?;
            }
            Err(error) => return Err(error),
        }
        sync_folder_of(path)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Under its own name it is no more.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Whether everybody on this host may read or change a file.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    has_mode(path, 0o006)
}

/// Whether everybody on this host may change a file.
pub(crate) fn is_writable_for_all(path: &Path) -> bool {
    has_mode(path, 0o002)
}

/// What is said of a key that everybody on this host may read or change, and `so` can do what its owner alone may.
pub(crate) fn said_of_open(so: &str) -> String {
    format!("everybody on this host may read or change the key, and so {so}; `chmod o-rwx` it")
}

/// Whether it is a file with any of these rights.
fn has_mode(path: &Path, any: u32) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & any != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, any);
        false
    }
}

/// A file's mode, if it lets anybody but its owner do anything with it.
pub(crate) fn mode_for_others(about: &std::fs::Metadata) -> Option<u32> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = about.permissions().mode() & 0o777;
        (mode & 0o077 != 0).then_some(mode)
    }
    #[cfg(not(unix))]
    {
        let _ = about;
        None
    }
}

/// Reads a file that is small: one larger than `most` bytes is something else, and is not read.
pub(crate) fn read_small(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 {
        length if length > most => Err(std::io::Error::other(format!(
            "it has more than {most} bytes, so it is another file"
        ))),
        _ => Ok(bytes),
    }
}

/// A name beside a file that nothing else has: what is there under any other name may be somebody's.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", Uuid::new_v4().simple()));
    path.with_file_name(name)
}

/// Writes a file that is not there yet, durable but for its name.
fn write(fresh: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(fresh)?;
    // The process's mask may have taken away from its owner, too.
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Whether a file can be put there by [`replace`], as far as that can be told before there is something to put there.
pub(crate) fn check_place(path: &Path) -> std::io::Result<()> {
    if path.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    // Others are looked at without being opened: a pipe would wait for its other end.
    if path.metadata().is_ok_and(|about| !about.is_file()) {
        return Err(std::io::Error::other("it is no file"));
    }
    let tried = beside(path);
    OpenOptions::new().write(true).create_new(true).open(&tried)?;
    std::fs::remove_file(&tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_came_while_a_new_file_was_written_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders");
        let (fresh, _) = Fresh::beside(&path).unwrap();
        std::fs::write(&path, "came").unwrap();
        let refused = fresh.keep_as(&path).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"came");
        assert_eq!(names(dir.path()), ["orders"]);
        let other = dir.path().join("other");
        Fresh::beside(&other).unwrap().0.keep_as(&other).unwrap();
        assert_eq!(names(dir.path()), ["orders", "other"]);
    }

    #[test]
    fn a_file_is_replaced_beside_files_of_any_other_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["orders", "orders.new", "orders.tmp"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        replace(&dir.path().join("orders"), b"fresh").unwrap();
        check_place(&dir.path().join("orders")).unwrap();
        assert_eq!(std::fs::read(dir.path().join("orders")).unwrap(), b"fresh");
        assert_eq!(std::fs::read(dir.path().join("orders.new")).unwrap(), b"orders.new");
        assert_eq!(names(dir.path()), ["orders", "orders.new", "orders.tmp"]);
    }

    #[test]
    fn a_replacement_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("orders");
        std::fs::create_dir(&folder).unwrap();
        replace(&folder, b"fresh").unwrap_err();
        assert_eq!(names(dir.path()), ["orders"]);
    }
}
