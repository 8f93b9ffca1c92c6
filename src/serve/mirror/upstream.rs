//! One file from the server that it is mirrored from: asked for, checked, written down, and told of as it comes.
//!
//! **Invariant:** what comes is a file and no page that stands for one, as long as its server says, and has the sum
//! that its name or its server's answer tells. Nothing is taken up but what the server vouches to be the same file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use futures_util::future::BoxFuture;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    CONTENT_ENCODING, CONTENT_RANGE, ETAG, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE, TRANSFER_ENCODING,
};
use sha2::{Digest as _, Sha256, Sha512};

use super::shelf::{Meta, Shelf};
use crate::assets::http::{Answer, Client, HttpError};
use crate::wire::looks::is_page;

/// The digest of a reply's content (RFC 9530).
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// Why a file does not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server says that there is none.
    #[error("{0}")]
    NotThere(String),
    /// It took too long.
    #[error("{0}")]
    TooLate(String),
    /// The server cannot be reached, or sends something else.
    #[error("{0}")]
    Refused(String),
    /// It changed while it came, and who has the beginning cannot have the rest.
    #[error("{0} changed while it was fetched")]
    Changed(String),
    /// The disk does not take it.
    #[error("it cannot be kept: {0}")]
    Disk(String),
    /// The daemon ends, or the task has.
    #[error("the server stopped")]
    Stopped,
}

/// A file on its way, as it is told to those who wait for it.
#[derive(Debug, Clone)]
pub struct Coming {
    /// What has come, from its beginning.
    pub file: Arc<File>,
    /// Bytes that are there.
    pub have: u64,
    /// Bytes in all, where the server tells.
    pub total: Option<u64>,
    /// When it was last changed, as the server wrote it.
    pub last_modified: Option<Arc<str>>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Brought {
    /// The kept file is still the same.
    Same,
    /// The file came whole.
    Whole(Whole),
}

/// A file that came whole and is good, and not in its place yet.
#[derive(Debug)]
pub struct Whole {
    /// Where it is.
    pub part: PathBuf,
    /// The same, opened.
    pub coming: Coming,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
    /// The server's validator.
    pub etag: Option<String>,
}

/// Asked for so many bytes on the disk.
pub type Room<'a> = &'a (dyn Fn(u64) -> BoxFuture<'static, io::Result<()>> + Sync);

/// Of a file whose length nobody tells room is asked for in such steps.
const ROOM_AT_ONCE: u64 = 64 << 20;

/// One order.
pub struct Order<'a> {
    /// The client.
    pub client: &'a Client,
    /// The URL.
    pub url: &'a str,
    /// The path under which machines ask for it.
    pub path: &'a str,
    /// What is kept of it.
    pub kept: Option<&'a Meta>,
    /// How long the answer to a question about a kept file may take.
    pub answer_within: Option<Duration>,
    /// Where it is written.
    pub shelf: &'a Shelf,
    /// A name that no other order has.
    pub name: &'a str,
}

/// What has come so far.
struct Part {
    path: PathBuf,
    coming: Coming,
    /// A strong validator, by which the server knows the file again.
    validator: Option<String>,
    etag: Option<String>,
    digest: Option<Sum>,
    sha256: Sha256,
    sha512: Option<Sha512>,
}

/// A sum that a file has to have, by its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Sum {
    Sha256(Vec<u8>),
    Sha512(Vec<u8>),
}

impl Order<'_> {
    /// Brings it. `room` is asked once its length is known; `tell` is told how far it is.
    pub async fn bring(
        &self,
        room: Room<'_>,
        tell: &(dyn Fn(Coming) + Sync),
    ) -> Result<Brought, Failure> {
        let mut part = None;
        let mut pause = self.client.patience.pause;
        let mut tries = 1;
        loop {
            let had = part.as_ref().map_or(0, |part: &Part| part.coming.have);
            let (error, passing) = match self.once(&mut part, room, tell).await {
                Ok(Some(Brought::Whole(whole))) => return Ok(Brought::Whole(whole)),
                Ok(Some(Brought::Same)) => return Ok(Brought::Same),
                Ok(None) => (Failure::Changed(self.url.to_owned()), false),
                Err(Trouble::Http(error)) => {
                    let passing = error.is_passing();
                    (of_http(&error), passing)
                }
                Err(Trouble::Failed(failure)) => (failure, false),
            };
            let has = part.as_ref().map_or(0, |part| part.coming.have);
            if has > had {
                // It goes on: a server that breaks off now and then is not given up.
                tries = 1;
            }
            if !passing || tries >= self.client.patience.tries {
                if let Some(part) = part {
                    let _ = std::fs::remove_file(&part.path);
                }
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(2).min(Duration::from_secs(10));
            tries += 1;
        }
    }

    /// One request; `None`: the file is another one than the one of which a part came.
    async fn once(
        &self,
        part: &mut Option<Part>,
        room: Room<'_>,
        tell: &(dyn Fn(Coming) + Sync),
    ) -> Result<Option<Brought>, Trouble> {
        let mut headers: Vec<(HeaderName, String)> = Vec::new();
        match (&*part, self.kept) {
            (Some(part), _) => {
                // Without a validator nobody can say that it still is the same.
                let Some(validator) = &part.validator else {
                    return Ok(None);
                };
                headers.push((RANGE, format!("bytes={}-", part.coming.have)));
                headers.push((IF_RANGE, validator.clone()));
            }
            (None, Some(kept)) => {
                if let Some(etag) = &kept.etag {
                    headers.push((IF_NONE_MATCH, etag.clone()));
                }
                if let Some(date) = &kept.last_modified {
                    headers.push((IF_MODIFIED_SINCE, date.clone()));
                }
            }
            (None, None) => {}
        }
        let asked = self.client.get(self.url, &headers);
        let mut answer = match self.answer_within.filter(|_| part.is_none()) {
            None => asked.await?,
            Some(within) => tokio::time::timeout(within, asked).await.map_err(|_| {
                let text = format!("{}: no answer within {} s", self.url, within.as_secs());
                Failure::TooLate(text)
            })??,
        };
        if answer.status == StatusCode::NOT_MODIFIED && part.is_none() && self.kept.is_some() {
            return Ok(Some(Brought::Same));
        }
        let mut current = match part.take() {
            Some(found) if is_rest(&answer, found.coming.have) => found,
            // All of it had come, but for the end of the connection.
            Some(found) if is_nothing_left(&answer, found.coming.have) => {
                return finish(found).map(Some);
            }
            Some(found) => {
                self.check(&answer, StatusCode::OK)?;
                let _ = std::fs::remove_file(&found.path);
                return Ok(None);
            }
            None => {
                self.check(&answer, StatusCode::OK)?;
                let total = answer.length();
                if total.is_none() && answer.header(&TRANSFER_ENCODING).is_none() {
                    let text = format!(
                        "{}: the answer tells no length, so nobody could say whether it is whole",
                        self.url
                    );
                    return Err(Failure::Refused(text).into());
                }
                let first = total.unwrap_or(ROOM_AT_ONCE);
                room(first).await.map_err(|error| self.disk(&error))?;
                self.begin(&answer, total)?
            }
        };
        let result = self.read_on(&mut current, &mut answer, room, tell).await;
        match result {
            Ok(()) => finish(current).map(Some),
            Err(trouble) => {
                *part = Some(current);
                Err(trouble)
            }
        }
    }

    /// A new file for what is to come.
    fn begin(&self, answer: &Answer, total: Option<u64>) -> Result<Part, Failure> {
        let (path, file) = self
            .shelf
            .part(self.name)
            .map_err(|error| self.disk(&error))?;
        let owned = |name: &HeaderName| answer.header(name).map(str::to_owned);
        let etag = owned(&ETAG);
        let strong = etag.clone().filter(|tag| tag.starts_with('"'));
        let digest = sum_of_path(self.path).or_else(|| sum_of_digest(answer.header(&REPR_DIGEST)?));
        Ok(Part {
            path,
            coming: Coming {
                file: Arc::new(file),
                have: 0,
                total,
                last_modified: answer.header(&LAST_MODIFIED).map(Arc::from),
            },
            validator: strong.or_else(|| owned(&LAST_MODIFIED)),
            etag,
            sha512: matches!(digest, Some(Sum::Sha512(_))).then(Sha512::new),
            digest,
            sha256: Sha256::new(),
        })
    }

    async fn read_on(
        &self,
        part: &mut Part,
        answer: &mut Answer,
        room: Room<'_>,
        tell: &(dyn Fn(Coming) + Sync),
    ) -> Result<(), Trouble> {
        // Nobody is told of a file before its beginning was looked at.
        while let Some(bytes) = answer.part().await? {
            if part.coming.have == 0 && is_page(&bytes) && !is_page_wanted(self.path) {
                let kind = "none, but it is HTML".to_owned();
                let url = self.url.to_owned();
                return Err(Failure::Refused(HttpError::Page { url, kind }.to_string()).into());
            }
            let at = part.coming.have;
            let next = at.saturating_add(bytes.len() as u64);
            if part.coming.total.is_some_and(|total| next > total) {
                let text = format!("{}: more came than was announced", self.url);
                return Err(Failure::Refused(text).into());
            }
            if part.coming.total.is_none() && next / ROOM_AT_ONCE != at / ROOM_AT_ONCE {
                let more = room(ROOM_AT_ONCE).await;
                more.map_err(|error| self.disk(&error))?;
            }
            part.sha256.update(&bytes);
            if let Some(sha512) = &mut part.sha512 {
                sha512.update(&bytes);
            }
            write(&part.coming.file, at, bytes)
                .await
                .map_err(|error| self.disk(&error))?;
            part.coming.have = next;
            tell(part.coming.clone());
        }
        match part.coming.total {
            Some(total) if total != part.coming.have => Err(Failure::Refused(format!(
                "{}: {} bytes came, {total} were announced",
                self.url, part.coming.have
            ))
            .into()),
            _ => Ok(()),
        }
    }

    /// The error of an answer that is no file.
    fn check(&self, answer: &Answer, wanted: StatusCode) -> Result<(), Trouble> {
        let checked = answer.check(&[wanted]);
        let checked = match checked {
            Err(HttpError::Page { .. }) if is_page_wanted(self.path) => Ok(()),
            other => other,
        };
        checked?;
        match answer.header(&CONTENT_ENCODING) {
            None | Some("identity") => Ok(()),
            Some(other) => Err(Failure::Refused(format!(
                "{}: the server sent it packed ({other}), which nobody asked for",
                self.url
            ))
            .into()),
        }
    }

    fn disk(&self, error: &io::Error) -> Failure {
        Failure::Disk(format!("{}: {error}", self.shelf.root().display()))
    }
}

/// What went wrong with one request.
#[derive(Debug)]
enum Trouble {
    Http(HttpError),
    Failed(Failure),
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn of_http(error: &HttpError) -> Failure {
    let text = error.to_string();
    match error {
        _ if error.is_not_there() => Failure::NotThere(text),
        HttpError::Silence { .. } => Failure::TooLate(text),
        HttpError::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
            Failure::TooLate(text)
        }
        _ => Failure::Refused(text),
    }
}

/// Whether an answer is the rest of a file of which so many bytes are there.
fn is_rest(answer: &Answer, have: u64) -> bool {
    let range = answer.header(&CONTENT_RANGE).unwrap_or_default();
    answer.status == StatusCode::PARTIAL_CONTENT && range.starts_with(&format!("bytes {have}-"))
}

/// Whether an answer says that a file ends where it broke off.
fn is_nothing_left(answer: &Answer, have: u64) -> bool {
    let range = answer.header(&CONTENT_RANGE).unwrap_or_default();
    answer.status == StatusCode::RANGE_NOT_SATISFIABLE && range == format!("bytes */{have}")
}

/// Whether somebody asks for a page: its name says so.
fn is_page_wanted(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    matches!(ending, Some("html" | "htm" | "xhtml"))
}

/// A file of which all has come: good, or the error that it is another one.
fn finish(part: Part) -> Result<Brought, Trouble> {
    let sha256 = part.sha256.finalize();
    let same = match &part.digest {
        None => true,
        Some(Sum::Sha256(wanted)) => wanted.as_slice() == sha256.as_slice(),
        Some(Sum::Sha512(wanted)) => part
            .sha512
            .is_some_and(|sha512| wanted.as_slice() == sha512.finalize().as_slice()),
    };
    if !same {
        let _ = std::fs::remove_file(&part.path);
        let text = "what came has another SHA sum than its name, or its server, says".to_owned();
        return Err(Failure::Refused(text).into());
    }
    Ok(Brought::Whole(Whole {
        part: part.path,
        sha256: HEXLOWER.encode(&sha256),
        etag: part.etag,
        coming: part.coming,
    }))
}

/// The sum that a path tells: `…/by-hash/SHA256/HEX`, as Debian's archive has it.
fn sum_of_path(path: &str) -> Option<Sum> {
    let mut parts = path.rsplit('/');
    let bytes = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
    let kind = parts.next()?;
    if parts.next()? != "by-hash" {
        return None;
    }
    match (kind, bytes.len()) {
        ("SHA256", 32) => Some(Sum::Sha256(bytes)),
        ("SHA512", 64) => Some(Sum::Sha512(bytes)),
        _ => None,
    }
}

/// The sum that a header tells: `sha-256=:BASE64:, …`.
fn sum_of_digest(text: &str) -> Option<Sum> {
    text.split(',').find_map(|item| {
        let (name, value) = item.trim().split_once('=')?;
        let value = value.strip_prefix(':')?.strip_suffix(':')?;
        let bytes = BASE64.decode(value.as_bytes()).ok()?;
        match (name, bytes.len()) {
            ("sha-256", 32) => Some(Sum::Sha256(bytes)),
            ("sha-512", 64) => Some(Sum::Sha512(bytes)),
            _ => None,
        }
    })
}

/// Writes without holding up others that run on this thread.
async fn write(file: &Arc<File>, at: u64, bytes: Bytes) -> io::Result<()> {
    let file = Arc::clone(file);
    tokio::task::spawn_blocking(move || file.write_all_at(&bytes, at))
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_tell_sums() {
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap();
        let sum = Some(Sum::Sha256(bytes.clone()));
        assert_eq!(
            sum_of_path(&format!("deb/dists/x/by-hash/SHA256/{hex}")),
            sum
        );
        assert_eq!(
            sum_of_path(&format!("deb/dists/x/by-hash/SHA512/{hex}")),
            None
        );
        assert_eq!(sum_of_path(&format!("deb/dists/SHA256/{hex}")), None);
        assert_eq!(sum_of_path("by-hash/SHA256/xyz"), None);
        let header = format!("md5=:AA==:, sha-256=:{}:", BASE64.encode(&bytes));
        assert_eq!(sum_of_digest(&header), sum);
        assert_eq!(sum_of_digest("sha-256=abc"), None);
        assert!(is_page_wanted("a/index.html") && !is_page_wanted("a/linux"));
    }
}
