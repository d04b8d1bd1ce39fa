//! Which partitions a table has, one after the other.

use azure_core::http::Method;
use azure_core::http::headers::Headers;
use serde_json::Value;

use super::super::answer::CallError;
use super::AccountTable;
use super::key::TableKey;
use super::query::{PlaceOfPage, percent, place_of_page};

/// Pages without a row that the service may answer before there is one.
const PAGES_MAX: usize = 1000;

impl AccountTable {
    /// The first partition of the table whose key is greater than this one, or of all; `None`: there is none. Whoever asks for one behind
    /// the other finds all that are there all the time.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn partition_behind(&self, behind: Option<&TableKey>) -> Result<Option<TableKey>, CallError> {
        let filter = behind.map(|behind| format!("PartitionKey gt '{behind}'"));
        self.first(behind, filter.as_deref()).await
    }

    /// The first partition behind `behind`, and before `before`, that has a row with a key of this range: the first of the two is part of it, the last
    /// is not.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn partition_with(
        &self,
        (behind, before): (&TableKey, &TableKey),
        (from, to): (&TableKey, &TableKey),
    ) -> Result<Option<TableKey>, CallError> {
        let filter = format!(
            "PartitionKey gt '{behind}' and PartitionKey lt '{before}' and RowKey ge '{from}' and RowKey lt '{to}'"
        );
        let found = self.first(Some(behind), Some(&filter)).await?;
        match found.as_ref().is_none_or(|found| found < before) {
            true => Ok(found),
            false => Err(CallError::unreadable("its rows are not those asked for")),
        }
    }

    async fn first(&self, behind: Option<&TableKey>, filter: Option<&str>) -> Result<Option<TableKey>, CallError> {
        let mut place: Option<PlaceOfPage> = None;
        for _ in 0..PAGES_MAX {
            let mut request = self.request(Method::Get, &format!("{}()", self.name), None)?;
            request.url_mut().set_query(Some(&query(filter, place.as_ref())));
            let answer = self.send(request).await?;
            if u16::from(answer.status()) != 200 {
                self.refusal(&answer)?;
                return Err(CallError::unreadable("a refusal to read"));
            }
            match read(behind, answer.headers(), answer.body())? {
                (Some(partition), _) => return Ok(Some(partition)),
                (None, None) => return Ok(None),
                (None, next) => place = next,
            }
        }
        Err(CallError::unreadable("it has nothing but empty pages"))
    }
}

fn query(filter: Option<&str>, place: Option<&PlaceOfPage>) -> String {
    let mut query = "$top=1&$select=PartitionKey,RowKey".to_owned();
    if let Some(filter) = filter {
        query = format!("$filter={}&{query}", percent(filter));
    }
    if let Some(place) = place {
        place.go_on(&mut query);
    }
    query
}

fn read(
    behind: Option<&TableKey>,
    headers: &Headers,
    body: &[u8],
) -> Result<(Option<TableKey>, Option<PlaceOfPage>), CallError> {
    let json: Value = serde_json::from_slice(body).map_err(|_| CallError::unreadable("it is no JSON"))?;
    let rows = json["value"].as_array();
    let rows = rows.ok_or_else(|| CallError::unreadable("it has no rows"))?;
    let next = place_of_page(headers)?;
    let Some(row) = rows.first() else {
        return Ok((None, next));
    };
    let partition = row["PartitionKey"].as_str().and_then(TableKey::new);
    let partition = partition.ok_or_else(|| CallError::unreadable("a partition with a key that is not ours"))?;
    match behind.is_none_or(|behind| *behind < partition) && rows.len() == 1 {
        true => Ok((Some(partition), next)),
        false => Err(CallError::unreadable("its rows are not those asked for")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_leads_nowhere_proves_nothing() {
        let key = TableKey::new("m").unwrap();
        let of = |body: &str| read(Some(&key), &Headers::new(), body.as_bytes());
        let row = |partition: &str| format!("{{\"value\":[{{\"PartitionKey\":\"{partition}\",\"RowKey\":\"r\"}}]}}");
        assert_eq!(of(&row("n")).unwrap().0, TableKey::new("n"));
        assert_eq!(of("{\"value\":[]}").unwrap(), (None, None));
        // The same again would be asked for without end.
        for wrong in [
            row("m"),
            row("a"),
            row("a/b"),
            row(""),
            "[]".to_owned(),
            "<html>".to_owned(),
        ] {
            assert!(of(&wrong).unwrap_err().is_unknown(), "{wrong}");
        }
    }

    #[test]
    fn a_query_has_no_filter_at_the_begin() {
        assert_eq!(query(None, None), "$top=1&$select=PartitionKey,RowKey");
        assert_eq!(
            query(Some("PartitionKey gt 'a!b'"), None),
            "$filter=PartitionKey%20gt%20%27a%21b%27&$top=1&$select=PartitionKey,RowKey"
        );
    }
}
