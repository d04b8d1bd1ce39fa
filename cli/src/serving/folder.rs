//! The data folder of a host: stores of its own, or copies of shared ones, and never both.

use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Where the copies of shared stores are.
pub(crate) fn copies(data: &Path) -> PathBuf {
    data.join("copies")
}

/// Where a host keeps what it knows of the logs behind them.
pub(crate) fn bookmarks(data: &Path) -> PathBuf {
    data.join("bookmarks")
}

/// Whoever forgets where the stores are would be served empty ones, and what is written to these no other host sees.
pub(crate) fn refuse_copies(data: &Path) -> Result<(), Failure> {
    refuse(
        &copies(data),
        format_args!(
            "{} holds copies of stores that stand in a storage account; add --storage azure, or choose another --data",
            data.display()
        ),
    )
}

/// Whoever has stores here would not find them in an account.
pub(crate) fn refuse_stores(data: &Path) -> Result<(), Failure> {
    refuse(
        data,
        format_args!(
            "{} holds stores of its own, which are not those of a storage account; choose another --data, or leave out --storage azure",
            data.display()
        ),
    )
}

/// Whoever works on files finds none in the folder of a host of several: what it has stands elsewhere.
pub(crate) fn refuse_host(data: &Path) -> Result<(), Failure> {
    if is_in_use(data)? {
        return Ok(());
    }
    let copies = copies(data);
    refuse(
        &copies,
        format_args!(
            "{} is the folder of a host of several: its stores stand in a storage account, which `{} azure verify` looks through, and copies of them in {}",
            data.display(),
            crate::called::called(),
            copies.display(),
        ),
    )
}

/// `folder` must not be in use.
fn refuse(folder: &Path, why: std::fmt::Arguments) -> Result<(), Failure> {
    match is_in_use(folder)? {
        false => Ok(()),
        true => Err(Failure::new(why.to_string())),
    }
}

/// An engine writes its file `format` before anything else.
fn is_in_use(folder: &Path) -> Result<bool, Failure> {
    let format = folder.join("format");
    let there = format.try_exists();
    there.map_err(|error| Failure::from(error).during(format!("cannot look for {}", format.display())))
}
