//! What the settings of `serve` point at, looked at without starting anything.

use std::path::Path;

use streamkit_engine::disk;
use streamkit_engine::doctor::judge_ground;

use super::Serve;
use super::found::Found;
use crate::files;

impl Serve {
    /// Looks at all of it.
    pub(crate) fn look(&self) -> Vec<Found> {
        let mut found = Vec::new();
        self.keys.look(&mut found);
        self.tls.look(self.place.listen, &mut found);
        look_at_data(&self.place.data, &mut found);
        if let Err(error) = self.engine().validate() {
            found.push(Found::wrong("data", error.to_string()));
        }
        found
    }
}

fn look_at_data(data: &Path, found: &mut Vec<Found>) {
    // A folder that is not there is made.
    let there = data
        .ancestors()
        .find(|folder| folder.exists() || folder.as_os_str().is_empty());
    let there = there
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !there.is_dir() {
        let what = format!(
            "{} is no folder; name one, or a place where one can be made",
            there.display()
        );
        return found.push(Found::wrong("data", what));
    }
    if let Err(error) = files::check_place(&there.join("config-check")) {
        let what = format!(
            "{} takes no files: {error}; the server must be able to write there",
            there.display()
        );
        found.push(Found::wrong("data", what));
    }
    let ground = judge_ground(&disk::ground(there));
    found.extend(ground.into_iter().map(|finding| Found::warning("data", finding.what)));
    if there == data && disk::is_open_to_others(data) {
        let what = "other users of this host may look into it; `chmod go-rwx` it";
        found.push(Found::warning("data", what.to_owned()));
    }
}
