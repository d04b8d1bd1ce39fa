//! How long somebody works.

use tokio_util::sync::CancellationToken;

/// A number of turns, or fewer if the work is called off.
#[derive(Clone, Debug)]
pub(crate) struct Shift {
    left: u32,
    called_off: CancellationToken,
}

impl Shift {
    pub fn new(turns: u32, called_off: CancellationToken) -> Self {
        Self {
            left: turns,
            called_off,
        }
    }

    /// Whether there is one turn more. Takes it.
    pub fn goes_on(&mut self) -> bool {
        let goes_on = self.left > 0 && !self.called_off.is_cancelled();
        self.left = self.left.saturating_sub(1);
        goes_on
    }
}
