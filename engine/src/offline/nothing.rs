//! Names in a data directory that lead to nothing: what stood there is gone, and that costs no other file and no other store.

use std::io::{Error, ErrorKind};

/// No such device: a socket. No more links. The device, or the file system, has lost it; so has a server of files.
const LOST: [i32; 5] = [6, 40, 5, 117, 116];

/// Whether an error of opening what has a name here says that nothing can be read there, now or later. A right that is missing,
/// or a limit of this process, says nothing of what stands there.
pub(crate) fn is_nothing(error: &Error) -> bool {
    let kinds = [ErrorKind::IsADirectory, ErrorKind::NotADirectory, ErrorKind::NotFound];
    kinds.contains(&error.kind())
        || error.to_string().contains("no regular file")
        || cfg!(target_os = "linux") && error.raw_os_error().is_some_and(|number| LOST.contains(&number))
}
