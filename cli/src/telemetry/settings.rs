//! The variables `OTEL_…`, as all programs that export have them:
//! [exporters](https://opentelemetry.io/docs/specs/otel/protocol/exporter/),
//! [the rest](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). Those of sampling and of the
//! resource are read by the library.

use std::time::Duration;

/// Where something goes, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Target {
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
}

/// What is exported, and when.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) traces: Option<Target>,
    pub(super) metrics: Option<Target>,
    /// Spans that wait to be sent; more are dropped.
    pub(super) queue: usize,
    /// Spans sent together.
    pub(super) batch: usize,
    /// How long a span waits for others to be sent with.
    pub(super) delay: Duration,
    /// Between two times that metrics are sent.
    pub(super) interval: Duration,
}

impl Settings {
    /// `None`: there is no collector, or nothing is to be exported.
    pub(super) fn of_environment() -> Option<Self> {
        Self::of(variable)
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        if variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let target = |signal: &str, path: &str| {
            if variable(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|exporter| exporter == "none") {
                return None;
            }
            let of_signal = |what: &str| variable(&format!("OTEL_EXPORTER_OTLP_{signal}_{what}"));
            let of_all = |what: &str| variable(&format!("OTEL_EXPORTER_OTLP_{what}"));
            let url = of_signal("ENDPOINT")
                .or_else(|| of_all("ENDPOINT").map(|base| format!("{}/{path}", base.trim_end_matches('/'))))?;
            let headers = of_signal("HEADERS").or_else(|| of_all("HEADERS")).unwrap_or_default();
            Some(Target {
                url,
                headers: pairs(&headers),
                timeout: millis(of_signal("TIMEOUT").or_else(|| of_all("TIMEOUT")), 10_000),
            })
        };
        let settings = Self {
            traces: target("TRACES", "v1/traces"),
            metrics: target("METRICS", "v1/metrics"),
            queue: count(variable("OTEL_BSP_MAX_QUEUE_SIZE"), 2048),
            batch: count(variable("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"), 512),
            delay: millis(variable("OTEL_BSP_SCHEDULE_DELAY"), 5000),
            interval: millis(variable("OTEL_METRIC_EXPORT_INTERVAL"), 60_000),
        };
        (settings.traces.is_some() || settings.metrics.is_some()).then_some(settings)
    }
}

/// A variable that is set; an empty one is not.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// At least 1, and no more than a queue may reasonably have.
fn count(value: Option<String>, default: usize) -> usize {
    let count = value.and_then(|value| value.trim().parse().ok());
    count.unwrap_or(default).clamp(1, 1 << 20)
}

fn millis(value: Option<String>, default: u64) -> Duration {
    let millis = value.and_then(|value| value.trim().parse().ok());
    Duration::from_millis(millis.unwrap_or(default).clamp(1, 86_400_000))
}

/// `a=b,c=d`, with values in percent encoding.
fn pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.trim().to_owned(), decoded(value.trim())))
        .collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let code = after
            .first_chunk::<2>()
            .filter(|digits| *byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[2..];
            }
            None => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&str, &str)]) -> Option<Settings> {
        Settings::of(|name| {
            set.iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/");

    #[test]
    fn without_an_endpoint_or_when_it_is_disabled_nothing_is_exported() {
        assert!(read(&[]).is_none());
        assert!(read(&[ENDPOINT, ("OTEL_SDK_DISABLED", "true")]).is_none());
        let none = [
            ENDPOINT,
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ];
        assert!(read(&none).is_none());
    }

    #[test]
    fn each_signal_goes_to_its_path_unless_it_has_an_endpoint_of_its_own() {
        let settings = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://other/m"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%3Db, x=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "nonsense"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ]);
        let settings = settings.unwrap();
        let traces = settings.traces.unwrap();
        assert_eq!(traces.url, "http://collector:4318/v1/traces");
        assert_eq!(traces.headers[0], ("authorization".to_owned(), "Bearer a=b".to_owned()));
        assert_eq!(traces.headers[1], ("x".to_owned(), "1".to_owned()));
        assert_eq!(traces.timeout, Duration::from_millis(100));
        assert_eq!(settings.metrics.unwrap().url, "https://other/m");
        assert_eq!((settings.interval, settings.queue), (Duration::from_secs(60), 1));
    }

    #[test]
    fn what_is_no_percent_encoding_stays() {
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%4%+1"), "%zz%4%+1");
        assert_eq!(decoded("%ff"), "\u{fffd}");
    }
}
