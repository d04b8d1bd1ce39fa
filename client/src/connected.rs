//! A connection of either version, as the link holds it.

use std::sync::Arc;

use crate::connection::Connection;
use crate::error::Error;
use crate::terms::Terms;
use crate::v2;

/// A connection to the server.
#[derive(Clone)]
pub(crate) enum Connected {
    V1(Arc<Connection>),
    V2(Arc<v2::Connection>),
}

/// Does the same with whichever it is.
macro_rules! whichever {
    ($connected:expr, $connection:ident => $does:expr) => {
        match $connected {
            Connected::V1($connection) => $does,
            Connected::V2($connection) => $does,
        }
    };
}

impl Connected {
    /// It, if it speaks v1.
    ///
    /// # Errors
    /// [`Error::NotBegun`]: a call that began over the other version begins again there if it is made again.
    pub(crate) fn v1(self) -> Result<Arc<Connection>, Error> {
        match self {
            Self::V1(connection) => Ok(connection),
            Self::V2(_) => Err(Error::NotBegun(
                "the server has just learnt another protocol".to_owned(),
            )),
        }
    }

    /// The same of v2.
    ///
    /// # Errors
    /// [`Error::NotBegun`].
    pub(crate) fn v2(self) -> Result<Arc<v2::Connection>, Error> {
        match self {
            Self::V1(_) => Err(Error::NotBegun(
                "the server speaks another protocol than before".to_owned(),
            )),
            Self::V2(connection) => Ok(connection),
        }
    }

    /// What it was made with.
    pub(crate) fn terms(&self) -> &Terms {
        whichever!(self, connection => connection.terms())
    }

    /// Whether further calls may use it.
    pub(crate) fn is_usable(&self) -> bool {
        whichever!(self, connection => connection.is_usable())
    }

    /// Lets it go on for the calls that are open, and close with the last of them.
    pub(crate) fn retire(&self) {
        whichever!(self, connection => connection.retire());
    }

    /// Ends it after what is queued.
    pub(crate) fn close(&self) {
        whichever!(self, connection => connection.close());
    }

    /// Resolves to why it ended.
    pub(crate) async fn wait_ended(&self) -> String {
        whichever!(self, connection => connection.wait_ended().await)
    }
}
