//! The secret that hosts have in common, and the tokens that it signs: each for one host, and for a short time.

use std::time::Duration;

use streamkit_server_core::{Key, KeyError, MintError, Minting, TokenRules};

use crate::host::HostId;

/// Who makes the tokens. A token of a server's own key is none, even where somebody gave both the same secret.
const ISSUER: &str = "streamkit-host";

/// How long a token is valid. The client asks for the next one, and for a connection with it, before.
const TTL: Duration = Duration::from_secs(120);

/// How far the clocks of two hosts may be apart.
const LEEWAY: Duration = Duration::from_secs(60);

/// The secret that all hosts have in common: whoever knows it writes to every store. It is shown nowhere.
#[derive(Clone, Debug)]
pub struct HostSecret(Key);

impl HostSecret {
    /// A secret of 32 bytes or more.
    ///
    /// # Errors
    /// [`KeyError::TooShort`].
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Key::hs256(secret)?))
    }

    /// A token that opens one host's link.
    ///
    /// # Errors
    /// [`MintError::Library`].
    pub(crate) fn token(&self, host: HostId) -> Result<String, MintError> {
        self.0.mint_token(&Minting {
            scopes: vec!["streamkit::*:write".to_owned()],
            ttl: TTL,
            audiences: vec![host.to_string()],
            issuer: Some(ISSUER.to_owned()),
            ..Minting::default()
        })
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }

    /// What a host asks of the tokens that it takes.
    pub(super) fn rules(host: HostId) -> TokenRules {
        let mut rules = TokenRules::default();
        rules.audiences = vec![host.to_string()];
        rules.issuers = vec![ISSUER.to_owned()];
        rules.leeway = LEEWAY;
        rules
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn opens(secret: &HostSecret, token: &str, host: HostId) -> bool {
        Key::verify(std::slice::from_ref(secret.key()), token, &HostSecret::rules(host)).is_ok()
    }

    #[test]
    fn a_token_opens_the_host_that_it_is_for_and_no_other() {
        let secret = HostSecret::new(b"a secret of thirty-two bytes, or more").unwrap();
        let other = HostSecret::new(b"another one of thirty-two bytes, or more").unwrap();
        let hosts = [HostId(Uuid::from_u128(1)), HostId(Uuid::from_u128(2))];
        let token = secret.token(hosts[0]).unwrap();
        assert!(opens(&secret, &token, hosts[0]));
        assert!(!opens(&secret, &token, hosts[1]));
        assert!(!opens(&other, &token, hosts[0]));
        let plain = secret.0.mint(&["streamkit::*".to_owned()], TTL).unwrap();
        assert!(!opens(&secret, &plain, hosts[0]), "a token that is no host's");
        assert!(HostSecret::new(b"short").is_err());
        assert!(!format!("{secret:?}").contains("thirty"));
    }
}
