//! Moments as people write them: a date, a time with or without an offset, how long ago, Unix time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Bare numbers below this are no milliseconds that anybody means: as such they lie before 1973-03-03, as seconds they
/// reach to the year 5138.
const MILLISECONDS_MIN: i64 = 100_000_000_000;

/// Bare numbers above this are no milliseconds that anybody means, but a finer count: the end of the year 9999.
const MILLISECONDS_MAX: i64 = 253_402_300_799_999;

/// A day in UTC, which has no other length.
const DAY_MILLISECONDS: i64 = 24 * 60 * 60 * 1000;

/// How to write a moment, for help and errors.
pub(crate) const HOW: &str = "write 2013-01-31, 2013-01-31T18:00 (UTC), 2013-01-31T18:00+02:00, 15m (ago), now, today, yesterday (their midnight, UTC), \
     @1359655200 (Unix seconds) or 1359655200000 (Unix milliseconds)";

/// A moment as Unix milliseconds. A date alone is its midnight, and a time without an offset is in UTC.
///
/// # Errors
/// What is wrong, and how to write it.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    parse(text).ok_or_else(|| match text.parse::<i64>() {
        Ok(later) if later > MILLISECONDS_MAX => {
            format!("{later} lies behind the year 9999; Unix milliseconds have 13 digits now")
        }
        Ok(seconds) => {
            format!("{seconds} looks like Unix seconds: write @{seconds}, or Unix milliseconds as {seconds}000")
        }
        Err(_) => format!("{text:?} is no time; {HOW}"),
    })
}

fn parse(text: &str) -> Option<i64> {
    if let Some(seconds) = text.strip_prefix('@') {
        let seconds: i64 = seconds.parse().ok()?;
        return Timestamp::from_second(seconds).ok().map(Timestamp::as_millisecond);
    }
    if let Ok(milliseconds) = text.parse::<i64>() {
        return (milliseconds == 0 || (MILLISECONDS_MIN..=MILLISECONDS_MAX).contains(&milliseconds))
            .then_some(milliseconds);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return Some(TimeZone::UTC.to_timestamp(time).ok()?.as_millisecond());
    }
    if let Some(days) = ["today", "yesterday"].iter().position(|day| *day == text) {
        let day = Timestamp::now().as_millisecond().div_euclid(DAY_MILLISECONDS);
        return Some((day - i64::try_from(days).ok()?) * DAY_MILLISECONDS);
    }
    let ago = match text {
        "now" => Duration::ZERO,
        text => humantime::parse_duration(text).ok()?,
    };
    let since = SystemTime::now().checked_sub(ago)?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_times_and_offsets_mean_what_they_say() {
        for (text, milliseconds) in [
            ("2013-01-31", 1_359_590_400_000),
            ("2013-01-31T18:00", 1_359_655_200_000),
            ("2013-01-31 18:00:00.5", 1_359_655_200_500),
            ("2013-01-31T18:00Z", 1_359_655_200_000),
            ("2013-01-31T18:00:00+02:00", 1_359_648_000_000),
            ("@1359655200", 1_359_655_200_000),
            ("1359655200000", 1_359_655_200_000),
            ("0", 0),
        ] {
            assert_eq!(moment(text), Ok(milliseconds), "{text}");
        }
        let ago = moment("2h").unwrap();
        assert!(ago < moment("1h").unwrap());
    }

    #[test]
    fn days_are_named_by_where_one_stands_in_them() {
        // The day may change between two of them, and does so once.
        let days = || ["yesterday", "today", "now"].map(|text| moment(text).unwrap());
        let is_right = |[yesterday, today, now]: [i64; 3]| {
            today - yesterday == DAY_MILLISECONDS
                && today % DAY_MILLISECONDS == 0
                && (today..today + DAY_MILLISECONDS).contains(&now)
        };
        assert!(is_right(days()) || is_right(days()));
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_much(text in "\\PC{0,40}|[-+@:0-9TZ.hms ]{0,40}") {
            let _ = moment(&text);
        }

        #[test]
        fn a_time_is_read_as_it_is_shown(milliseconds in MILLISECONDS_MIN..4_102_444_800_000) {
            proptest::prop_assert_eq!(moment(&crate::output::time(milliseconds)), Ok(milliseconds));
            proptest::prop_assert_eq!(moment(&milliseconds.to_string()), Ok(milliseconds));
        }
    }

    #[test]
    fn seconds_are_not_taken_for_milliseconds() {
        let why = moment("1359655200").unwrap_err();
        assert!(
            why.contains("write @1359655200") && why.contains("1359655200000"),
            "{why}"
        );
        assert!(moment("-5").is_err());
        for finer in ["1359655200000000", "1359655200000000000"] {
            assert!(moment(finer).unwrap_err().contains("13 digits"), "{finer}");
        }
    }

    #[test]
    fn what_is_no_time_is_told_how_to_write_one() {
        for text in ["", "tomorrow", "2013-13-01", "2013-01-31T25:00", "@x", "31.01.2013"] {
            assert!(moment(text).unwrap_err().contains("2013-01-31T18:00+02:00"), "{text}");
        }
    }
}
