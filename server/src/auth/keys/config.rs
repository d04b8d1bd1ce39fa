//! Where keys come from, and what is asked of tokens.

use std::path::PathBuf;
use std::time::Duration;

use super::fetch::Source;
use crate::auth::algorithm::Algorithm;
use crate::auth::key::KeyError;
use crate::auth::token::TokenRules;

/// Where keys come from, and what is asked of tokens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeysConfig {
    /// Files of keys, as [`crate::Key::parse`] reads them.
    pub files: Vec<PathBuf>,
    /// Files of JSON Web Key sets: nothing else in them counts as a key.
    pub set_files: Vec<PathBuf>,
    /// Who publishes a set, if anybody does.
    pub issuer: Option<IssuerConfig>,
    /// The algorithms of keys that could be for several and do not say. [`Algorithm::UNSAID`] by default.
    pub unsaid: Vec<Algorithm>,
    /// What is asked of tokens.
    pub rules: TokenRules,
    /// Whether a token may come as the cookie `app_token`, from pages of the server's own host. Not by default.
    pub cookies: bool,
    /// Origins of further pages from which the cookie counts, as `https://app.example`.
    pub cookie_pages: Vec<String>,
    /// How often files are looked at. 10 s by default.
    pub look: Duration,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self {
            files: Vec::new(),
            set_files: Vec::new(),
            issuer: None,
            unsaid: Algorithm::UNSAID.to_vec(),
            rules: TokenRules::default(),
            cookies: false,
            cookie_pages: Vec::new(),
            look: Duration::from_secs(10),
        }
    }
}

/// Who publishes a set of keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IssuerConfig {
    /// Where: an `https` URL. Redirects are not followed.
    pub url: String,
    /// Whether it may be `http` at another host, too; of this machine it always may. Not by default: whoever is on the way could
    /// put in a key.
    pub plain: bool,
    /// How often it is fetched. 5 min by default.
    pub period: Duration,
    /// The least time between two fetches that tokens with unknown `kid`s cause. 30 s by default.
    pub pause: Duration,
    /// How long a fetch may take. 5 s by default.
    pub deadline: Duration,
}

impl IssuerConfig {
    /// With all defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            plain: false,
            period: Duration::from_secs(300),
            pause: Duration::from_secs(30),
            deadline: Duration::from_secs(5),
        }
    }

    /// Whether a set may be fetched from there. Nothing is sent.
    ///
    /// # Errors
    /// [`KeyError::Unclear`]: it is no `https` URL.
    pub fn validate(&self) -> Result<(), KeyError> {
        Source::new(self).map(|_| ())
    }
}
