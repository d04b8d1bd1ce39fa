//! What the client promises of any store that somebody serves. These tests run twice: here over one server and its engine, and in
//! `torture/hosts/tests/client` over three hosts that share the stores of an account, behind a balancer. So they ask `crate::fixture`
//! alone for what serves them, and each uses a store of its own.
//!
//! Tests of the client stand outside this folder if they need a server with limits of its own (`again`, `expiry`, `resilience`), one that
//! follows a script (`again`, `leases`, `scripts`, `strict`, `streams_v2`, `subscriptions`), one whose store fails (`faults`), one that
//! ends in good order (`metrics_of_clients`), what it counts (`overtaking`, `subscriptions`), one in this process (`in_process`), or more
//! than connections hold (`slow`, `streams_v2`), which says nothing of hosts and keeps an emulator busy for long.

pub mod client;
mod client_v2;
mod cuts;
mod datasets;
pub mod es;
mod es_histories;
mod es_snapshots;
mod following_v1;
mod leases;
mod lost_answers;
mod members;
mod metrics_of_clients;
pub mod projections;
mod projections_faults;
pub mod relay;
mod removing;
mod resilience;
mod sizes;
pub mod subscriptions;
mod torn;
