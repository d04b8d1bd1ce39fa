//! The log, on standard error. Scripts read a server's address from the first line there, so what is logged earlier is
//! held back until that line is out.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// What was logged and held back, while lines are held back.
static HELD: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Holds back what is logged from now on.
pub(crate) fn hold() {
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert_default();
}

/// Writes what was held back, and lets the log go on.
pub(crate) fn release() {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(lines) = held.take() {
        // Nobody may be there to read it.
        let _ = io::stderr().write_all(&lines);
    }
}

/// Where the log is written to.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut *HELD.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(held) => {
                held.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
