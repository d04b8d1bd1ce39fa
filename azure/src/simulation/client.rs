//! A client and what it does.

use super::heads::Entry;

/// A client.
pub struct Client {
    pub home: usize,
    /// The head of each segment, as far as it knows.
    pub known: Vec<u64>,
    /// What it has still to do.
    pub left: u64,
    /// The number of what it waits for.
    pub turn: u64,
    pub doing: Option<Doing>,
}

/// What it does.
#[derive(Clone)]
pub struct Doing {
    /// What it wants stored; `None`: it looks.
    pub entry: Option<Entry>,
    /// What the witness knows the last try as.
    pub attempt: Option<usize>,
    pub tries: u64,
}
