//! Queries of a partition's rows, page by page.

use azure_core::http::headers::{HeaderName, Headers};
use serde_json::Value;

use super::super::answer::CallError;
use super::key::TableKey;
use super::row::{Row, from_json, key_from_json};

/// Longest part of a place that the service names to go on from.
const PLACE_MAX: usize = 2048;
/// Most rows of a page.
pub const PAGE_MAX: usize = 1000;

/// Rows of a partition, from a key to another one, both included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Range {
    /// The partition.
    pub partition: TableKey,
    /// First key.
    pub from: TableKey,
    /// Last key.
    pub to: TableKey,
}

/// A page of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T = Row> {
    /// Its rows, in the order of their keys. There may be none although more pages follow.
    pub rows: Vec<T>,
    /// Where the next page begins; `None`: this was the last one.
    pub next: Option<PlaceOfPage>,
}

/// Where a page begins, as the service names it. Opaque.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceOfPage {
    partition: String,
    row: Option<String>,
}

impl Range {
    /// The query behind the `?` for a page of so many rows.
    pub(super) fn query(&self, kind: Kind, rows: usize, place: Option<&PlaceOfPage>) -> String {
        let filter = format!(
            "PartitionKey eq '{}' and RowKey ge '{}' and RowKey le '{}'",
            self.partition, self.from, self.to
        );
        let mut query = format!("$filter={}&$top={}", percent(&filter), rows.clamp(1, PAGE_MAX));
        if kind == Kind::Keys {
            query.push_str("&$select=PartitionKey,RowKey");
        }
        if let Some(place) = place {
            place.go_on(&mut query);
        }
        query
    }

    /// Reads the answer to that.
    pub(super) fn read<T: Keyed>(&self, headers: &Headers, body: &[u8], rows: usize) -> Result<Page<T>, CallError> {
        let json: Value = serde_json::from_slice(body).map_err(|_| CallError::unreadable("it is no JSON"))?;
        let found = json["value"]
            .as_array()
            .ok_or_else(|| CallError::unreadable("it has no rows"))?;
        if found.len() > rows {
            return Err(CallError::unreadable("it has more rows than were asked for"));
        }
        let read = found.iter().map(|row| T::read(&self.partition, row));
        let rows = read.collect::<Result<Vec<T>, _>>().map_err(CallError::unreadable)?;
        let is_in_order = rows.windows(2).all(|pair| pair[0].key() < pair[1].key());
        let is_inside = rows.iter().all(|row| self.from <= *row.key() && *row.key() <= self.to);
        if !is_in_order || !is_inside {
            return Err(CallError::unreadable("its rows are not those asked for"));
        }
        let next = place_of_page(headers)?;
        Ok(Page { rows, next })
    }
}

impl PlaceOfPage {
    /// Adds to a query that it begins here.
    pub(super) fn go_on(&self, query: &mut String) {
        query.push_str(&format!("&NextPartitionKey={}", percent(&self.partition)));
        if let Some(row) = &self.row {
            query.push_str(&format!("&NextRowKey={}", percent(row)));
        }
    }
}

/// Where an answer says that the next page begins.
pub(super) fn place_of_page(headers: &Headers) -> Result<Option<PlaceOfPage>, CallError> {
    let header = |name| {
        headers
            .get_optional_str(&HeaderName::from_static(name))
            .map(str::to_owned)
    };
    let next = header("x-ms-continuation-nextpartitionkey").map(|partition| PlaceOfPage {
        partition,
        row: header("x-ms-continuation-nextrowkey"),
    });
    let is_long = |text: &String| text.len() > PLACE_MAX;
    match &next {
        Some(place) if is_long(&place.partition) || place.row.as_ref().is_some_and(is_long) => {
            Err(CallError::unreadable("its next page has too long a name"))
        }
        _ => Ok(next),
    }
}

/// What is read of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// All of them.
    Rows,
    /// Their keys alone.
    Keys,
}

/// What has the key of a row.
pub trait Keyed: Sized {
    const KIND: Kind;
    fn read(partition: &TableKey, json: &Value) -> Result<Self, &'static str>;
    fn key(&self) -> &TableKey;
}

impl Keyed for Row {
    const KIND: Kind = Kind::Rows;

    fn read(partition: &TableKey, json: &Value) -> Result<Self, &'static str> {
        from_json(partition, json)
    }

    fn key(&self) -> &TableKey {
        &self.key
    }
}

impl Keyed for TableKey {
    const KIND: Kind = Kind::Keys;

    fn read(partition: &TableKey, json: &Value) -> Result<Self, &'static str> {
        key_from_json(partition, json)
    }

    fn key(&self) -> &TableKey {
        self
    }
}

/// Encodes a text for a query. A space becomes `%20`, which means one to everybody.
pub(super) fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(byte.into()),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn range() -> Range {
        let key = |text| TableKey::new(text).unwrap();
        Range {
            partition: key("p"),
            from: key("s1"),
            to: key("z"),
        }
    }

    fn row(key: &str) -> Value {
        json!({"PartitionKey": "p", "RowKey": key, "odata.etag": "1"})
    }

    fn read(json: &Value) -> Result<Page, CallError> {
        range().read(&Headers::new(), json.to_string().as_bytes(), 3)
    }

    #[test]
    fn a_query_names_a_partition_and_a_range_of_it() {
        let place = PlaceOfPage {
            partition: "1!4!cA--".to_owned(),
            row: Some("a b".to_owned()),
        };
        assert_eq!(
            range().query(Kind::Rows, 5, Some(&place)),
            "$filter=PartitionKey%20eq%20%27p%27%20and%20RowKey%20ge%20%27s1%27%20and%20RowKey%20le%20%27z%27&$top=5\
             &NextPartitionKey=1%214%21cA--&NextRowKey=a%20b"
        );
        assert!(
            range()
                .query(Kind::Keys, 5, None)
                .ends_with("$top=5&$select=PartitionKey,RowKey")
        );
        assert!(range().query(Kind::Rows, 0, None).ends_with("$top=1"));
        assert!(range().query(Kind::Rows, 5000, None).ends_with("$top=1000"));
    }

    #[test]
    fn a_page_that_is_not_what_was_asked_for_proves_nothing() {
        assert_eq!(
            read(&json!({"value": [row("s1"), row("s2"), row("z")]}))
                .unwrap()
                .rows
                .len(),
            3
        );
        for rows in [
            vec![row("s2"), row("s1")],
            vec![row("s1"), row("s1")],
            vec![row("s0")],
            vec![row("z1")],
            vec![json!({"PartitionKey": "q", "RowKey": "s1", "odata.etag": "1"})],
            vec![row("s1"), row("s2"), row("s3"), row("s4")],
            vec![json!(1)],
        ] {
            assert!(read(&json!({ "value": rows })).unwrap_err().is_unknown(), "{rows:?}");
        }
        for body in ["", "{}", "[]", "{\"value\":{}}", "{\"value\":[", "<html>", "\u{0}"] {
            let error = range().read::<Row>(&Headers::new(), body.as_bytes(), 3).unwrap_err();
            assert!(error.is_unknown(), "{body}");
        }
        let mut headers = Headers::new();
        headers.insert("x-ms-continuation-nextpartitionkey", "x".repeat(PLACE_MAX + 1));
        assert!(range().read::<TableKey>(&headers, b"{\"value\":[]}", 3).is_err());
    }
}
