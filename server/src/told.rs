//! What a peer is told of an error of the engine: what it has to do next, and what is known of its own store. Never where on this
//! host anything is: that is in the log.

use std::path::Path;

use streamkit_engine::{AppendError, ReadError, Rejection, StorageError};

/// What stands where a path did.
const A_FILE: &str = "a file of the server";

/// What is told of a panic, whatever it said.
pub(crate) const PANIC: &str = "panic: the server failed at this request, and its log says how";

/// Of a transaction that is not stored, or not for certain.
pub(crate) fn append(error: &AppendError) -> String {
    match error {
        AppendError::Indeterminate(why) => format!("the outcome is unknown: {}", storage(why)),
        AppendError::Rejected(Rejection::NotReady(why)) => {
            format!("nothing was written, the log could not be made ready: {}", storage(why))
        }
        AppendError::Rejected(Rejection::Storage(why)) => storage(why),
        // It says what a request of the peer's own has wrong, or what has no room.
        AppendError::Rejected(other) => other.to_string(),
        other => without_paths(&other.to_string()),
    }
}

/// Of a read that ended early.
pub(crate) fn read(error: &ReadError) -> String {
    match error {
        ReadError::Storage(why) => storage(why),
        other => without_paths(&other.to_string()),
    }
}

/// Of a disk.
pub(crate) fn storage(error: &StorageError) -> String {
    match error.clone() {
        StorageError::Io { operation, source, .. } => {
            format!("{operation} {A_FILE}: {}", without_paths(&source.to_string()))
        }
        StorageError::Gone(gone) => format!(
            "the store accepts no writes since the data directory is not the one that was opened: {}; its log says what to do",
            without_files(&gone.what, &gone.path)
        ),
        StorageError::Halted { store, cause } => {
            let cause = without_paths(&cause);
            StorageError::Halted { store, cause }.to_string()
        }
        StorageError::Corrupt {
            store,
            place,
            found,
            segments,
        } => {
            let found = without_paths(&found);
            let told = StorageError::Corrupt {
                store,
                place,
                found,
                segments,
            };
            told.to_string()
        }
        // Its own segment, whose name may look like a path.
        told @ (StorageError::Closed
        | StorageError::Deleted(_)
        | StorageError::OtherLog
        | StorageError::Interrupted) => told.to_string(),
        other => without_paths(&other.to_string()),
    }
}

/// A text without absolute paths: each goes as far as the next colon that a space follows, as the engine writes them, so that
/// one with spaces in it goes whole.
fn without_paths(text: &str) -> String {
    let (mut told, mut rest) = (String::new(), text);
    while let Some(at) = path_in(rest) {
        let end = rest[at..].find(": ").map_or(rest.len(), |length| at + length);
        told.push_str(&rest[..at]);
        told.push_str(A_FILE);
        rest = &rest[end..];
    }
    told + rest
}

/// A text without the files of a folder, whatever its own path has in it. A name in it has no spaces.
fn without_files(text: &str, folder: &Path) -> String {
    let text = text.replace(&*folder.to_string_lossy(), "/");
    let words = text.split(' ').map(|word| match path_in(word) {
        Some(_) => A_FILE,
        None => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Where a path begins: at a slash that no letter is before.
fn path_in(text: &str) -> Option<usize> {
    let begins = |at: &usize| {
        text[..*at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric())
    };
    text.match_indices('/').map(|(at, _)| at).find(begins)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use streamkit_engine::{Gone, SegmentPath, StoreId};

    use super::*;

    fn io_error() -> StorageError {
        StorageError::Io {
            operation: "write",
            path: "/srv/my data/stores/1.extent".into(),
            source: Arc::new(io::Error::other("the cable is out")),
        }
    }

    #[test]
    fn a_peer_is_told_the_reason_and_never_a_path_of_the_host() {
        let store = StoreId(uuid::Uuid::nil());
        let cause = io_error().to_string();
        let halted = StorageError::Halted { store, cause };
        let gone = StorageError::Gone(Gone {
            path: "/srv/my data".into(),
            what: "/srv/my data/lock was deleted or moved away".to_owned(),
        });
        for (error, reason) in [
            (
                AppendError::Indeterminate(io_error()),
                "the outcome is unknown: write a file of the server: the cable is out",
            ),
            (
                Rejection::NotReady(io_error()).into(),
                "could not be made ready: write a file of the server: the cable is out",
            ),
            (
                Rejection::Storage(halted).into(),
                "accepts no writes since a write failed",
            ),
            (
                Rejection::Storage(gone).into(),
                "not the one that was opened: a file of the server was deleted or moved away",
            ),
        ] {
            let told = append(&error);
            assert!(told.contains(reason), "{told}");
            assert!(!told.contains("srv") && !told.contains("data/"), "{told}");
        }
        let told = read(&io_error().into());
        assert_eq!(told, "write a file of the server: the cable is out");
    }

    #[test]
    fn a_name_of_the_peers_own_that_looks_like_a_path_stays() {
        let path = SegmentPath::new("/etc", "a").unwrap();
        let told = storage(&StorageError::Deleted(path));
        assert!(told.starts_with("/etc/a was deleted"), "{told}");
    }

    #[test]
    fn paths_go_wherever_they_stand_and_slashes_within_words_stay() {
        for (text, told) in [
            (
                "open /a/b c/d: no and/or yes",
                "open a file of the server: no and/or yes",
            ),
            ("(/a", "(a file of the server"),
            (
                "\"/a\" and /b: x: /c",
                "\"a file of the server: x: a file of the server",
            ),
            ("nothing", "nothing"),
        ] {
            assert_eq!(without_paths(text), told);
        }
    }
}
