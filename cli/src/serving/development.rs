//! What `dev` and `demo` keep in the data folder so that tokens work again after a restart: a key and a store id. They are
//! for development only; `serve` never looks at them.

use std::path::Path;
use std::time::Duration;

use streamkit_server_core::Key;
use uuid::Uuid;

use crate::failure::Failure;
use crate::files::replace;

const KEY_FILE: &str = "development-key";
const STORE_FILE: &str = "development-store";
const TOKEN_DAYS: u64 = 365;

pub(crate) struct Development {
    pub(crate) key: Key,
    pub(crate) store: Uuid,
}

impl Development {
    /// Reads both from the folder, or makes them there. The folder's engine is open by then: nobody else has it.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failure> {
        let secret = kept(&dir.join(KEY_FILE), || {
            format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
        })?;
        let store = kept(&dir.join(STORE_FILE), || Uuid::new_v4().to_string())?;
        let store = store.trim().parse().map_err(|_| {
            Failure::new(format!(
                "{} holds no store id; remove it to get a new one",
                dir.join(STORE_FILE).display()
            ))
        })?;
        let key = Key::hs256(secret.trim().as_bytes()).map_err(|error| {
            let file = dir.join(KEY_FILE);
            Failure::new(error.to_string())
                .during(file.display())
                .hint("or remove the file to get a new one")
        })?;
        Ok(Self { key, store })
    }

    pub(crate) fn token(&self) -> Result<String, Failure> {
        let ttl = Duration::from_secs(TOKEN_DAYS * 86_400);
        let minted = self.key.mint(&["streamkit::*".to_owned()], ttl);
        minted.map_err(|error| Failure::new(format!("cannot sign a token: {error}")))
    }
}

fn kept(path: &Path, make: impl FnOnce() -> String) -> Result<String, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = make();
            let written = replace(path, format!("{text}\n").as_bytes());
            written.map_err(|error| Failure::from(error).during(path.display()))?;
            Ok(text)
        }
        Err(error) => Err(Failure::from(error).during(path.display())),
    }
}
