//! Calls that wait for the server's credit, or for a channel, in the order in which they came.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// Those who wait. One of them at a time has its turn, and nobody passes it.
#[derive(Default)]
pub(super) struct Waiting {
    queue: VecDeque<oneshot::Sender<()>>,
    /// How many of them have gone: they are left out when their turn comes, or when they are half of all.
    gone: usize,
    somebodys_turn: bool,
}

impl Waiting {
    /// Whether nobody comes first.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && !self.somebodys_turn
    }

    /// Goes to the end. What comes back tells of the turn, or is closed when waiting is of no use any more.
    pub(super) fn join(&mut self) -> oneshot::Receiver<()> {
        let (turn, waits) = oneshot::channel();
        self.queue.push_back(turn);
        waits
    }

    /// Gives the first its turn, unless another has it. Those that have gone meanwhile are left out.
    pub(super) fn next(&mut self) {
        while !self.somebodys_turn
            && let Some(first) = self.queue.pop_front()
        {
            self.somebodys_turn = first.send(()).is_ok();
            self.gone = self.gone.saturating_sub(usize::from(!self.somebodys_turn));
        }
    }

    /// One of them has gone before its turn.
    pub(super) fn leave(&mut self) {
        self.gone += 1;
        if self.gone > self.queue.len() / 2 {
            self.queue.retain(|waits| !waits.is_closed());
            self.gone = 0;
        }
    }

    /// Whoever had its turn has taken it, or has gone.
    pub(super) fn turn_is_over(&mut self) {
        self.somebodys_turn = false;
    }

    /// Sends all away.
    pub(super) fn close(&mut self) {
        self.queue.clear();
        self.gone = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_give_up_take_no_room_though_nobodys_turn_comes() {
        let mut waiting = Waiting::default();
        let mut stays = waiting.join();
        for _ in 0..1000 {
            drop(waiting.join());
            waiting.leave();
            assert!(waiting.queue.len() <= 3, "{}", waiting.queue.len());
        }
        waiting.next();
        assert!(stays.try_recv().is_ok());
    }
}
