//! The public key within an X.509 certificate.

/// What a value of DER is, by its first byte.
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The first value in `der`, whole with its head, what is in it, and what stands behind it. `None` if it is cut off, or its length is
/// written as no certificate has it.
fn first(der: &[u8], tag: u8) -> Option<(&[u8], &[u8], &[u8])> {
    let (head, length) = match *der {
        [is, short, ..] if is == tag && short < 0x80 => (2, usize::from(short)),
        [is, 0x81, a, ..] if is == tag => (3, usize::from(a)),
        [is, 0x82, a, b, ..] if is == tag => (4, usize::from(u16::from_be_bytes([a, b]))),
        _ => return None,
    };
    let whole = der.get(..head + length)?;
    Some((whole, &whole[head..], &der[head + length..]))
}

/// Its `SubjectPublicKeyInfo`, of [RFC 5280](https://www.rfc-editor.org/rfc/rfc5280#section-4.1). Nothing else of the certificate is
/// looked at.
pub(super) fn public_key_of_certificate(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = first(der, SEQUENCE)?;
    let (_, signed, _) = first(certificate, SEQUENCE)?;
    let rest = first(signed, VERSION).map_or(signed, |(_, _, rest)| rest);
    let serial_number = *rest.first()?;
    let (_, _, mut rest) = first(rest, serial_number)?;
    // The signature's algorithm, the issuer, the validity, the subject.
    for _ in 0..4 {
        rest = first(rest, SEQUENCE)?.2;
    }
    first(rest, SEQUENCE).map(|(whole, _, _)| whole)
}
