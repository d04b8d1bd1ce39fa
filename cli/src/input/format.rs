//! CSV or NDJSON: the content tells; a name's ending decides where the content would do for both.

use super::json;

/// How rows are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Format {
    // RFC 4180, with a head line.
    Csv,
    // One JSON value a line.
    Ndjson,
}

/// Endings of compressed files.
const PACKED: [&str; 4] = [".gz", ".gzip", ".zst", ".zstd"];

/// Endings of row files.
const ROWS: [(&str, Format); 4] = [
    (".csv", Format::Csv),
    (".ndjson", Format::Ndjson),
    (".jsonl", Format::Ndjson),
    (".json", Format::Ndjson),
];

/// A name in small letters without the ending that tells of compression.
fn unpacked(name: &str) -> String {
    let name = name.to_lowercase();
    let bare = PACKED.iter().find_map(|end| name.strip_suffix(end)).map(str::to_owned);
    bare.unwrap_or(name)
}

/// A file's name without folders and without what tells of its format: the same for `a.csv.gz` and `x/A.CSV`.
pub(crate) fn stem(name: &str) -> String {
    let name = unpacked(name.rsplit(['/', '\\']).next().unwrap_or(name));
    let bare = ROWS
        .iter()
        .find_map(|(end, _)| name.strip_suffix(end))
        .map(str::to_owned);
    bare.unwrap_or(name)
}

/// Whether a name says that the file is compressed.
pub(super) fn says_packed(name: &str) -> bool {
    let name = name.to_lowercase();
    PACKED.iter().any(|end| name.ends_with(end))
}

/// What parts the columns of a head line that is not CSV but looks like it. `sep=` and a character are a spreadsheet's first line.
fn parted_by(head: &[u8]) -> Option<&'static str> {
    if head.len() == 5 && head.to_ascii_lowercase().starts_with(b"sep=") {
        return Some("`sep=`");
    }
    let parts = [(b'\t', "tabs"), (b';', "semicolons"), (b'|', "bars")];
    let found = parts.into_iter().find(|(part, _)| head.contains(part));
    found.filter(|_| !head.contains(&b',')).map(|(_, what)| what)
}

impl Format {
    /// By the ending of a name.
    fn of_name(name: &str) -> Option<Self> {
        let name = unpacked(name);
        ROWS.iter()
            .find(|(end, _)| name.ends_with(end))
            .map(|(_, format)| *format)
    }

    /// By what an input begins with and the name it has. `start` is its first line, or as much of it as was looked at.
    ///
    /// # Errors
    /// The two say different things, or neither says enough.
    pub(crate) fn of(name: &str, start: &[u8]) -> Result<Self, String> {
        let start = start.trim_ascii();
        let like_json = matches!(start.first(), Some(b'{' | b'['));
        match Self::of_name(name) {
            Some(Self::Ndjson) => Ok(Self::Ndjson),
            Some(Self::Csv) if like_json => Err(format!(
                "the input begins with {} like JSON, and the name says CSV; say which it is with --format ndjson or --format csv",
                char::from(start[0])
            )),
            None if like_json => match json::check(start) {
                Ok(()) => Ok(Self::Ndjson),
                Err(_) => Err(format!(
                    "the input begins with {} and its first line is no JSON value: NDJSON has one on each line (`jq -c '.[]'` makes that of an \
                     array); if it is CSV, say so with --format csv",
                    char::from(start[0])
                )),
            },
            _ => match parted_by(start) {
                Some(what) => Err(format!(
                    "its first line has {what} and no comma between its columns, and CSV has commas; convert it, or say --format csv \
                     if it is one column"
                )),
                None => Ok(Self::Csv),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_tells_the_format_and_the_name_where_it_does_not() {
        for (name, start, format) in [
            ("DATA.NDJSON", "{\"a\":1}", Format::Ndjson),
            ("data.Json.GZ", "1", Format::Ndjson),
            ("data.jsonl.zst", "a,b", Format::Ndjson),
            ("data", "{\"a\":1}\r", Format::Ndjson),
            ("data.txt", " [1]", Format::Ndjson),
            ("data.txt", "a,{b}", Format::Csv),
            ("data.CSV.gz", "a,b", Format::Csv),
            ("", "id", Format::Csv),
        ] {
            assert_eq!(Format::of(name, start.as_bytes()), Ok(format), "{name} {start}");
        }
        for head in ["id\tv", "\"id\";\"v\"", "a|b", "sep=;", "SEP=,"] {
            let refused = Format::of("a.csv", head.as_bytes()).unwrap_err();
            assert!(refused.contains("--format csv"), "{refused}");
        }
        for head in ["id,a;b", "sep=;,b", "a,b\t"] {
            assert_eq!(Format::of("a.tsv", head.as_bytes()), Ok(Format::Csv));
        }
        for (name, start) in [
            ("a.csv", "{\"a\":1}"),
            ("a.csv", "[id],b"),
            ("a", "[id],b"),
            ("a", "["),
            ("a.txt", "{\"a\":"),
        ] {
            let refused = Format::of(name, start.as_bytes()).unwrap_err();
            assert!(refused.contains("--format"), "{refused}");
        }
    }

    #[test]
    fn names_of_one_file_have_one_stem() {
        for name in ["a.csv", "./a.csv", "x/y/A.CSV.gz", "a.ndjson.zst", "a"] {
            assert_eq!(stem(name), "a");
        }
        assert_eq!(stem("2013.01.csv"), "2013.01");
    }
}
