//! What opens an account.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::credentials::{AccessToken, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::policies::Policy;
use azure_core::http::policies::auth::BearerTokenAuthorizationPolicy;
use azure_identity::{
    AzureCliCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential,
};

use super::key::AccountKey;
use super::sas::Sas;
use super::settings_error::SettingsError;
use super::shared_key::{Service, SharedKey};

/// What every token of Entra ID is for.
const SCOPE: &str = "https://storage.azure.com/.default";
/// How long whoever gives tokens may take. Nothing is sent meanwhile.
const TOKEN_DEADLINE: Duration = Duration::from_secs(30);

/// What opens an account. None of them is ever shown.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The account's key: it opens everything there.
    Key(AccountKey),
    /// A shared access signature for tables and blobs.
    Sas(Sas),
    /// Tokens of Entra ID.
    Tokens(Arc<dyn TokenCredential>),
}

/// Where tokens of Entra ID come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Identity {
    /// The identity of the machine or app, as Azure manages it.
    Managed {
        /// The client id of an identity that a user assigned; without it, the system's.
        client_id: Option<String>,
    },
    /// The identity of a pod, from `AZURE_CLIENT_ID`, `AZURE_TENANT_ID` and `AZURE_FEDERATED_TOKEN_FILE`.
    Workload,
    /// Whoever has logged in with `az login`: for development.
    Cli,
}

impl Identity {
    fn name(&self) -> &'static str {
        match self {
            Self::Managed { .. } => "managed identity",
            Self::Workload => "workload identity",
            Self::Cli => "login of the Azure CLI",
        }
    }
}

impl Credential {
    /// Tokens of an identity.
    ///
    /// # Errors
    /// [`SettingsError::Identity`] if it is not set up on this machine, as far as that shows without asking for a token.
    pub fn of_identity(identity: &Identity) -> Result<Self, SettingsError> {
        let made: azure_core::Result<Arc<dyn TokenCredential>> = match identity {
            Identity::Managed { client_id } => {
                let id = client_id.clone().map(UserAssignedId::ClientId);
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: id,
                    ..Default::default()
                };
                ManagedIdentityCredential::new(Some(options)).map(|made| made as _)
            }
            Identity::Workload => WorkloadIdentityCredential::new(None).map(|made| made as _),
            Identity::Cli => AzureCliCredential::new(None).map(|made| made as _),
        };
        let wrong = |error: azure_core::Error| SettingsError::Identity {
            identity: identity.name(),
            why: error.to_string(),
        };
        made.map(Self::Tokens).map_err(wrong)
    }

    pub(super) fn is_token(&self) -> bool {
        matches!(self, Self::Tokens(_))
    }

    /// What puts this credential on each request to a service. It comes last, so it sees the request as it is sent.
    pub(super) fn policy(&self, account: &str, service: Service) -> Arc<dyn Policy> {
        match self {
            Self::Key(key) => Arc::new(SharedKey::new(account, key.clone(), service)),
            Self::Sas(sas) => Arc::new(sas.clone()),
            Self::Tokens(source) => {
                let patient = Patient(Arc::clone(source));
                Arc::new(BearerTokenAuthorizationPolicy::new(Arc::new(patient), [SCOPE]))
            }
        }
    }
}

/// A source of tokens that does not keep a call waiting for ever.
#[derive(Debug)]
struct Patient(Arc<dyn TokenCredential>);

#[async_trait]
impl TokenCredential for Patient {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match tokio::time::timeout(TOKEN_DEADLINE, self.0.get_token(scopes, options)).await {
            // Whatever kind of error it is: no request went to the storage.
            Ok(Err(error)) => Err(azure_core::Error::with_message(
                ErrorKind::Credential,
                error.to_string(),
            )),
            Ok(token) => token,
            Err(_) => Err(azure_core::Error::with_message(
                ErrorKind::Credential,
                format!("no token came within {} s", TOKEN_DEADLINE.as_secs()),
            )),
        }
    }
}
