//! Downloads into the store: by digest, resumable, one process per file.
//!
//! An unfinished download is `partial/DIGEST`, with the server's validator beside it for `If-Range`;
//! it survives a kill and goes on from where it was. Only bytes with the right digest become a blob.
//! What a server's answer means is `judge`'s business, a pure function.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use image_format::Digest;
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode};

use super::blob::digest_of;
use super::{Content, Store, StoreError};
use crate::progress::Task;

/// A server that is silent for so long is as good as gone.
const SILENCE: Duration = Duration::from_secs(60);
/// Connecting takes at most this long.
const CONNECTING: Duration = Duration::from_secs(30);
/// So many tries in a row may bring nothing.
const FRUITLESS_TRIES: u32 = 3;
/// Bytes copied at a time.
const CHUNK: usize = 1 << 17;

/// What is wanted from a server.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its name for people, such as `component haproxy: haproxy 3.0.11-1`.
    pub name: String,
    /// Its version as the lock says.
    pub version: String,
    /// Its path below the mirror, for messages.
    pub path: String,
    /// Its address.
    pub url: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub size: u64,
}

/// Where a blob came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Store,
    /// It was fetched, from this byte on.
    Server {
        /// Bytes that an earlier try had left.
        resumed_at: u64,
    },
}

/// Downloads with one set of connections.
#[derive(Debug, Clone)]
pub struct Downloader {
    store: Store,
    agent: Agent,
}

/// How one try ended.
enum Try {
    /// All bytes that the server has are here.
    Complete,
    /// It broke off.
    Broken(String),
}

/// What to do with a server's answer.
#[derive(Debug, PartialEq, Eq)]
enum Judgement {
    /// The body goes behind what is there.
    Append,
    /// The body is the whole file.
    Restart,
    /// What is there is no beginning of what the server has.
    Forget,
    /// It has it no more.
    Gone,
    /// It may answer better later.
    Later,
}

fn judge(status: StatusCode, headers: &HeaderMap, have: u64) -> Judgement {
    match status {
        StatusCode::OK => Judgement::Restart,
        StatusCode::PARTIAL_CONTENT if range_start(headers) == Some(have) => Judgement::Append,
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Judgement::Forget,
        status if status.is_server_error() => Judgement::Later,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Judgement::Later,
        _ => Judgement::Gone,
    }
}

/// Where `Content-Range: bytes 100-199/200` starts.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get("content-range")?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// What `If-Range` may say: a strong validator only, or none.
fn validator(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text("etag").filter(|etag| !etag.starts_with("W/")).or_else(|| text("last-modified"))
}

impl Downloader {
    /// Downloads into this store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .accept_encoding("identity")
            .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECTING))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Self { store: store.clone(), agent: config.new_agent() }
    }

    /// A small file that no digest is known of, such as InRelease.
    ///
    /// # Errors
    /// The server does not give it.
    pub fn text(&self, name: &str, url: &str, limit: u64) -> Result<String, StoreError> {
        let broken =
            |reason: String| StoreError::Unreachable { name: name.to_owned(), url: url.to_owned(), reason };
        let mut tries = 0;
        loop {
            tries += 1;
            let answer =
                self.agent.get(url).call().map_err(|error| error.to_string()).and_then(|mut answer| {
                    if answer.status() != StatusCode::OK {
                        return Err(format!("it answers {}", answer.status()));
                    }
                    answer
                        .body_mut()
                        .with_config()
                        .limit(limit)
                        .read_to_string()
                        .map_err(|error| error.to_string())
                });
            match answer {
                Ok(text) => return Ok(text),
                Err(reason) if tries >= FRUITLESS_TRIES => return Err(broken(reason)),
                Err(_) => std::thread::sleep(pause(tries)),
            }
        }
    }

    /// Whether the store has it.
    #[must_use]
    pub fn has(&self, wanted: &Wanted) -> bool {
        self.store.has_blob(&wanted.digest)
    }

    /// Brings the blob into the store, unless it is there. `task` hears how far it is.
    ///
    /// # Errors
    /// It cannot be had; the store is sound and keeps what came.
    pub fn fetch(&self, wanted: &Wanted, task: &Task) -> Result<Origin, StoreError> {
        if self.store.has_blob(&wanted.digest) {
            task.set(wanted.size);
            return Ok(Origin::Store);
        }
        let waiting = || task.message("another slipway fetches it, waiting");
        let _lock = self.store.lock_exclusively(&format!("blob-{}", wanted.digest), waiting)?;
        if self.store.has_blob(&wanted.digest) {
            task.set(wanted.size);
            return Ok(Origin::Store);
        }
        let mut partial = Partial::open(&self.store, &wanted.digest)?;
        let resumed_at = partial.length;
        let mut fresh = resumed_at == 0;
        loop {
            self.complete(wanted, &mut partial, task)?;
            let found = partial.content()?;
            if found.digest == wanted.digest {
                partial.finish(&self.store, &wanted.digest)?;
                return Ok(Origin::Server { resumed_at });
            }
            partial.forget()?;
            if fresh {
                return Err(StoreError::WrongDigest {
                    name: wanted.name.clone(),
                    from: wanted.url.clone(),
                    expected: Box::new(Content { digest: wanted.digest, size: wanted.size }),
                    found: Box::new(found),
                });
            }
            // What an earlier run left may have been the rotten part: once more from the start.
            fresh = true;
        }
    }

    /// Tries until the server has no more bytes to give.
    fn complete(&self, wanted: &Wanted, partial: &mut Partial, task: &Task) -> Result<(), StoreError> {
        let mut fruitless = 0;
        loop {
            let before = partial.length;
            if before == wanted.size {
                return Ok(());
            }
            let reason = match self.once(wanted, partial, task)? {
                Try::Complete => return Ok(()),
                Try::Broken(reason) => reason,
            };
            let got = partial.length;
            fruitless = if got > before { 0 } else { fruitless + 1 };
            tracing::debug!(name = wanted.name, got, reason, "download broke off");
            if fruitless >= FRUITLESS_TRIES {
                let (name, from) = (wanted.name.clone(), wanted.url.clone());
                let expected = wanted.size;
                return Err(StoreError::Interrupted {
                    name,
                    from,
                    got,
                    expected,
                    attempts: fruitless,
                    reason,
                });
            }
            std::thread::sleep(pause(fruitless));
        }
    }

    fn once(&self, wanted: &Wanted, partial: &mut Partial, task: &Task) -> Result<Try, StoreError> {
        let have = partial.length;
        let mut request = self.agent.get(&wanted.url);
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
            if let Some(validator) = partial.validator()? {
                request = request.header("If-Range", validator);
            }
        }
        let answer = match request.call() {
            Ok(answer) => answer,
            Err(error) => return Ok(Try::Broken(error.to_string())),
        };
        match judge(answer.status(), answer.headers(), have) {
            Judgement::Append => {}
            Judgement::Restart => partial.restart(validator(answer.headers()))?,
            Judgement::Forget => {
                partial.forget()?;
                return Ok(Try::Broken("it cannot resume".to_owned()));
            }
            Judgement::Gone => {
                return Err(StoreError::Vanished {
                    name: wanted.name.clone(),
                    described: wanted.version.clone(),
                    path: wanted.path.clone(),
                    from: wanted.url.clone(),
                    status: answer.status().as_u16(),
                });
            }
            Judgement::Later => return Ok(Try::Broken(format!("it answers {}", answer.status()))),
        }
        // One byte more than wanted is enough to know that it is another file.
        let room = (wanted.size + 1).saturating_sub(partial.length);
        let mut body = answer.into_body().into_reader().take(room);
        let mut chunk = vec![0; CHUNK];
        loop {
            task.set(partial.length.min(wanted.size));
            let count = match body.read(&mut chunk) {
                Ok(0) => return Ok(Try::Complete),
                Ok(count) => count,
                Err(error) => return Ok(Try::Broken(error.to_string())),
            };
            partial.append(chunk.get(..count).unwrap_or_default())?;
        }
    }
}

fn pause(tries: u32) -> Duration {
    Duration::from_millis(500) * tries
}

/// An unfinished download on disk.
struct Partial {
    path: PathBuf,
    validator: PathBuf,
    file: File,
    length: u64,
}

impl Partial {
    fn open(store: &Store, digest: &Digest) -> Result<Self, StoreError> {
        let path = store.root.join("partial").join(digest.to_string());
        let validator = path.with_extension("validator");
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("opening", &path))?;
        let length = file.seek(SeekFrom::End(0)).map_err(StoreError::io("reading", &path))?;
        Ok(Self { path, validator, file, length })
    }

    fn validator(&self) -> Result<Option<String>, StoreError> {
        match std::fs::read_to_string(&self.validator) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("reading", &self.validator)(error)),
        }
    }

    fn restart(&mut self, validator: Option<&str>) -> Result<(), StoreError> {
        self.forget()?;
        match validator {
            Some(text) => {
                std::fs::write(&self.validator, text).map_err(StoreError::io("writing", &self.validator))
            }
            None => Ok(()),
        }
    }

    fn forget(&mut self) -> Result<(), StoreError> {
        // The validator first: without it, what is left of the file is judged by its digest alone.
        remove(&self.validator)?;
        self.file.set_len(0).map_err(StoreError::io("emptying", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(StoreError::io("emptying", &self.path))?;
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(StoreError::io("writing to", &self.path))?;
        self.length += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    fn content(&mut self) -> Result<Content, StoreError> {
        let failed = |error| StoreError::io("reading", &self.path)(error);
        self.file.seek(SeekFrom::Start(0)).map_err(failed)?;
        digest_of(&self.file).map_err(failed)
    }

    fn finish(self, store: &Store, digest: &Digest) -> Result<(), StoreError> {
        store.place(&self.file, &self.path, digest)?;
        remove(&self.validator)
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io("removing", path)(error))
        }
        _ => Ok(()),
    }
}
