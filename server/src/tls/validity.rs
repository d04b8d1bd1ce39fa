//! How long a certificate is good: the two times in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::certificate::{CertificateFields, Element};

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// From when and until when, in seconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

/// What it means at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    NotYet(Duration),
    Good(Duration),
    Expired(Duration),
}

impl Validity {
    /// When all of a chain are good.
    pub(super) fn of_all(chain: &[impl AsRef<[u8]>]) -> Option<Self> {
        let each: Option<Vec<Self>> = chain.iter().map(|certificate| Self::of(certificate.as_ref())).collect();
        each?.into_iter().reduce(|all, one| Self {
            from: all.from.max(one.from),
            until: all.until.min(one.until),
        })
    }

    fn of(certificate: &[u8]) -> Option<Self> {
        let from = Element::first(CertificateFields::of(certificate)?.validity)?;
        let until = Element::first(from.rest)?;
        Some(Self {
            from: time(from.tag, from.content)?,
            until: time(until.tag, until.content)?,
        })
    }

    pub(super) fn has_expired(self) -> bool {
        matches!(self.standing(SystemTime::now()), Standing::Expired(_))
    }

    pub(super) fn standing(&self, now: SystemTime) -> Standing {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let apart = |later: i64, sooner: i64| Duration::from_secs(later.abs_diff(sooner));
        match now {
            _ if now < self.from => Standing::NotYet(apart(self.from, now)),
            _ if now > self.until => Standing::Expired(apart(now, self.until)),
            _ => Standing::Good(apart(self.until, now)),
        }
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`.
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let (century, text) = match (tag, text.len()) {
        (UTC_TIME, 13) => (None, text),
        (GENERALIZED_TIME, 15) => (Some(digits(&text[..2])?), &text[2..]),
        _ => return None,
    };
    let (text, b"Z") = text.split_at(12) else { return None };
    let mut parts = text.chunks(2).map(digits);
    let mut next = || parts.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let year = match century {
        Some(century) => century * 100 + year,
        None if year < 50 => 2000 + year,
        None => 1900 + year,
    };
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 61;
    is_time.then(|| days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |all, &byte| {
        byte.is_ascii_digit().then(|| all * 10 + i64::from(byte - b'0'))
    })
}

/// Days from 1970-01-01 to a date, counted in years that begin in March, so that a leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(until: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["x".to_owned()]).unwrap();
        params.not_before = date_time_ymd(1999, 2, 28);
        params.not_after = date_time_ymd(until, 3, 1);
        params
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        // From 2050 on certificates write four digits of the year.
        for (until, seconds) in [(2024, 1_709_251_200), (2050, 2_529_705_600), (2100, 4_107_542_400)] {
            let validity = Validity::of(&certificate(until)).unwrap();
            assert_eq!((validity.from, validity.until), (920_160_000, seconds));
        }
        let chain = [certificate(2100), certificate(2024)];
        let validity = Validity::of_all(&chain).unwrap();
        assert_eq!(validity.until, 1_709_251_200, "the first to expire counts");
        let at = |second| validity.standing(UNIX_EPOCH + Duration::from_secs(second));
        assert_eq!(at(920_159_999), Standing::NotYet(Duration::from_secs(1)));
        assert_eq!(at(1_709_251_200), Standing::Good(Duration::ZERO));
        assert_eq!(at(1_709_251_205), Standing::Expired(Duration::from_secs(5)));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let whole = certificate(2030);
        for length in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..length]), None, "{length}");
        }
        let there = Validity::of(&whole);
        for place in 0..whole.len() {
            for flip in [1, 0x7f, 0x80, 0xff] {
                let mut other = whole.clone();
                other[place] ^= flip;
                let _ = Validity::of(&other) == there;
            }
        }
        for text in [
            "240230000000",
            "2402300000000",
            "aaaaaaaaaaaaZ",
            "241330000000Z",
            "240230000000+",
        ] {
            assert_eq!(time(UTC_TIME, text.as_bytes()), None, "{text}");
        }
    }
}
