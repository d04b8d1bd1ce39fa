//! Tests of [`super`].

use super::*;

#[test]
fn behind_a_gap_counts_only_what_follows_something_durable() {
    let state = LogState {
        group_number: 4,
        chain: 7,
        ..LogState::default()
    };
    let group = |number, at| Scanned {
        number,
        epoch: 1,
        chain: 9,
        durable: 0,
        at,
        end: at + 800,
        whole: true,
    };
    let durable = Durable {
        byte: 5000,
        group: 0,
        group_end: 0,
    };
    let follows = |group: Scanned| durable.lets_follow(&state, &group);
    assert!(
        follows(Scanned {
            chain: 7,
            ..group(5, 9000)
        }),
        "it continues the log"
    );
    assert!(!follows(group(5, 9000)), "of another life");
    assert!(follows(group(6, 5000)), "what is missing ended there, and was durable");
    assert!(
        !follows(group(6, 8192)),
        "one of a few bytes may have begun at 5000, and been torn"
    );
    assert!(
        follows(Scanned {
            whole: false,
            ..group(5, 4200)
        }),
        "it was durable, and is damaged"
    );
    assert!(
        !follows(Scanned {
            whole: false,
            ..group(5, 4300)
        }),
        "it may have been torn"
    );
    let written_behind = Scanned {
        durable: 5000,
        ..group(6, 4200)
    };
    assert!(
        follows(group(6, 4200)) && !follows(written_behind),
        "it was moved there"
    );
    let by_checkpoint = Durable {
        byte: 5000,
        group: 6,
        group_end: 5000,
    };
    let moved = by_checkpoint.lets_follow(&state, &group(7, 4200));
    assert!(!moved, "what has this number stood behind the checkpoint");
    assert!(by_checkpoint.lets_follow(&state, &group(7, 5000)));
    assert!(by_checkpoint.lets_follow(&state, &group(6, 9000)) && !by_checkpoint.lets_follow(&state, &group(7, 9000)));
}
