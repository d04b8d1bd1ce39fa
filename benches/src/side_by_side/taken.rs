//! Processor time of a server, and of its client in this process, for each record or entry.

use crate::Outcome;
use crate::figures::Figures;
use crate::usage::processor_us;

/// What both had taken when a load began.
pub(crate) struct Taken {
    /// The server's process, if it is one.
    server: Option<(u32, f64)>,
    client: f64,
}

impl Taken {
    /// From now on.
    pub(crate) fn begin(server: Option<u32>) -> Outcome<Self> {
        let server = match server {
            Some(process) => Some((process, processor_us(process)?)),
            None => None,
        };
        Ok(Self {
            server,
            client: processor_us(std::process::id())?,
        })
    }

    /// Figures with what each of so many has taken of both until now.
    pub(crate) fn of(&self, figures: Figures, each: f64) -> Outcome<Figures> {
        let client = (processor_us(std::process::id())? - self.client) / each;
        let figures = figures.with("client_processor_us", client);
        let Some((process, before)) = self.server else {
            return Ok(figures);
        };
        let server = (processor_us(process)? - before) / each;
        Ok(figures.with("server_processor_us", server))
    }
}
