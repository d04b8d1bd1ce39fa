//! The certificates in use. Whoever connects gets the newest that were good; connections that began with others go on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;

use super::config::{CertificateError, Loaded, load};
use super::files::{CertificateFiles, Contents};
use super::validity::Standing;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// A certificate that expires sooner is warned of.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A server's certificates. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Certificates(Arc<InUse>);

struct InUse {
    files: CertificateFiles,
    state: Mutex<State>,
}

struct State {
    loaded: Loaded,
    /// What was read last, whether it was good or not.
    read: Option<Contents>,
    warned: Warned,
}

/// What was said of how long they are good. It is said once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warned {
    Nothing,
    NotYet,
    Soon,
    Expired,
}

impl Certificates {
    /// Those in these files. An expired one is taken, and warned of. Blocks.
    ///
    /// # Errors
    /// [`CertificateError`]: TLS cannot be spoken with them.
    pub fn open(files: CertificateFiles) -> Result<Self, CertificateError> {
        let read = files.read()?;
        let loaded = load(&files, &read)?;
        let state = State {
            loaded,
            read: Some(read),
            warned: Warned::Nothing,
        };
        let certificates = Self(Arc::new(InUse {
            files,
            state: Mutex::new(state),
        }));
        certificates.tell_standing();
        Ok(certificates)
    }

    /// Reads the files again, also if they have not changed; who connects from now on gets what they hold. A server does so by
    /// itself within ten seconds after they changed. Blocks.
    ///
    /// # Errors
    /// [`CertificateError`]: those in use stay in use. An expired certificate is taken only in place of another one.
    pub fn reload(&self) -> Result<(), CertificateError> {
        let read = self.0.files.read()?;
        let loaded = load(&self.0.files, &read);
        let mut state = self.lock();
        state.read = Some(read);
        let loaded = loaded?;
        if loaded.own.has_expired() && !state.loaded.own.has_expired() {
            return Err(CertificateError::Expired(self.0.files.chain.display().to_string()));
        }
        state.loaded = loaded;
        state.warned = Warned::Nothing;
        drop(state);
        self.tell_standing();
        Ok(())
    }

    /// What the next connection begins with.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.lock().loaded.config.clone()
    }

    /// When the first of them expires, in seconds since 1970.
    pub(crate) fn expires(&self) -> i64 {
        self.lock().loaded.validity.until
    }

    /// Looks at the files ever again, and says in the log what came of it; `looked` is called after each time.
    pub(crate) async fn watch(&self, looked: impl Fn(&Self)) {
        loop {
            looked(self);
            tokio::time::sleep(LOOK).await;
            let looking = self.clone();
            let _ = tokio::task::spawn_blocking(move || looking.look()).await;
        }
    }

    /// Takes what the files hold if that has changed.
    fn look(&self) {
        let file = self.0.files.chain.display();
        let read = self.0.files.read();
        let changed = match &read {
            Ok(read) => self.lock().read.as_ref() != Some(read),
            Err(_) => self.lock().read.take().is_some(),
        };
        if !changed {
            return self.tell_standing();
        }
        let reloaded = match read {
            Ok(_) => self.reload(),
            Err(error) => Err(error),
        };
        match reloaded {
            Ok(()) => {
                tracing::info!(%file, "the certificates have changed: who connects from now on gets the new ones")
            }
            Err(error) => tracing::error!(
                %file, %error,
                "the certificates have changed and cannot be used: the old ones stay in use until others come"
            ),
        }
    }

    /// Warns, once, of certificates that are not good or not for long.
    fn tell_standing(&self) {
        let mut state = self.lock();
        let standing = state.loaded.validity.standing(SystemTime::now());
        let tells = match standing {
            Standing::NotYet(_) => Warned::NotYet,
            Standing::Good(left) if left > SOON => Warned::Nothing,
            Standing::Good(_) => Warned::Soon,
            Standing::Expired(_) => Warned::Expired,
        };
        if std::mem::replace(&mut state.warned, tells) == tells {
            return;
        }
        drop(state);
        let file = self.0.files.chain.display();
        let days = |time: Duration| time.as_secs() / 86_400;
        match standing {
            Standing::NotYet(by) => tracing::warn!(
                %file,
                "a certificate is good only in {} days, or the clock of this host is wrong: clients refuse it until then", days(by)
            ),
            Standing::Expired(by) => tracing::warn!(
                %file,
                "a certificate has expired {} days ago: clients refuse it; put a new one in its place", days(by)
            ),
            Standing::Good(left) if tells == Warned::Soon => {
                tracing::warn!(%file, "a certificate expires in {} days", days(left));
            }
            Standing::Good(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
