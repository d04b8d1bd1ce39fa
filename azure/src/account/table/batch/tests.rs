//! Answers to transactions, those of the service and those that a broken or hostile one may give.

use super::*;

const TYPE: &str = "multipart/mixed; boundary=batchresponse_1";

/// As the service's documentation shows it.
fn answer(parts: &[&str]) -> String {
    let mut text =
        "--batchresponse_1\r\nContent-Type: multipart/mixed; boundary=changesetresponse_2\r\n\r\n".to_owned();
    for part in parts {
        text.push_str(&format!(
            "--changesetresponse_2\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{part}\r\n"
        ));
    }
    text + "--changesetresponse_2--\r\n--batchresponse_1--\r\n"
}

const DONE: &str =
    "HTTP/1.1 204 No Content\r\nContent-ID: 0\r\nDataServiceVersion: 3.0;\r\nETag: W/\"datetime'1'\"\r\n\r\n";

fn failed(status: &str, code: &str, message: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n\
         {{\"odata.error\":{{\"code\":\"{code}\",\"message\":{{\"lang\":\"en-US\",\"value\":\"{message}\"}}}}}}\r\n"
    )
}

fn read_all(text: &str, writes: usize) -> Result<Transacted, CallError> {
    read(TYPE, text.as_bytes(), writes)
}

#[test]
fn success_is_believed_only_of_every_part() {
    let Ok(Transacted::Applied(versions)) = read_all(&answer(&[DONE, DONE]), 2) else {
        panic!("it was done");
    };
    assert_eq!(versions[1].as_ref().unwrap().as_str(), "W/\"datetime'1'\"");
    assert!(read_all(&answer(&[DONE]), 2).unwrap_err().is_unknown());
    assert!(read_all(&answer(&[DONE, DONE, DONE]), 2).unwrap_err().is_unknown());
    assert!(read_all(&answer(&[]), 1).unwrap_err().is_unknown());
    let long = answer(&[DONE, DONE]);
    for cut in 0..long.len() - 2 {
        let cut = read_all(&long[..cut], 2);
        assert!(cut.is_err() || cut == read_all(&long, 2), "{cut:?}");
    }
    assert!(read_all(&long[..long.len() - 40], 2).unwrap_err().is_unknown());
    // Line ends without \r.
    assert!(matches!(
        read_all(&long.replace('\r', ""), 2),
        Ok(Transacted::Applied(_))
    ));
}

#[test]
fn a_transaction_that_failed_says_why_although_its_whole_is_a_success() {
    let exists = failed(
        "409 Conflict",
        "EntityAlreadyExists",
        "1:The specified entity already exists.",
    );
    let not = |refusal, write| Ok(Transacted::Not { refusal, write });
    assert_eq!(read_all(&answer(&[&exists]), 2), not(Refusal::Exists, Some(1)));
    assert_eq!(read_all(&answer(&[DONE, &exists]), 2), not(Refusal::Exists, Some(1)));
    let missing = failed(
        "404 Not Found",
        "ResourceNotFound",
        "The specified resource does not exist.",
    );
    assert_eq!(read_all(&answer(&[&missing]), 2), not(Refusal::Missing, None));
    let changed = failed("412 Precondition Failed", "UpdateConditionNotSatisfied", "0:…");
    assert_eq!(read_all(&answer(&[&changed]), 2), not(Refusal::Changed, Some(0)));
    let far = failed(
        "409 Conflict",
        "EntityAlreadyExists",
        "7:The specified entity already exists.",
    );
    assert_eq!(read_all(&answer(&[&far]), 2), not(Refusal::Exists, None));
    // Without a row of parts inside.
    let bare =
        format!("--batchresponse_1\r\nContent-Type: application/http\r\n\r\n{exists}\r\n--batchresponse_1--\r\n");
    assert_eq!(read_all(&bare, 2), not(Refusal::Exists, Some(1)));
}

#[test]
fn a_failure_that_cannot_be_read_proves_nothing() {
    for part in [
        "HTTP/1.1 409 Conflict\r\n\r\n",
        "HTTP/1.1 409 Conflict\r\n\r\n<html>EntityAlreadyExists</html>",
        "HTTP/1.1 409 Conflict\r\n\r\n{\"odata.error\":{\"code\":7}}",
        "HTTP/1.1 404 Not Found\r\n\r\n{\"odata.error\":null}",
        "HTTP/1.1 500 Internal Server Error\r\n\r\n",
        "HTTP/1.1 503 Server Busy\r\n\r\n",
        "HTTP/1.1 099 ?\r\n\r\n",
        "HTTP/1.1 +20 ?\r\n\r\n",
        "HTTP/1.1 20\r\n\r\n",
        "HTTP/1.1 2040 No Content\r\n\r\n",
        "HTTP/2 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 204 No Content\r\nETag: \u{1}\r\n\r\n",
        "204",
        "",
    ] {
        let read = read_all(&answer(&[part]), 1);
        assert!(matches!(&read, Err(error) if error.is_unknown()), "{part:?}: {read:?}");
    }
    let missing = failed(
        "404 Not Found",
        "TableNotFound",
        "0:The table specified does not exist.",
    );
    assert!(matches!(
        read_all(&answer(&[&missing]), 1),
        Err(CallError::Refused { .. })
    ));
}

#[test]
fn what_stands_in_a_body_is_taken_for_no_part() {
    let spoof = failed("409 Conflict", "EntityAlreadyExists", "1:HTTP/1.1 204 No Content");
    let read = read_all(&answer(&[&spoof]), 1);
    assert!(
        matches!(
            read,
            Ok(Transacted::Not {
                refusal: Refusal::Exists,
                ..
            })
        ),
        "{read:?}"
    );
    let spoof = "HTTP/1.1 500 Oh\r\n\r\n--changesetresponse_2x\r\nHTTP/1.1 204 No Content\r\n\r\n";
    assert!(read_all(&answer(&[spoof]), 1).unwrap_err().is_unknown());
}

#[test]
fn no_bytes_panic() {
    let good = answer(&[DONE, &failed("409 Conflict", "EntityAlreadyExists", "1:…")]);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..20_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..=round % 8 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(random >> 33).unwrap() % bytes.len().max(1);
            match random % 3 {
                _ if bytes.is_empty() => {}
                0 => bytes[at] = (random >> 8).to_le_bytes()[0],
                1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        let _ = read(TYPE, &bytes, 2);
    }
    for kind in [
        "",
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "text/html; boundary=x",
        "multipart/mixed; boundary=\u{1}",
        &"b".repeat(300),
    ] {
        assert!(read(kind, good.as_bytes(), 2).unwrap_err().is_unknown(), "{kind}");
    }
}
