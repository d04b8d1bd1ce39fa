//! One small conversation, which is cut behind each of its bytes, in each direction and in each way: whatever ends the first connection,
//! the client comes to the same end over the next one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _};
use streamkit_client::record::{Entry, LogCursor, ReadSource, Record, SegmentAppend, SegmentPath, Sequence, Wanted};
use streamkit_client::{Append, Appended, Batch, Follow, Followed, Follows, Read, StoreClient};
use streamkit_engine::LocalStore;
use streamkit_server_core::Limits;
use uuid::Uuid;

use crate::host::{Host, Trouble, client};
use crate::proxy::{End, Fate, Proxy, Way};
use crate::reader::is_of_the_network;
use crate::truth::entries_of;
use crate::witness::Broken;
use crate::writer::{nobody_knows, nothing_was_done};

/// Conversations at a time.
const AT_A_TIME: usize = 64;

/// One in so many bytes is the last that the server hears: that costs its deadline.
const SILENT_EACH: u64 = 8;

/// After so long a silence the server leaves.
const SILENCE: Duration = Duration::from_secs(1);

/// How often one call is made anew before that is a failure of its own.
const CALLS_MAX: u32 = 20;

/// A conversation that takes longer hangs: the longest waits a few times for a server that is silent.
const HANGS: Duration = Duration::from_secs(60);

/// A conversation that failed.
pub struct Failed {
    /// Its number.
    pub number: usize,
    /// What became of its first connection.
    pub fate: String,
    /// What was broken.
    pub why: String,
}

/// Cuts the conversation everywhere. Returns how many conversations that were, and those that failed.
///
/// # Errors
/// Nothing could be tried.
pub async fn every_byte() -> Result<(usize, Vec<Failed>), Trouble> {
    let folder = tempfile::tempdir()?;
    let limits = Limits {
        silence: SILENCE,
        // All come from one address, two for each conversation.
        handshake_rate: u32::MAX,
        ..Limits::default()
    };
    let host = Host::with(folder.path(), limits).await?;
    let store = Arc::new(host.store().await?);
    let whole = Fate::default();
    let mut failed = Vec::new();
    let (moved, first) = conversation(host.address, store.clone(), 0, whole).await?;
    failed.extend(first.map(|why| Failed::of(0, &whole, why)));
    let fates = fates(moved);
    let count = fates.len() + 1;
    let all = fates.into_iter().zip(1..).map(|(fate, number)| {
        let (address, store) = (host.address, store.clone());
        async move {
            let (_, broken) = conversation(address, store, number, fate).await?;
            Ok::<_, Trouble>(broken.map(|why| Failed::of(number, &fate, why)))
        }
    });
    let all = futures_util::stream::iter(all).buffer_unordered(AT_A_TIME);
    let broken: Vec<Option<Failed>> = all.try_collect().await?;
    failed.extend(broken.into_iter().flatten());
    failed.sort_by_key(|failed| failed.number);
    drop(store);
    let engine = host.stop().await;
    tokio::task::spawn_blocking(move || drop(engine)).await?;
    Ok((count, failed))
}

impl Failed {
    fn of(number: usize, fate: &Fate, why: Broken) -> Self {
        let fate = format!("{fate:?}");
        Self { number, fate, why }
    }
}

/// Each end behind each byte that an undisturbed conversation has, and each number of first bytes that come twice.
fn fates((up, down): (u64, u64)) -> Vec<Fate> {
    // Each second end of both directions is a reset.
    let ends = |byte: u64| [(byte, End::Both), (byte, End::Half)];
    let silent = (1..=up).filter(|byte| byte.is_multiple_of(SILENT_EACH));
    let of_up = (1..=up).flat_map(ends).chain(silent.map(|byte| (byte, End::Silent)));
    let of_down = (1..=down).flat_map(ends);
    let way = |(byte, end): (u64, End)| Way {
        cut: Some(byte),
        end,
        ..Way::default()
    };
    let is_reset = |(byte, _): (u64, End)| byte % 2 == 0;
    let of_up = of_up.map(|at| Fate {
        up: way(at),
        reset: is_reset(at),
        ..Fate::default()
    });
    let of_down = of_down.map(|at| Fate {
        down: way(at),
        reset: is_reset(at),
        ..Fate::default()
    });
    let twice = (1..=up).map(|bytes| Fate {
        twice: usize::try_from(bytes).unwrap_or(usize::MAX),
        ..Fate::default()
    });
    of_up.chain(of_down).chain(twice).collect()
}

/// One conversation, over a first connection of this fate. Returns the bytes that went up and down, and what was broken.
async fn conversation(
    server: SocketAddr,
    store: Arc<LocalStore>,
    number: usize,
    fate: Fate,
) -> Result<((u64, u64), Option<Broken>), Trouble> {
    let good = Fate::default();
    let proxy = Proxy::before(server, move |connection| if connection == 0 { fate } else { good }).await?;
    let path = SegmentPath::new("bytes", &format!("{number:06}"))?;
    let talk = Talk {
        store: client(proxy.address)?,
        path,
    };
    let broken = match tokio::time::timeout(HANGS, talk.works(&store)).await {
        Ok(worked) => worked.err(),
        Err(_) => Some(format!("it hangs: no end after {HANGS:?}")),
    };
    Ok((proxy.moved(), broken))
}

/// Who talks: to a segment that nobody else uses.
struct Talk {
    store: StoreClient,
    path: SegmentPath,
}

impl Talk {
    async fn works(&self, there: &LocalStore) -> Result<(), Broken> {
        let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
        let one = self.append(first, 1, 1, "one").await?;
        let again = self.append(first, 1, 1, "one").await?;
        if !again.is_known || place(&again) != place(&one) {
            return Err(format!("a retry is told {again:?}, and the first call {one:?}"));
        }
        let two = self.append(second, 2, 0, "two").await?;
        let read = self.read().await?;
        let mut follows = Following::new(self);
        follows.until(2).await?;
        let three = self.append(Uuid::new_v4(), 3, 0, "three").await?;
        follows.until(3).await?;
        let four = self.append(Uuid::new_v4(), 4, 4, "four").await?;
        follows.until(4).await?;
        let entries = entries_of(there, &self.path).await?;
        let told = [one, two, three, four];
        if entries.len() != told.len() {
            return Err(format!("{} entries are there, and not {}", entries.len(), told.len()));
        }
        for (entry, told) in entries.iter().zip(&told) {
            if (entry.trx.number, entry.timestamp) != (told.position, told.timestamp) {
                return Err(format!("{entry:?} was told as {told:?}"));
            }
        }
        if read != entries[..2] {
            return Err(format!("a read brings {read:?}"));
        }
        match follows.seen == entries {
            true => Ok(()),
            false => Err(format!("a follow tells {:?}", follows.seen)),
        }
    }

    /// Appends until somebody says what became of it; it must become the entry of this sequence.
    async fn append(&self, id: Uuid, sequence: u64, demanded: u64, text: &'static str) -> Result<Appended, Broken> {
        for _ in 0..CALLS_MAX {
            let section = SegmentAppend {
                path: self.path.clone(),
                first_sequence: Sequence(demanded),
                records: vec![Record::new(text)],
            };
            let append = Append {
                id,
                ..Append::new(vec![section])
            };
            match self.store.append(append).await {
                Ok(appended) if appended.sections == [(Sequence(sequence), Sequence(sequence))] => return Ok(appended),
                Ok(appended) => return Err(format!("{text} became {appended:?}")),
                Err(error) if nothing_was_done(&error) || nobody_knows(&error) => {}
                Err(error) => return Err(format!("an append of {text} fails for no reason: {error}")),
            }
        }
        Err(format!("nobody takes {text}"))
    }

    async fn read(&self) -> Result<Vec<Entry>, Broken> {
        for _ in 0..CALLS_MAX {
            let source = ReadSource::Segment(self.path.clone(), Sequence::FIRST, Sequence(u64::MAX));
            let mut batches = self.store.read(Read::all(source));
            let mut came = Vec::new();
            while let Some(batch) = batches.next().await {
                match batch {
                    Ok(Batch::Entries(entries)) => came.extend(entries),
                    Ok(Batch::End(_)) => return Ok(came),
                    Err(error) if is_of_the_network(&error) => break,
                    Err(error) => return Err(format!("a read fails for no reason: {error}")),
                }
            }
        }
        Err("nobody reads".to_owned())
    }
}

/// What a retry must be told as well.
fn place(of: &Appended) -> (u64, streamkit_client::record::Timestamp) {
    (of.position, of.timestamp)
}

/// A follow of the segment, which goes on from its latest cursor if it fails.
struct Following<'a> {
    talk: &'a Talk,
    follows: Follows,
    cursor: LogCursor,
    is_caught_up: bool,
    seen: Vec<Entry>,
}

impl<'a> Following<'a> {
    fn new(talk: &'a Talk) -> Self {
        let cursor = LogCursor::default();
        Self {
            follows: Self::behind(talk, &cursor),
            talk,
            cursor,
            is_caught_up: false,
            seen: Vec::new(),
        }
    }

    fn behind(talk: &Talk, cursor: &LogCursor) -> Follows {
        let parts = vec![Wanted::Segment(talk.path.clone())];
        talk.store.follow(Follow::new(parts, cursor.clone()))
    }

    /// Until it has told so many entries, and is caught up.
    async fn until(&mut self, entries: usize) -> Result<(), Broken> {
        let mut lives = 0;
        while self.seen.len() < entries || !self.is_caught_up {
            match self.follows.next().await {
                Some(Ok(Followed::Batch(entries, cursor))) => {
                    self.seen.extend(entries);
                    self.cursor = cursor;
                }
                Some(Ok(Followed::CaughtUp(cursor))) => {
                    if std::mem::replace(&mut self.is_caught_up, true) {
                        return Err("a follow is caught up twice".to_owned());
                    }
                    if self.seen.len() != entries {
                        return Err(format!("a follow is caught up with {} of {entries}", self.seen.len()));
                    }
                    self.cursor = cursor;
                }
                Some(Ok(Followed::At(cursor))) => self.cursor = cursor,
                Some(Err(error)) if is_of_the_network(&error) && lives < CALLS_MAX => {
                    lives += 1;
                    self.is_caught_up = false;
                    self.follows = Self::behind(self.talk, &self.cursor);
                }
                Some(Err(error)) => return Err(format!("a follow ends for no reason: {error}")),
                None => return Err("a follow ends without an error".to_owned()),
            }
        }
        Ok(())
    }
}
