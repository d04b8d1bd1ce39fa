//! `dev`: a server for development, and how to connect to it.

use streamkit_engine::EngineConfig;
use streamkit_server::Limits;

use crate::called::called;
use crate::failure::Failure;
use crate::output::{Out, note};
use crate::serving::development::Development;
use crate::serving::{Place, Ready};
use crate::signals::StopSignals;
use crate::terminal::log;

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Dev {
    #[command(flatten)]
    place: Place,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ready = Ready::open(self.place.listen, EngineConfig::new(&self.place.data)).await?;
        let development = Development::open(&self.place.data)?;
        let token = development.token()?;
        let signals = StopSignals::new()?;
        let mut out = Out::new();
        out.text(format_args!("export STREAMKIT_URL=ws://{}", ready.address()))?;
        out.text(format_args!("export STREAMKIT_TOKEN={token}"))?;
        out.text(format_args!("export STREAMKIT_STORE={}", development.store))?;
        out.flush()?;
        note("streamkit: paste the three lines above into another terminal, then try");
        let called = called();
        note(format_args!("  echo hello | {called} produce greetings/world"));
        note(format_args!("  {called} consume greetings/world"));
        log::release();
        let running = ready.serve(development.key, Limits::default());
        running.until_stopped(signals).await
    }
}
