//! The part of an archive that is on the disk of this host.

use std::fmt;

use prometheus_client::registry::Unit;
use streamkit_engine::boundary::figures::CacheFigures;

use super::told::{About, ToldFigures, Writer};

impl ToldFigures for CacheFigures {
    fn write(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let help = "Bytes of archived files on the disk of this host";
        writer.gauge(About("cache", help), Some(Unit::Bytes), self.bytes)?;
        let help = "Bytes that archived files may take on the disk of this host";
        writer.gauge(About("cache_most", help), Some(Unit::Bytes), self.most)?;
        let help = "Archived files that were fetched to be read";
        writer.counter(About("cache_files_fetched", help), self.fetched)?;
        let help = "Bytes of archived files that were fetched to be read";
        writer.counters(
            About("cache_fetched", help),
            Some(Unit::Bytes),
            [([], self.fetched_bytes)],
        )?;
        let help = "Archived files that were removed from the disk to make room";
        writer.counter(About("cache_files_removed", help), self.removed)
    }
}
