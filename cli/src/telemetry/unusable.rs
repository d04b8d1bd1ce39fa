//! Values of the variables `OTEL_…` that mean nothing here. Each is told: something else counts in its place, and nobody would know.

use reqwest::Url;

/// The samplers that the library knows.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// What is said of each that is set so. The values are not shown: an address may hold a password.
pub(super) fn told(variable: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut told = Vec::new();
    let mut check = |name: &str, is_usable: fn(&str) -> bool, what: &str| {
        if variable(name).is_some_and(|value| !is_usable(value.trim())) {
            told.push(format!("{name} {what}"));
        }
    };
    for signal in ["", "TRACES_", "METRICS_"] {
        let of_signal = |what: &str| format!("OTEL_EXPORTER_OTLP_{signal}{what}");
        check(
            &of_signal("ENDPOINT"),
            is_address,
            "is no http or https URL: nothing can be sent there",
        );
        check(
            &of_signal("PROTOCOL"),
            |name| name == "http/protobuf",
            "does not say http/protobuf: nothing else is spoken",
        );
        check(&of_signal("TIMEOUT"), is_number, NO_NUMBER);
    }
    for name in [
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_METRIC_EXPORT_INTERVAL",
    ] {
        check(name, is_number, NO_NUMBER);
    }
    for name in ["OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"] {
        check(
            name,
            |name| ["otlp", "none"].contains(&name),
            "says neither otlp nor none: otlp counts",
        );
    }
    check(
        "OTEL_TRACES_SAMPLER",
        |name| SAMPLERS.contains(&name),
        "names no sampler: parentbased_always_on counts",
    );
    check(
        "OTEL_TRACES_SAMPLER_ARG",
        is_ratio,
        "is no number from 0 to 1: all traces count",
    );
    check(
        "OTEL_SDK_DISABLED",
        |value| ["true", "false"].contains(&&*value.to_ascii_lowercase()),
        "is neither true nor false: false counts",
    );
    told
}

const NO_NUMBER: &str = "is no whole number: the default counts";

fn is_number(value: &str) -> bool {
    value.parse::<u64>().is_ok()
}

fn is_ratio(value: &str) -> bool {
    value.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio))
}

fn is_address(value: &str) -> bool {
    Url::parse(value).is_ok_and(|url| ["http", "https"].contains(&url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(name: &str, value: &str) -> Vec<String> {
        told(|asked| (asked == name).then(|| value.to_owned()))
    }

    #[test]
    fn what_means_nothing_is_told_by_its_name_and_never_shown() {
        for (name, right, wrong) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://u:p@c/t", "grpc://u:p@c"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "100", "5s"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", " 7 ", "-7"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", "1.5"),
            ("OTEL_TRACES_EXPORTER", "none", "jaeger"),
            ("OTEL_TRACES_SAMPLER", "traceidratio", "tracidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.01", "7"),
            ("OTEL_TRACES_SAMPLER_ARG", "1", "NaN"),
            ("OTEL_SDK_DISABLED", "TRUE", "1"),
        ] {
            assert_eq!(told_of(name, right), [""; 0], "{name}={right}");
            let told = told_of(name, wrong);
            assert!(told.len() == 1 && told[0].starts_with(name), "{name}={wrong}: {told:?}");
            assert!(!told[0].contains("u:p"), "{told:?}");
        }
    }
}
