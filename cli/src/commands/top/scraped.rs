//! What a server's `/metrics` says, read. None of it is trusted: a line that is no sample is passed over.

use std::collections::BTreeMap;
use std::time::Instant;

/// One look at a server.
pub(super) struct Scraped {
    pub(super) at: Instant,
    samples: Vec<Sample>,
}

struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Sample {
    fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// How often a value up to each bound was seen, by the bound: cumulative, as the text has it.
pub(super) type Buckets = Vec<(f64, f64)>;

impl Scraped {
    pub(super) fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self {
            at: Instant::now(),
            samples: lines.filter_map(sample).collect(),
        }
    }

    /// A metric, summed over its labels; `None` if it is not there.
    pub(super) fn value(&self, name: &str) -> Option<f64> {
        let found = self.samples.iter().filter(|sample| sample.name == name);
        found.map(|sample| sample.value).reduce(|sum, value| sum + value)
    }

    /// A metric by the value of a label: of samples that are wanted, summed over all other labels.
    pub(super) fn by(&self, name: &str, label: &str, is_wanted: impl Fn(&Labels<'_>) -> bool) -> BTreeMap<&str, f64> {
        let mut sums = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if let Some(value) = sample.label(label)
                && is_wanted(&Labels(sample))
            {
                *sums.entry(value).or_insert(0.0) += sample.value;
            }
        }
        sums
    }

    /// The buckets of a histogram, of those with this label or of all, summed over all other labels.
    pub(super) fn buckets(&self, name: &str, of: Option<(&str, &str)>) -> Buckets {
        let name = format!("{name}_bucket");
        let mut buckets: Buckets = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.name == name) {
            if of.is_some_and(|(label, value)| sample.label(label) != Some(value)) {
                continue;
            }
            let Some(bound) = sample.label("le").and_then(number) else {
                continue;
            };
            match buckets.binary_search_by(|(known, _)| known.total_cmp(&bound)) {
                Ok(place) => buckets[place].1 += sample.value,
                Err(place) => buckets.insert(place, (bound, sample.value)),
            }
        }
        buckets
    }
}

/// The labels of a sample.
pub(super) struct Labels<'a>(&'a Sample);

impl Labels<'_> {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.label(name)
    }
}

/// A value or a bound. What is no number is none.
fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = Vec::new();
    if let Some(within) = rest.strip_prefix('{') {
        rest = within;
        loop {
            rest = rest.trim_start_matches(',');
            if let Some(behind) = rest.strip_prefix('}') {
                rest = behind;
                break;
            }
            let (label, behind) = rest.split_once("=\"")?;
            let (value, behind) = quoted(behind)?;
            labels.push((label.to_owned(), value));
            rest = behind;
        }
    }
    let value = rest.split_ascii_whitespace().next().and_then(number)?;
    let name = name.to_owned();
    Some(Sample { name, labels, value })
}

/// A label's value up to its closing quote, and what comes behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[place + 1..])),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_and_what_is_none_is_passed_over() {
        let scraped = Scraped::read(
            "# HELP a help 7\na 1\na{x=\"1\"} 2.5\nb{x=\"}\\\" \\\\n\",y=\"\"} 3 1700000000\nc NaN\nd{x=\"\nd{x} 1\n{\n\u{1b}[2J\nd{x=\"1\"\n# EOF\n",
        );
        assert_eq!(scraped.value("a"), Some(3.5));
        assert_eq!(scraped.value("c"), None);
        assert_eq!(scraped.value("d"), None);
        let by = scraped.by("b", "x", |labels| labels.get("y") == Some(""));
        assert_eq!(by.into_iter().collect::<Vec<_>>(), [("}\" \\n", 3.0)]);
        assert!(scraped.by("b", "x", |_| false).is_empty());
    }

    #[test]
    fn buckets_of_several_labels_are_one_histogram() {
        let text = "h_bucket{le=\"1.0\",o=\"x\"} 1\nh_bucket{le=\"+Inf\",o=\"x\"} 3\n\
                    h_bucket{le=\"0.5\",o=\"y\"} 1\nh_bucket{le=\"1.0\",o=\"y\"} 2\nh_bucket{le=\"?\",o=\"y\"} 9\n";
        let scraped = Scraped::read(text);
        assert_eq!(
            scraped.buckets("h", Some(("o", "x"))),
            [(1.0, 1.0), (f64::INFINITY, 3.0)]
        );
        let all = [(0.5, 1.0), (1.0, 3.0), (f64::INFINITY, 3.0)];
        assert_eq!(scraped.buckets("h", None), all);
    }
}
