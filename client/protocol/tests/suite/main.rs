//! The protocol's promises: recorded conversations come back as they were, hostile bytes give errors, texts stay.
mod hostile;
mod lexkey;
mod texts;
mod vectors;
