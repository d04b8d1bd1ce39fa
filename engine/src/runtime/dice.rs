//! Random numbers from a seed, for simulations, which need variety and not quality.

use std::sync::Arc;

/// A generator (xorshift64, <https://www.jstatsoft.org/article/view/v008i14>).
#[derive(Clone, Debug)]
pub struct Dice {
    state: u64,
    /// What the first numbers are made of.
    fed: Arc<[u8]>,
    eaten: usize,
}

/// The lowest bits are the least like dice.
const SPARE_BITS: u32 = 11;

impl Dice {
    /// The same seed gives the same numbers; neighbouring seeds give unrelated ones.
    pub fn new(seed: u64) -> Self {
        // The finisher of SplitMix64, so that small seeds differ in all bits.
        let mut mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self {
            state: (mixed ^ (mixed >> 31)) | 1,
            fed: Arc::default(),
            eaten: 0,
        }
    }

    /// Each two bytes decide one number, so that changing one changes one decision. Once used up, they become a seed.
    pub fn fed(bytes: &[u8]) -> Self {
        let seed = bytes
            .iter()
            .fold(0, |seed: u64, &byte| seed.rotate_left(8) ^ u64::from(byte));
        Self {
            fed: bytes.into(),
            ..Self::new(seed)
        }
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        if let Some(&[low, high]) = self.fed.get(self.eaten..self.eaten + 2) {
            self.eaten += 2;
            return u64::from(u16::from_le_bytes([low, high])) << SPARE_BITS;
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// A number below `sides`, which is not 0.
    pub fn below(&mut self, sides: u64) -> u64 {
        (self.any() >> SPARE_BITS) % sides
    }

    /// `true` in `hits` of `of` cases.
    pub fn chance(&mut self, hits: u64, of: u64) -> bool {
        self.below(of) < hits
    }
}
