//! The bus between hosts.

use std::fmt;

use super::told::{About, ToldFigures, Writer};

/// Figures of a bus between hosts, counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BusFigures {
    /// Hints sent.
    pub sent: u64,
    /// Hints heard, our own among them.
    pub heard: u64,
    /// Messages heard that are none of ours.
    pub malformed: u64,
    /// Connections made; the first one counts.
    pub connections: u64,
    /// Whether it is connected now.
    pub is_connected: bool,
}

impl ToldFigures for BusFigures {
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let help = "1 while the message bus between hosts is connected";
        writer.gauge(About("bus_connected", help), None, u64::from(self.is_connected))?;
        let help = "Connections to the message bus that were made";
        writer.counter(About("bus_connections", help), self.connections)?;
        let help = "Hints that a store has come further, sent to other hosts and heard from all";
        let hints = [("sent", self.sent), ("heard", self.heard)];
        let hints = hints.map(|(way, count)| ([("way", way)], count));
        writer.counters(About("bus_hints", help), None, hints)?;
        let help = "Messages heard on the bus that no host has sent";
        writer.counter(About("bus_malformed", help), self.malformed)
    }
}
