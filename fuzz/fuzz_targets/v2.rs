//! No bytes that a peer sends panic, and what was understood means the same after another round.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use streamkit_protocol::v2::{Batches, Call, CallError, Credit, Frame, GoAway, Hello, Kind, ReadBatch, Told, names, statuses};

fuzz_target!(|bytes: &[u8]| {
    let mut message = Bytes::copy_from_slice(bytes);
    while let Ok(Some(frame)) = Frame::take(&mut message) {
        let _ = (frame.fields.trace(), frame.fields.unknown(&[]));
        // Whoever takes one has room for it.
        if frame.bytes() > 1 << 20 {
            continue;
        }
        let bytes = frame.bytes();
        let Ok(frame) = frame.unpack() else { continue };
        assert_eq!(frame.bytes(), bytes);
        match frame.kind {
            Kind::Hello => drop(Hello::decode(&frame)),
            Kind::Credit => drop(Credit::decode(&frame)),
            Kind::GoAway => drop(GoAway::decode(&frame)),
            Kind::Call => {
                if let Ok(Some(call)) = Call::decode(&frame.body) {
                    let (_, store) = Call::head(&frame.body).expect("it was read");
                    let mut again = Vec::new();
                    call.put(store, &mut again);
                    assert_eq!(Call::decode(&again.into()), Ok(Some(call)));
                }
            }
            Kind::Error => {
                if let Ok(error) = CallError::decode(&frame.body) {
                    let mut again = Vec::new();
                    error.put(&mut again);
                    assert_eq!(CallError::decode(&again.into()), Ok(error));
                }
            }
            Kind::Data => {
                let _ = Batches::default().read(&frame.body, &mut Vec::new());
                drop(ReadBatch::decode(&frame.body));
                drop(Told::decode(&frame.body));
                drop((names(&frame.body), statuses(&frame.body)));
            }
            Kind::Ping | Kind::Pong | Kind::End | Kind::Cancel | Kind::More => {}
        }
    }
});
