//! No answer of a storage account panics, and none that is cut or changed is taken for a transaction that was done as a whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use streamkit_azure::account::table::{Transacted, read_transaction};

fuzz_target!(|bytes: &[u8]| {
    let (head, body) = bytes.split_at_checked(1).unwrap_or((&[2], bytes));
    let writes = usize::from(head[0] % 5);
    let kind = "multipart/mixed; boundary=batchresponse_1";
    if let Ok(Transacted::Applied(versions)) = read_transaction(kind, body, writes) {
        assert_eq!(versions.len(), writes);
        // It says so of every write, and ends as it should.
        let count = |text: &[u8]| body.windows(text.len()).filter(|window| *window == text).count();
        assert!(count(b"HTTP/1.") >= writes && count(b"--batchresponse_1--") >= 1);
    }
});
