//! No token panics, and none of them is right: nobody has the key. What is refused is so for a reason.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use streamkit_server_core::{Algorithm, Key, TokenRules};

fn keys() -> &'static [Key] {
    static KEYS: OnceLock<Vec<Key>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let hmac = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        // Not in any seed, and not to be guessed.
        let secret: [u8; 64] = std::array::from_fn(|at| (at as u8).wrapping_mul(151) ^ 0x5a);
        Key::parse(&secret, &hmac).expect("it is long enough")
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(token) = std::str::from_utf8(bytes) else { return };
    assert!(Key::verify(keys(), token, &TokenRules::default()).is_err());
});
