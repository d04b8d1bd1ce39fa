//! No key file and no set panics, whatever stands in it, and no public key becomes a secret.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_server_core::{Algorithm, Key};

fuzz_target!(|bytes: &[u8]| {
    let keys = Key::parse(bytes, &Algorithm::ALL).unwrap_or_default();
    let is_framed = bytes.windows(11).any(|window| window == b"-----BEGIN ");
    for key in keys {
        let is_secret = key.algorithms().any(|algorithm| algorithm.name().starts_with("HS"));
        assert!(!(is_framed && is_secret));
        if key.can_sign() {
            let _ = key.mint(&["streamkit::*".to_owned()], std::time::Duration::from_secs(1));
        }
    }
});
