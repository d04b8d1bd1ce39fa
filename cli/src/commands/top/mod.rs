//! `top`: a server as it is at work, looked at again and again. Elsewhere than on a terminal, once.
//!
//! ```text
//! GET /metrics ─▶ looks.rs ─▶ scraped.rs ─▶ view.rs ──┬─▶ draw.rs ─▶ screen.rs: the terminal
//! subscriptions to the store's spaces ─▶ busiest.rs ──┘   one JSON object
//! ```

mod busiest;
mod draw;
mod looks;
mod scraped;
mod screen;
mod view;

use std::time::Duration;

use busiest::Busiest;
use draw::Drawn;
use looks::Looks;
use scraped::Scraped;
use screen::{Pressed, Screen};
use serde::Serialize;
use view::View;

use crate::arguments::some_seconds;
use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Out, json_lines};
use crate::signals::StopSignals;

#[derive(clap::Args)]
pub(crate) struct Top {
    /// How often to look
    #[arg(long, value_name = "TIME", value_parser = some_seconds, default_value = "1s")]
    every: humantime::Duration,
    /// Print one JSON object, of two looks, and end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connect: Connect,
}

/// One look, in its JSON form.
#[derive(Serialize)]
struct Snapshot<'a> {
    url: &'a str,
    #[serde(flatten)]
    view: View,
}

impl Top {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut signals = StopSignals::new()?;
        let every: Duration = self.every.into();
        let server = self.connect.server().await?;
        let store = server.open();
        let name = store.id();
        let (url, mut looks) = (server.url.clone(), Looks::begin(server, every));
        let is_once = json_lines(self.json);
        // Whoever cannot be reached at first was named wrongly, more likely than not.
        let first = tokio::select! {
            biased;
            stopped = signals.next() => return stopped.map_err(Failure::from).and(Err(Failure::interrupted())),
            first = looks.next() => first?,
        };
        let busiest = Busiest::watch(store);
        if is_once {
            let second = tokio::select! {
                biased;
                stopped = signals.next() => return stopped.map_err(Failure::from).and(Err(Failure::interrupted())),
                second = looks.next() => second?,
            };
            let view = looked(&first, &second, &busiest);
            let mut out = Out::new();
            out.json(&Snapshot { url: &url, view })?;
            return out.flush();
        }
        let mut drawn = Drawn::new(&url, name);
        let mut last = first;
        let mut screen = Screen::open()?;
        loop {
            screen.draw(&drawn)?;
            tokio::select! {
                biased;
                stopped = signals.next() => return Ok(stopped?),
                pressed = screen.pressed() => match pressed {
                    Pressed::Leave => return Ok(()),
                    Pressed::Other => {}
                },
                look = looks.next() => match look {
                    Ok(now) => {
                        drawn.put(looked(&last, &now, &busiest));
                        last = now;
                    }
                    Err(failure) => drawn.missed(failure.to_string()),
                },
            }
        }
    }
}

fn looked(before: &Scraped, now: &Scraped, busiest: &Busiest) -> View {
    let mut view = View::between(before, now);
    (view.busiest, view.busiest_unknown) = busiest.look(view.seconds);
    view
}
