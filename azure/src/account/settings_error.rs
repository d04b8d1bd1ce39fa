//! What is wrong with the settings of an account.

/// Why an account cannot be used as the settings say. No text tells a key or a signature.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A part of a connection string is not understood.
    #[error(
        "part {part} of the connection string is not understood: {why}; copy the whole string again from the account's access keys"
    )]
    ConnectionString {
        /// Which, from 1.
        part: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Something is not said.
    #[error("the connection string does not say {0}; copy the whole string again from the account's access keys")]
    Missing(&'static str),
    /// More than one credential is given.
    #[error(
        "more than one credential is given, such as an account key and a shared access signature; leave one of them out"
    )]
    TwoCredentials,
    /// None is.
    #[error("no credential is given; add a shared access signature, an account key, or an identity")]
    NoCredential,
    /// The key is none.
    #[error("the account key cannot be one: {0}; copy it again from the account's access keys")]
    Key(&'static str),
    /// The shared access signature is none.
    #[error("the shared access signature cannot be one: {0}; make one anew for tables and blobs")]
    Sas(&'static str),
    /// No account has such a name.
    #[error("the account's name cannot be one: it has 3 to 24 lowercase letters and digits; look at the portal")]
    Account,
    /// An address of a service is wrong.
    #[error("the {0} endpoint cannot be used: {1}; it looks like https://ACCOUNT.{0}.core.windows.net")]
    Endpoint(&'static str, &'static str),
    /// The connection would go without TLS.
    #[error(
        "the {0} endpoint has no TLS, so that keys and entries could be read on the way; write https, or allow plain http \
         (--azure-allow-http) if it is an emulator"
    )]
    Plaintext(&'static str),
    /// Tokens of Entra ID go over TLS alone, also to an emulator.
    #[error("a token would go to the {0} endpoint without TLS; write https, or use the emulator's account key")]
    PlaintextToken(&'static str),
    /// A name of a table or container that cannot be one.
    #[error("`{name}` cannot be the name of a {what}: {rule}; choose another one")]
    Name {
        /// A table, or a container.
        what: &'static str,
        /// The name.
        name: String,
        /// What names look like.
        rule: &'static str,
    },
    /// An identity of Entra ID is not set up here.
    #[error("the {identity} cannot be used here: {why}; set it up, or use another credential")]
    Identity {
        /// Which.
        identity: &'static str,
        /// What the library says.
        why: String,
    },
    /// Certificates to trust that are none, or no HTTP client can be made.
    #[error("connections cannot be made: {0}; look at the certificates to trust")]
    Http(String),
}
