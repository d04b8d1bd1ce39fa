//! Measures the engine: against the bare disk of the same run, against its bars, and against other stores. Linux only.
//!
//! `limits` prints the table of P1 to P12 ([`rows`]); docs/PERFORMANCE.md says what each row measures. Floors are bare loops
//! ([`floor`]), loads are closed loops of writers ([`load`]) on ours ([`ours`]) or a peer ([`peers`]), and what a load was
//! told is durable is read back afterwards ([`verify`]). `peers` measures our server beside others ([`servers`], [`side_by_side`]), `wire`
//! what the network costs ([`wire`]), `azure` what several hosts over a storage account do ([`azure`]).

pub mod azure;
pub mod child;
pub mod figures;
pub mod floor;
pub mod history;
pub mod load;
pub mod machine;
pub mod ours;
pub mod payload;
pub mod peers;
pub mod plot;
pub mod report;
pub mod rows;
pub mod runs;
pub mod servers;
pub mod side_by_side;
pub mod usage;
pub mod verify;
pub mod wire;

pub use usage::{Usage, disk_bytes, raise_open_files};

/// What measuring returns; any failure ends it with its text.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Settings that keep a criterion benchmark short; criterion's own options on the command line go before them.
#[macro_export]
macro_rules! short {
    ($criterion:ident) => {
        $criterion::default()
            .sample_size(10)
            .warm_up_time(std::time::Duration::from_millis(300))
            .measurement_time(std::time::Duration::from_millis(1500))
            .configure_from_args()
    };
}
