//! The text of `/metrics`, read: as much of [OpenMetrics](https://prometheus.io/docs/specs/om/open_metrics_spec/) as a server writes.

/// A metric and all its samples.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct MetricFamily {
    pub(super) name: String,
    /// `counter`, `gauge` or `histogram`.
    pub(super) kind: String,
    pub(super) help: String,
    /// `seconds`, `bytes` or nothing.
    pub(super) unit: String,
    pub(super) samples: Vec<Sample>,
}

/// A line with a value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Sample {
    /// What stands behind the family's name: `_total`, `_bucket`.
    pub(super) suffix: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) value: String,
}

/// All families. What is not understood is left out.
pub(super) fn read(text: &str) -> Vec<MetricFamily> {
    let mut families = Vec::<MetricFamily>::new();
    for line in text.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            let mut words = about.splitn(3, ' ');
            let (Some(what), Some(name), Some(said)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            if families.last().is_none_or(|family| family.name != name) {
                families.push(MetricFamily {
                    name: name.to_owned(),
                    ..MetricFamily::default()
                });
            }
            let Some(family) = families.last_mut() else { continue };
            match what {
                "HELP" => said.clone_into(&mut family.help),
                "TYPE" => said.clone_into(&mut family.kind),
                "UNIT" => said.clone_into(&mut family.unit),
                _ => {}
            }
        } else if let Some(family) = families.last_mut() {
            family.samples.extend(line.strip_prefix(&*family.name).and_then(sample));
        }
    }
    families
}

/// A line behind its family's name: `_total{reason="x"} 3`.
fn sample(rest: &str) -> Option<Sample> {
    let (name, value) = rest.rsplit_once(' ')?;
    let (suffix, labels) = name.split_once('{').unwrap_or((name, "}"));
    Some(Sample {
        suffix: suffix.to_owned(),
        labels: labels_of(labels.strip_suffix('}')?)?,
        value: value.to_owned(),
    })
}

/// `a="b",c="d"`
fn labels_of(mut text: &str) -> Option<Vec<(String, String)>> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"")?;
        let mut value = String::new();
        let mut characters = rest.chars();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(match characters.next()? {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        labels.push((name.to_owned(), value));
        let rest = characters.as_str();
        text = rest.strip_prefix(',').unwrap_or(rest);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_read_with_their_samples() {
        let text = "# HELP a_bytes Some, of all.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total 3\n\
                    # HELP b B.\n# TYPE b gauge\nb{x=\"1 \\\"}\\\\\",y=\"2\"} -1.5\nb{x} nonsense\n# EOF\n";
        let families = read(text);
        assert_eq!(families.len(), 2);
        let (a, b) = (&families[0], &families[1]);
        assert_eq!(
            (a.name.as_str(), a.kind.as_str(), a.unit.as_str()),
            ("a_bytes", "counter", "bytes")
        );
        assert_eq!(
            (a.help.as_str(), a.samples[0].suffix.as_str()),
            ("Some, of all.", "_total")
        );
        assert_eq!(a.samples[0].value, "3");
        assert_eq!(b.samples.len(), 1);
        assert_eq!(b.samples[0].labels[0], ("x".to_owned(), "1 \"}\\".to_owned()));
        assert_eq!(b.samples[0].labels[1], ("y".to_owned(), "2".to_owned()));
        assert!(read("").is_empty() && read("a 1\n# x\n{").is_empty());
    }
}
