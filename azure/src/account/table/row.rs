//! Rows, and the JSON they travel as.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::key::{RowVersion, TableKey};

/// Most bytes of a binary cell.
pub const BINARY_MAX: usize = 64 * 1024;
/// Most bytes of a row, as the service counts them.
pub const ROW_MAX: usize = 1024 * 1024;
/// Most cells of a row, besides those that each has.
pub const CELLS_MAX: usize = 252;
/// Longest name of a cell.
const NAME_MAX: usize = 255;

/// What a cell holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// Up to [`BINARY_MAX`] bytes.
    Binary(Bytes),
    /// A whole number.
    Number(i64),
}

/// The cells of a row, by their names.
pub type Cells = BTreeMap<String, Cell>;

/// A row that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its key in its partition.
    pub key: TableKey,
    /// Its version.
    pub version: RowVersion,
    /// Its cells; those of other types than [`Cell`]'s are left out.
    pub cells: Cells,
}

/// Whether the service would take a row with these cells; if not, why.
pub fn check(partition: &TableKey, key: &TableKey, cells: &Cells) -> Result<(), &'static str> {
    if cells.len() > CELLS_MAX {
        return Err("a row has too many cells");
    }
    let mut bytes = 4 + 2 * (partition.as_str().len() + key.as_str().len());
    for (name, cell) in cells {
        let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let is_name = (1..=NAME_MAX).contains(&name.len())
            && name.bytes().all(is_word)
            && !name.as_bytes()[0].is_ascii_digit()
            && !["PartitionKey", "RowKey", "Timestamp"].contains(&name.as_str());
        if !is_name {
            return Err("a cell has a name that it cannot have");
        }
        bytes += 8 + 2 * name.len();
        bytes += match cell {
            Cell::Binary(binary) if binary.len() > BINARY_MAX => return Err("a cell has more than 64 KiB"),
            Cell::Binary(binary) => binary.len() + 4,
            Cell::Number(_) => 8,
        };
    }
    match bytes <= ROW_MAX {
        true => Ok(()),
        false => Err("a row has more than 1 MiB"),
    }
}

/// The JSON of a row.
pub fn to_json(partition: &TableKey, key: &TableKey, cells: &Cells) -> String {
    let mut json = Map::new();
    json.insert("PartitionKey".to_owned(), partition.as_str().into());
    json.insert("RowKey".to_owned(), key.as_str().into());
    for (name, cell) in cells {
        let (kind, text) = match cell {
            Cell::Binary(bytes) => ("Edm.Binary", STANDARD.encode(bytes)),
            Cell::Number(number) => ("Edm.Int64", number.to_string()),
        };
        json.insert(format!("{name}@odata.type"), kind.into());
        json.insert(name.clone(), text.into());
    }
    Value::Object(json).to_string()
}

/// Reads the key of a row that should be of this partition; an error says what cannot be read.
pub fn key_from_json(partition: &TableKey, json: &Value) -> Result<TableKey, &'static str> {
    if json["PartitionKey"].as_str() != Some(partition.as_str()) {
        return Err("a row of another partition");
    }
    let key = json["RowKey"].as_str().and_then(TableKey::new);
    key.ok_or("a row without a key")
}

/// Reads a row that should be of this partition; an error says what cannot be read.
pub fn from_json(partition: &TableKey, json: &Value) -> Result<Row, &'static str> {
    let key = key_from_json(partition, json)?;
    let json = json.as_object().ok_or("a row that is no object")?;
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let version = text("odata.etag")
        .and_then(RowVersion::new)
        .ok_or("a row without a version")?;
    let mut cells = Cells::new();
    for (name, value) in json {
        let kind = text(&format!("{name}@odata.type"));
        let cell = match (kind, value) {
            (Some("Edm.Binary"), Value::String(text)) => {
                if text.len() > BINARY_MAX.div_ceil(3) * 4 {
                    return Err("a cell with more than 64 KiB");
                }
                let bytes = STANDARD.decode(text).map_err(|_| "a cell that is no base64")?;
                Cell::Binary(bytes.into())
            }
            (Some("Edm.Int64"), Value::String(text)) => {
                Cell::Number(text.parse().map_err(|_| "a cell that is no number")?)
            }
            (Some("Edm.Binary" | "Edm.Int64"), _) => return Err("a cell of another type than it says"),
            _ => continue,
        };
        cells.insert(name.clone(), cell);
    }
    Ok(Row { key, version, cells })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(text: &str) -> TableKey {
        TableKey::new(text).unwrap()
    }

    fn cells(cells: &[(&str, Cell)]) -> Cells {
        cells
            .iter()
            .map(|(name, cell)| ((*name).to_owned(), cell.clone()))
            .collect()
    }

    #[test]
    fn a_row_reads_as_it_was_written() {
        let cells = cells(&[
            ("b00", Cell::Binary(Bytes::from_static(b"\x00\xff bytes"))),
            ("len", Cell::Number(i64::MIN)),
        ]);
        let mut json: Value = serde_json::from_str(&to_json(&key("p"), &key("r"), &cells)).unwrap();
        json["odata.etag"] = "W/\"1\"".into();
        json["Timestamp"] = "2026-11-29T11:00:00Z".into();
        json["Timestamp@odata.type"] = "Edm.DateTime".into();
        let row = from_json(&key("p"), &json).unwrap();
        assert_eq!((row.key, row.cells), (key("r"), cells));
    }

    #[test]
    fn a_row_that_is_none_is_not_read() {
        let good =
            json!({"PartitionKey": "p", "RowKey": "r", "odata.etag": "W/\"1\"", "n": "1", "n@odata.type": "Edm.Int64"});
        from_json(&key("p"), &good).unwrap();
        for (name, value) in [
            ("PartitionKey", json!("q")),
            ("PartitionKey", json!(1)),
            ("RowKey", json!("a/b")),
            ("RowKey", json!(null)),
            ("odata.etag", json!("*")),
            ("odata.etag", json!("a\r\nb")),
            ("n", json!(1)),
            ("n", json!("1.5")),
            ("n", json!("99999999999999999999")),
            ("n@odata.type", json!("Edm.Binary")),
        ] {
            let mut bad = good.clone();
            bad[name] = value;
            assert!(from_json(&key("p"), &bad).is_err(), "{bad}");
        }
        for bad in [json!(null), json!([]), json!("row"), json!({})] {
            assert!(from_json(&key("p"), &bad).is_err(), "{bad}");
        }
        let large = json!({"PartitionKey": "p", "RowKey": "r", "odata.etag": "1", "b": "A".repeat(90_000), "b@odata.type": "Edm.Binary"});
        assert!(from_json(&key("p"), &large).is_err());
    }

    #[test]
    fn what_is_too_large_is_known_before_it_is_sent() {
        let binary = |bytes| Cell::Binary(Bytes::from(vec![7; bytes]));
        let of = |cells: &Cells| check(&key("p"), &key("r"), cells);
        assert!(of(&cells(&[("a", binary(BINARY_MAX))])).is_ok());
        assert!(of(&cells(&[("a", binary(BINARY_MAX + 1))])).is_err());
        let full = |n| (0..n).map(|i| (format!("c{i}"), binary(BINARY_MAX))).collect();
        assert!(of(&full(15)).is_ok());
        assert!(of(&full(16)).is_err());
        let many = |n| (0..n).map(|i| (format!("c{i}"), Cell::Number(1))).collect();
        assert!(of(&many(CELLS_MAX)).is_ok());
        assert!(of(&many(CELLS_MAX + 1)).is_err());
        for name in ["", "1a", "a-b", "RowKey", "a@odata.type", &"a".repeat(256)] {
            assert!(of(&cells(&[(name, Cell::Number(1))])).is_err(), "{name}");
        }
    }
}
