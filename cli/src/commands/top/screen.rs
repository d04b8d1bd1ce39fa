//! The terminal while it is drawn on: taken, and given back as it was, whatever ends the command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::draw::Drawn;
use crate::failure::Failure;
use crate::terminal::log;

/// How long a key may be waited for before it is asked whether to go on.
const WAITS: Duration = Duration::from_millis(100);

/// Keys that wait to be heeded; a person presses no more.
const KEYS_MAX: usize = 16;

/// What a key asks for.
pub(super) enum Pressed {
    Leave,
    /// To draw again: the terminal may have another size.
    Other,
}

pub(super) struct Screen {
    terminal: DefaultTerminal,
    keys: mpsc::Receiver<Pressed>,
    is_over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal. What is logged there meanwhile would stand amid what is drawn.
    pub(super) fn open() -> Result<Self, Failure> {
        let taken = |error: std::io::Error| Failure::from(error).during("the terminal cannot be drawn on");
        log::mute(true);
        let terminal = ratatui::try_init().map_err(taken).inspect_err(|_| log::mute(false))?;
        let (told, keys) = mpsc::channel(KEYS_MAX);
        let is_over = Arc::new(AtomicBool::new(false));
        let screen = Self {
            terminal,
            keys,
            is_over: is_over.clone(),
        };
        std::thread::Builder::new()
            .name("sk-keys".to_owned())
            .spawn(move || read_keys(&told, &is_over))?;
        Ok(screen)
    }

    pub(super) fn draw(&mut self, drawn: &Drawn) -> Result<(), Failure> {
        let done = self.terminal.draw(|frame| drawn.on(frame));
        done.map(drop).map_err(|error| Failure::output(&error))
    }

    /// The next key. Without any, as where nobody can press one, it waits for ever.
    ///
    /// Cancel safe.
    pub(super) async fn pressed(&mut self) -> Pressed {
        match self.keys.recv().await {
            Some(pressed) => pressed,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // A terminal that is gone needs nothing back.
        let _ = ratatui::try_restore();
        log::mute(false);
    }
}

fn read_keys(told: &mpsc::Sender<Pressed>, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let pressed = match event::poll(WAITS) {
            Ok(false) => continue,
            Ok(true) => event::read().map(asks),
            Err(error) => Err(error),
        };
        // Nobody can press a key any more, or nobody heeds it.
        let Ok(pressed) = pressed else { return };
        if told.blocking_send(pressed).is_err() {
            return;
        }
    }
}

fn asks(event: Event) -> Pressed {
    let Event::Key(key) = event else {
        return Pressed::Other;
    };
    let is_ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    let is_q = matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc);
    match key.kind == KeyEventKind::Press && (is_ctrl_c || is_q) {
        true => Pressed::Leave,
        false => Pressed::Other,
    }
}
