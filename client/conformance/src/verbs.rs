//! Calls of a connection, each with its whole answer.

use crate::connection::{Connection, UNNAMED};
use crate::fault::{Answer, Step, must};
use crate::wire::answers::{Appended, Batch, Leased, ReadDone, Status, Totals, names};
use crate::wire::bytes::Reader;
use crate::wire::calls::{Append, ReadCall, Source, head, verb};
use crate::wire::pieces::Entry;
use crate::wire::refused::Refused;

/// What a read came to.
#[derive(Clone, Debug)]
pub struct Came {
    /// Its messages.
    pub batches: Vec<Batch>,
    /// Its result.
    pub done: ReadDone,
}

impl Came {
    /// All its entries, as they came.
    pub fn entries(&self) -> Vec<Entry> {
        self.batches.iter().flat_map(|batch| batch.entries.clone()).collect()
    }

    /// The sequences of its entries, as they came.
    pub fn sequences(&self) -> Vec<u64> {
        self.entries().iter().map(|entry| entry.sequence).collect()
    }
}

impl Connection {
    /// Appends; nothing may come with a conflict.
    pub async fn append(&mut self, append: &Append) -> Answer<Appended> {
        let answer = self.ask(append.body(self.store)).await?;
        appended(answer, append)
    }

    /// Appends; entries may come with a conflict.
    pub async fn append_or_learn(&mut self, append: &Append) -> Step<(Vec<Entry>, Result<Appended, Refused>)> {
        let channel = self.begin(append.body(self.store), UNNAMED).await?;
        let (messages, answer) = self.all(channel).await?;
        let mut learnt = Vec::new();
        for message in messages {
            learnt.extend(crate::wire::pieces::entries(&message)?);
        }
        Ok((learnt, appended(answer, append)?))
    }

    /// Reads to the end.
    pub async fn read(&mut self, read: &ReadCall) -> Answer<Came> {
        let channel = self.begin(read.body(self.store), read.credit).await?;
        self.read_on(channel, read).await
    }

    /// The rest of a read.
    pub async fn read_on(&mut self, channel: u32, read: &ReadCall) -> Answer<Came> {
        let (messages, answer) = self.all(channel).await?;
        let batches = messages.iter().map(|message| Batch::decode(message));
        let batches: Vec<Batch> = batches.collect::<Result<_, _>>()?;
        let body = match answer {
            Ok(body) => body,
            Err(refused) => return Ok(Err(refused)),
        };
        let done = ReadDone::decode(&body)?;
        let came: usize = batches.iter().map(|batch| batch.entries.len()).sum();
        must!(
            done.entries == came as u64,
            "the result of a read counts {} entries, {came} came",
            done.entries
        );
        let goes_on = matches!(read.source, Source::Parts(..)) && !read.is_backwards;
        // Before the first entry of a log, the empty one is its beginning.
        let last = Some(&done.cursor).filter(|cursor| came > 0 || !cursor.is_empty());
        for cursor in batches.iter().map(|batch| &batch.cursor).chain(last) {
            must!(
                cursor.is_empty() != goes_on,
                "a read that {} has the cursor {cursor:?}",
                match goes_on {
                    true => "can be gone on with",
                    false => "is of a segment, or newest first,",
                }
            );
        }
        Ok(Ok(Came { batches, done }))
    }

    /// The status of the store, or of a space, or of a segment.
    pub async fn status(&mut self, of: &[&str]) -> Answer<Totals> {
        let kind = u8::try_from(of.len()).expect("two names at most");
        let body = of
            .iter()
            .fold(head(verb::STATUS, self.store).u8(kind), |body, name| body.text(name));
        Ok(match self.ask(body).await? {
            Ok(body) => Ok(Totals::decode(&body)?),
            Err(refused) => Err(refused),
        })
    }

    /// The names of all spaces.
    pub async fn spaces(&mut self) -> Answer<Vec<String>> {
        let channel = self.begin(head(verb::SPACES, self.store), UNNAMED).await?;
        self.rows(channel, names).await
    }

    /// The names of segments of a space, behind one; 0: no limit.
    pub async fn segments(&mut self, space: &str, after: &str, limit: u32) -> Answer<Vec<String>> {
        let body = head(verb::SEGMENTS, self.store)
            .text(space)
            .text(after)
            .u32(limit)
            .u8(0);
        let channel = self.begin(body, UNNAMED).await?;
        self.rows(channel, names).await
    }

    /// The statuses of segments of a space, behind one.
    pub async fn statuses(&mut self, space: &str, after: &str, limit: u32) -> Answer<Vec<Status>> {
        let body = head(verb::SEGMENTS, self.store)
            .text(space)
            .text(after)
            .u32(limit)
            .u8(1);
        let channel = self.begin(body, UNNAMED).await?;
        self.rows(channel, Status::decode_all).await
    }

    async fn rows<T>(&mut self, channel: u32, read: impl Fn(&[u8]) -> Result<Vec<T>, String>) -> Answer<Vec<T>> {
        let (messages, answer) = self.all(channel).await?;
        match answer {
            Ok(body) => Reader::new(&body).end()?,
            Err(refused) => return Ok(Err(refused)),
        }
        let mut rows = Vec::new();
        for message in messages {
            let more = read(&message)?;
            must!(!more.is_empty(), "a message of a list without a row");
            rows.extend(more);
        }
        Ok(Ok(rows))
    }

    /// Acquires (1), renews (2) or releases (3) a lease.
    pub async fn lease(&mut self, change: u8, key: &str, holder: &str, ms: u32) -> Answer<Leased> {
        let body = head(verb::LEASE, self.store).u8(change).text(key).text(holder).u32(ms);
        Ok(match self.ask(body).await? {
            Ok(body) => Ok(Leased::decode(&body)?),
            Err(refused) => Err(refused),
        })
    }

    /// Trims a segment.
    pub async fn trim(&mut self, space: &str, segment: &str, first: u64) -> Answer<Option<Status>> {
        let body = head(verb::TRIM, self.store).text(space).text(segment).u64(first);
        Ok(match self.ask(body).await? {
            Ok(body) => Ok(Status::decode(&body)?),
            Err(refused) => Err(refused),
        })
    }

    /// Deletes a segment.
    pub async fn delete(&mut self, space: &str, segment: &str) -> Answer<()> {
        let body = head(verb::DELETE, self.store).text(space).text(segment);
        Ok(match self.ask(body).await? {
            Ok(body) => Ok(Reader::new(&body).end()?),
            Err(refused) => Err(refused),
        })
    }
}

/// The result of an append, which has as many sections as were asked for, each with as many sequences as records.
fn appended(answer: Result<Vec<u8>, Refused>, append: &Append) -> Answer<Appended> {
    let body = match answer {
        Ok(body) => body,
        Err(refused) => return Ok(Err(refused)),
    };
    let came = Appended::decode(&body)?;
    must!(came.position > 0, "a transaction has the position 0");
    must!(
        came.durability >= 1,
        "an append is answered with durability {}",
        came.durability
    );
    let asked = append
        .sections
        .iter()
        .map(|section| (section.first, section.records.len() as u64));
    let asked: Vec<_> = asked.collect();
    let fits = asked.len() == came.sections.len()
        && asked
            .iter()
            .zip(&came.sections)
            .all(|(&(first, records), &(from, to))| {
                (first == 0 || first == from) && from > 0 && to.wrapping_add(1).wrapping_sub(from) == records
            });
    must!(
        fits,
        "sections of (first, records) {asked:?} got the sequences {:?}",
        came.sections
    );
    Ok(Ok(came))
}
