//! `dev`: a server for development, and how to connect to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use streamkit_engine::EngineConfig;
use streamkit_server_core::Limits;

use crate::arguments::log::LogOptions;
use crate::called::called;
use crate::connect::profile::{Profile, Profiles, Published};
use crate::failure::Failure;
use crate::output::{Out, note, path_text};
use crate::serving::development::Development;
use crate::serving::{Place, Ready};
use crate::signals::StopSignals;
use crate::terminal::log;

#[derive(clap::Args)]
#[command(next_line_help = true)]
pub(crate) struct Dev {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    pub(super) log: LogOptions,
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let ready = Ready::open(self.place.listen, EngineConfig::new(&self.place.data)).await?;
        let development = Development::open(&self.place.data)?;
        let mut signals = StopSignals::new()?;
        let profile = Profile {
            url: format!("ws://{}", reached_here(ready.address())),
            token: development.token()?,
            store: development.store,
            data: path_text(&std::path::absolute(&self.place.data)?).into_owned(),
        };
        let others = Profiles::find().map_or(0, |profiles| profiles.running.len());
        // Whoever reads the lines may call a client at once, and paste nothing.
        let published = Published::new(&profile);
        let mut out = Out::new();
        out.text(format_args!("export STREAMKIT_URL={}", profile.url))?;
        out.text(format_args!("export STREAMKIT_TOKEN={}", profile.token))?;
        out.text(format_args!("export STREAMKIT_STORE={}", profile.store))?;
        out.flush()?;
        match &published {
            Ok(_) if others == 0 => note("streamkit: in another terminal, try"),
            Ok(_) => note(
                "streamkit: other servers of dev run, so clients must know which you mean: paste the three lines above into another \
                 terminal, then try",
            ),
            Err(why) => note(format_args!(
                "streamkit: clients cannot find this server by themselves ({why}): paste the three lines above into another terminal, \
                 then try"
            )),
        }
        let called = called();
        note(format_args!("  echo hello | {called} produce greetings/world"));
        note(format_args!("  {called} consume greetings/world"));
        log::release();
        let running = ready.serve(development.key, Limits::default(), None);
        signals.next().await?;
        drop(published);
        running.leave(signals, Duration::ZERO).await
    }
}

/// Where clients of this machine reach a server that listens at an address.
fn reached_here(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}
