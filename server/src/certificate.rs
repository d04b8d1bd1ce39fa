//! What is read off an X.509 certificate: of its DER, the fields of [RFC 5280](https://www.rfc-editor.org/rfc/rfc5280#section-4.1) that
//! somebody needs. Whether it is good is not looked at.

const SEQUENCE: u8 = 0x30;
/// Of the version, which may be missing.
const VERSION: u8 = 0xa0;

/// Fields of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CertificateFields<'a> {
    /// What stands in its `Validity`: two times.
    pub(crate) validity: &'a [u8],
    /// Its `SubjectPublicKeyInfo`, whole.
    pub(crate) public_key: &'a [u8],
}

/// A value of DER.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// With tag and length.
    whole: &'a [u8],
    /// What stands behind it.
    pub(crate) rest: &'a [u8],
}

impl<'a> CertificateFields<'a> {
    /// `None` if it is no certificate.
    pub(crate) fn of(der: &'a [u8]) -> Option<Self> {
        let certificate = sequence(der)?;
        let mut fields = sequence(certificate.content)?.content;
        let first = Element::first(fields)?;
        if first.tag == VERSION {
            fields = first.rest;
        }
        let serial_number = Element::first(fields)?;
        let algorithm = sequence(serial_number.rest)?;
        let issuer = sequence(algorithm.rest)?;
        let validity = sequence(issuer.rest)?;
        let subject = sequence(validity.rest)?;
        let public_key = sequence(subject.rest)?;
        Some(Self {
            validity: validity.content,
            public_key: public_key.whole,
        })
    }
}

fn sequence(der: &[u8]) -> Option<Element<'_>> {
    Element::first(der).filter(|element| element.tag == SEQUENCE)
}

impl<'a> Element<'a> {
    /// The first one in `der`. `None` if it is cut off, or its length is written as no certificate has it.
    pub(crate) fn first(der: &'a [u8]) -> Option<Self> {
        let (&[tag, short], behind) = der.split_first_chunk()?;
        let (length, behind) = match short {
            0..=0x7f => (usize::from(short), behind),
            0x81..=0x84 => {
                let (long, behind) = behind.split_at_checked(usize::from(short & 0x7f))?;
                (long.iter().fold(0, |all, &byte| all << 8 | usize::from(byte)), behind)
            }
            _ => return None,
        };
        let (content, rest) = behind.split_at_checked(length)?;
        let whole = &der[..der.len() - rest.len()];
        Some(Self {
            tag,
            content,
            whole,
            rest,
        })
    }
}
