//! Makes the data directories that every version must open. Run when a format version is new, never to make a test pass.

use std::path::{Path, PathBuf};

use clap::Parser;
use streamkit_torture::golden;
use streamkit_torture::run::DIR;

/// Writes the golden directories, and what must be read from each.
#[derive(Parser)]
struct Options {
    /// Where they go: engine/tests/data/v1.
    dir: PathBuf,
}

fn main() -> Result<(), golden::Error> {
    let options = Options::parse();
    for (name, files) in golden::all()? {
        let dir = options.dir.join(name);
        for (path, bytes) in files {
            let path = dir.join(path.strip_prefix(DIR)?);
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            std::fs::write(path, bytes)?;
        }
        let copy = tempfile::tempdir()?;
        golden::copy(&dir, copy.path())?;
        std::fs::write(dir.with_extension("entries"), golden::entries(copy.path())?)?;
        println!("{}", dir.display());
    }
    Ok(())
}
