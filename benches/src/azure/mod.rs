//! Hosts that share stores over an emulator of a storage account that is as far away as a real one.

pub mod cached;
pub mod delayed;
#[path = "../../../azure/tests/suite/emulator.rs"]
pub mod emulator;
pub mod hosts;
