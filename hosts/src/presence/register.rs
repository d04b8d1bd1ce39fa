//! Where hosts keep their rows.

use async_trait::async_trait;

use crate::host::{Host, HostId};

/// A host's row, as it was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostRow {
    /// The host.
    pub host: Host,
    /// How often it has written the row since its start.
    pub sequence: u64,
    /// The version of the row, as the register names it: another one after each write.
    pub version: String,
}

/// The register did not do it, or nobody knows whether it did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the register of hosts: {0}")]
pub struct RegisterError(pub String);

/// A register of hosts: a row for each, which it alone writes.
#[async_trait]
pub trait Register: Send + Sync + 'static {
    /// Puts a host's row in place of the one it has, if it has one.
    ///
    /// # Errors
    /// [`RegisterError`], here and below.
    async fn write(&self, host: &Host, sequence: u64) -> Result<(), RegisterError>;

    /// All rows, in the order of their hosts, or the first so many of more. A row that cannot be read is left out.
    async fn read(&self, most: usize) -> Result<Vec<HostRow>, RegisterError>;

    /// Removes a host's row: of this version, or whichever it is. That there is none, or another one, is no error.
    async fn remove(&self, host: HostId, version: Option<&str>) -> Result<(), RegisterError>;
}
