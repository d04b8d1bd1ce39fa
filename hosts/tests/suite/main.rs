//! Hosts that know each other: over a real emulator of a storage account, real servers of NATS and Redis, and real sockets.

mod brokers;
mod bus;
#[path = "../../../azure/tests/suite/emulator.rs"]
mod emulator;
mod forwarding;
mod pair;
mod presence;
mod tls;
