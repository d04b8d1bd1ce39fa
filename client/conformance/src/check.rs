//! A check: a promise of the document, and how it is tried.

use std::future::Future;
use std::pin::Pin;

use crate::fault::Step;
use crate::world::World;

/// A check under way.
pub type Trying<'a> = Pin<Box<dyn Future<Output = Step<()>> + Send + 'a>>;

/// A promise of the document, and how it is tried.
#[derive(Clone, Copy)]
pub struct Check {
    /// `topic/what`.
    pub name: &'static str,
    /// Its section of docs/PROTOCOL-V2.md.
    pub section: &'static str,
    /// One sentence.
    pub promise: &'static str,
    /// Tries it.
    pub run: for<'a> fn(&'a World) -> Trying<'a>,
}

/// The checks of a file: each a function, its name, and its promise.
macro_rules! checks {
    ($section:literal: $($function:ident $name:literal $promise:literal,)+) => {
        /// The checks of this file.
        pub const CHECKS: &[crate::check::Check] = &[$(crate::check::Check {
            name: $name,
            section: $section,
            promise: $promise,
            run: |world| Box::pin($function(world)),
        },)+];
    };
}

pub(crate) use checks;
