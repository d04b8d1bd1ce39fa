//! The bytes of protocol v2, written from its document alone: what the project's own codec gets wrong on both sides alike does not hide
//! here. Strict where a client has to be lenient.

pub mod answers;
pub mod bytes;
pub mod calls;
#[cfg(test)]
mod document_tests;
pub mod frame;
pub mod pieces;
pub mod refused;
