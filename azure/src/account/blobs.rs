//! A client of one container: blobs that are written once, read whole or in part, deleted, and listed.
//!
//! No call is repeated here: whoever makes it knows whether that is safe.

use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;

use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobContainerClientListBlobsOptions, BlockBlobClientUploadOptions,
};
use azure_storage_blob::{BlobClient, BlobContainerClient};
use bytes::Bytes;
use futures_util::TryStreamExt as _;

use super::answer::{CallError, Conditional, Refusal, failed, refused};

/// Bytes that one request moves.
pub const PIECE: usize = 4 * 1024 * 1024;
/// Most bytes of a blob.
pub const BLOB_MAX: usize = 256 * 1024 * 1024;
/// Longest name of a blob.
const NAME_MAX: usize = 1024;
/// Names of a page of a list.
const PAGE: usize = 1000;
/// How many pieces of a blob are sent at a time.
const UPLOADS: usize = 4;

/// One container of an account.
#[derive(Clone)]
pub struct Blobs {
    container: Arc<BlobContainerClient>,
}

impl Blobs {
    pub(super) fn new(container: BlobContainerClient) -> Self {
        let container = Arc::new(container);
        Self { container }
    }

    /// Makes the container. That it is there already is no refusal to worry about: [`Conditional::Not`] with `Exists`.
    ///
    /// # Errors
    /// [`CallError`], here and below.
    ///
    /// # Cancel safety
    /// Dropping a call's future leaves its outcome unknown, here and below.
    pub async fn create(&self) -> Result<Conditional<()>, CallError> {
        done(self.container.create(None).await.map(drop))
    }

    /// Writes a blob of at most [`BLOB_MAX`] bytes if there is none of this name. Nobody sees a part of it: it is there as a whole, or
    /// not at all.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<Conditional<()>, CallError> {
        if bytes.len() > BLOB_MAX {
            return Err(CallError::NotSent("a blob has more than 256 MiB"));
        }
        let options = BlockBlobClientUploadOptions {
            partition_size: NonZero::new(PIECE as u64),
            parallel: NonZero::new(UPLOADS),
            ..Default::default()
        };
        let blob = self.blob(name)?.block_blob_client();
        let sent = blob.upload(bytes.into(), Some(options.if_not_exists())).await;
        done(sent.map(drop))
    }

    /// Reads a whole blob; `None`: it is not there.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, CallError> {
        let mut whole = Vec::new();
        loop {
            let at = whole.len() as u64;
            let Some(piece) = self.piece(name, at..at + PIECE as u64).await? else {
                return match whole.is_empty() {
                    true => Ok(None),
                    // Blobs never change, but may be deleted while they are read.
                    false => Err(CallError::Unknown("a blob was deleted while it was read".to_owned())),
                };
            };
            if whole.len() + piece.len() > BLOB_MAX {
                return Err(CallError::unreadable("a blob has more than 256 MiB"));
            }
            if piece.len() < PIECE {
                return Ok(Some(match whole.is_empty() {
                    true => piece,
                    false => [whole.as_slice(), &piece].concat().into(),
                }));
            }
            whole.extend_from_slice(&piece);
        }
    }

    /// Reads a part of a blob of at most [`BLOB_MAX`] bytes, which is shorter where the blob ends; `None`: the blob is not there.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>, CallError> {
        if range.end.saturating_sub(range.start) > BLOB_MAX as u64 {
            return Err(CallError::NotSent("a part of a blob has more than 256 MiB"));
        }
        let mut found = Vec::new();
        loop {
            let at = range.start + found.len() as u64;
            let end = range.end.min(at + PIECE as u64);
            let Some(piece) = self.piece(name, at..end).await? else {
                return Ok(None);
            };
            found.extend_from_slice(&piece);
            if piece.len() < PIECE || end == range.end {
                return Ok(Some(found.into()));
            }
        }
    }

    /// At most [`PIECE`] bytes of a blob, with one request.
    async fn piece(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>, CallError> {
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            return Ok(Some(Bytes::new()));
        }
        let options = BlobClientDownloadOptions {
            range: Some(range.into()),
            partition_size: NonZero::new(PIECE),
            parallel: NonZero::new(1),
            ..Default::default()
        };
        let answer = match self.blob(name)?.download(Some(options)).await {
            Ok(answer) => answer,
            // It ends before the range.
            Err(error) if error.http_status().map(u16::from) == Some(416) => return Ok(Some(Bytes::new())),
            Err(error) => {
                return match refused(&error)? {
                    Refusal::Missing => Ok(None),
                    _ => Err(CallError::unreadable("a refusal to read")),
                };
            }
        };
        let bytes = answer.body.collect().await.map_err(|error| failed(&error))?;
        match bytes.len() as u64 <= length {
            true => Ok(Some(bytes)),
            false => Err(CallError::unreadable("it has more than was asked for")),
        }
    }

    /// Deletes a blob.
    pub async fn delete(&self, name: &str) -> Result<Conditional<()>, CallError> {
        done(self.blob(name)?.delete(None).await.map(drop))
    }

    /// The names of at most so many blobs that begin like this, in their order. A hint: it proves neither that a blob is there nor that
    /// none is.
    pub async fn list(&self, prefix: &str, most: usize) -> Result<Vec<String>, CallError> {
        let sizes = self.sizes(prefix, most).await?;
        Ok(sizes.into_iter().map(|(name, _)| name).collect())
    }

    /// The same, each with its bytes.
    pub async fn sizes(&self, prefix: &str, most: usize) -> Result<Vec<(String, u64)>, CallError> {
        let options = BlobContainerClientListBlobsOptions {
            // An empty one would be signed here and not there.
            prefix: Some(prefix.to_owned()).filter(|prefix| !prefix.is_empty()),
            maxresults: i32::try_from(most.clamp(1, PAGE)).ok(),
            ..Default::default()
        };
        let listed = self
            .container
            .list_blobs(Some(options))
            .map_err(|error| failed(&error))?;
        let mut pages = listed.into_pages();
        let mut names = Vec::new();
        // A page may have no names although more pages follow, but not without end.
        for _ in 0..most.saturating_add(1) {
            let Some(page) = pages.try_next().await.map_err(|error| unlisted(&error))? else {
                break;
            };
            let page = page.into_model().map_err(|_| CallError::unreadable("it is no list"))?;
            names.extend(page.blob_items.into_iter().filter_map(|item| {
                let bytes = item.properties.and_then(|properties| properties.content_length);
                Some((item.name?, bytes.unwrap_or(0)))
            }));
            if names.len() >= most {
                break;
            }
        }
        names.truncate(most);
        match names.iter().all(|(name, _)| name.starts_with(prefix)) {
            true => Ok(names),
            false => Err(CallError::unreadable("it has names that were not asked for")),
        }
    }

    fn blob(&self, name: &str) -> Result<BlobClient, CallError> {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!".contains(&b);
        let is_name = (1..=NAME_MAX).contains(&name.len()) && name.bytes().all(is_plain) && !name.ends_with('.');
        match is_name {
            true => Ok(self.container.blob_client(name)),
            false => Err(CallError::NotSent("a blob has a name that it cannot have")),
        }
    }
}

fn unlisted(error: &azure_core::Error) -> CallError {
    match refused(error) {
        Ok(_) => CallError::unreadable("a refusal to list"),
        Err(error) => error,
    }
}

fn done(result: azure_core::Result<()>) -> Result<Conditional<()>, CallError> {
    match result {
        Ok(()) => Ok(Conditional::Applied(())),
        Err(error) => refused(&error).map(Conditional::Not),
    }
}

impl std::fmt::Debug for Blobs {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Blobs({})", self.container.url())
    }
}
