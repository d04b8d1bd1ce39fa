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

/// `folder` is in use: an engine writes its file `format` before anything else.
fn refuse(folder: &Path, why: std::fmt::Arguments) -> Result<(), Failure> {
    let format = folder.join("format");
    match format.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::new(why.to_string())),
        Err(error) => Err(Failure::from(error).during(format!("cannot look for {}", format.display()))),
    }
}
