//! The server over real sockets, spoken to in frames.

mod backup;
mod budgets;
mod channels;
mod client;
mod datasets;
mod failing;
mod fair;
mod faults;
mod handshake;
mod leaving;
mod live;
mod mounted;
mod operations;
mod overtaking;
mod peer;
mod pressure;
mod readiness;
mod recorded;
mod refusing;
mod removing;
mod resilience;
mod scripts;
mod sizes;
mod slow;
mod unread;
