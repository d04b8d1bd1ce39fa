//! What a check has: the server, a store, and names of its own.

use std::time::Duration;

use uuid::Uuid;

use crate::connection::{Connection, Terms};
use crate::dial::{Server, Shaken};
use crate::fault::{Fault, Step, broken};
use crate::wire::calls::{Append, ReadCall, Source};
use crate::wire::pieces::{Record, Section};

/// Offered by whoever speaks both versions.
pub const BOTH: &str = "streamkit.v2, streamkit.v1";

/// How often a check waits for what must not come.
const QUIET: Duration = Duration::from_millis(250);

/// Tokens that open less than the store.
#[derive(Clone, Default, Debug)]
pub struct Restricted {
    /// It may read, not write.
    pub reader: Option<String>,
    /// It may write, not read.
    pub writer: Option<String>,
}

/// What a check has.
#[derive(Clone)]
pub struct World {
    /// The server.
    pub server: Server,
    /// The token that opens the store.
    pub token: String,
    /// Tokens that open less.
    pub restricted: Restricted,
    /// The store.
    pub store: Uuid,
    /// How all spaces of this run begin.
    pub prefix: String,
    /// The space of this check.
    pub space: String,
    /// How long a frame may take that has to come.
    pub patience: Duration,
}

impl World {
    /// A connection that has greeted.
    pub async fn dial(&self) -> Step<Connection> {
        self.dial_with(&self.token, Terms::usual(self.patience)).await
    }

    /// One with a token and terms.
    pub async fn dial_with(&self, token: &str, terms: Terms) -> Step<Connection> {
        let socket = self.socket(token).await?;
        Connection::greet(*socket, terms, self.store).await
    }

    /// One that has said nothing yet.
    pub async fn dial_silent(&self) -> Step<Connection> {
        let socket = self.socket(&self.token).await?;
        Ok(Connection::silent(*socket, Terms::usual(self.patience), self.store))
    }

    async fn socket(&self, token: &str) -> Step<Box<crate::dial::Socket>> {
        match self.server.dial(BOTH, token, self.patience).await? {
            Shaken::Open(socket, Some(version)) if version == "streamkit.v2" => Ok(socket),
            Shaken::Open(_, version) => broken!("of {BOTH:?} the server chose {version:?}"),
            Shaken::Refused(status) => broken!("the server refused the handshake with {status}"),
        }
    }

    /// How long a check waits for what must not come.
    pub fn quiet(&self) -> Duration {
        QUIET
    }

    /// A connection to a store that nobody has written to.
    pub async fn fresh(&self) -> Step<Connection> {
        let mut connection = self.dial().await?;
        connection.store = Uuid::new_v4();
        match connection.status(&[]).await? {
            Ok(_) => Ok(connection),
            Err(refused) => Err(Fault::Untried(format!("the token opens no store of any id: {refused}"))),
        }
    }

    /// Records for a segment of this check.
    pub fn section(&self, segment: &str, first: u64, records: &[&str]) -> Section {
        Section {
            space: self.space.clone(),
            segment: segment.to_owned(),
            first,
            records: records.iter().map(|&record| Record::from(record)).collect(),
        }
    }

    /// An append to a segment of this check.
    pub fn append(&self, segment: &str, first: u64, records: &[&str]) -> Append {
        Append::new(vec![self.section(segment, first, records)])
    }

    /// So many records of so many bytes in a segment of this check.
    pub fn bulk(&self, segment: &str, records: usize, bytes: usize) -> Append {
        let mut section = self.section(segment, 0, &[]);
        let record = |index: usize| Record {
            payload: (0..bytes).map(|at| (at ^ index) as u8).collect(),
            ..Record::default()
        };
        section.records = (0..records).map(record).collect();
        Append::new(vec![section])
    }

    /// A segment of this check from its first entry to its last.
    pub fn segment(&self, segment: &str) -> Source {
        self.range(segment, 1, u64::MAX)
    }

    /// A part of one.
    pub fn range(&self, segment: &str, first: u64, last: u64) -> Source {
        Source::Segment(self.space.clone(), segment.to_owned(), first, last)
    }

    /// A read of all of a segment of this check.
    pub fn read(&self, segment: &str) -> ReadCall {
        ReadCall::all(self.segment(segment))
    }
}
