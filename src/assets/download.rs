//! One file from a server into a file beside its place, taken up again where it broke off.
//!
//! Beside `X.part` lies `X.part.json` with the validator of what is being fetched (RFC 9110 section 8.8). Only a
//! server that still has the same file sends the rest (`If-Range`); a changed one is fetched anew. Without
//! a strong validator nothing is taken up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, ETAG, HeaderName, IF_RANGE, LAST_MODIFIED, RANGE};
use serde::{Deserialize, Serialize};

use super::http::{Answer, Client, HttpError};
use super::{AssetError, Step, Tell};
use crate::wire::looks::is_page;

/// What is known of a part.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    url: String,
    validator: String,
}

/// The note beside a part.
fn note_of(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Fetches `url` into `part`, which is whole afterwards. What was there already is kept when the server
/// vouches that it has not changed. `name` is what is told while it lasts.
pub async fn download(
    client: &Client,
    url: &str,
    part: &Path,
    name: &str,
    tell: Tell<'_>,
) -> Result<(), AssetError> {
    let mut pause = client.patience.pause;
    let mut tries = 1;
    loop {
        let error = match once(client, url, part, name, tell).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let passing = matches!(&error, AssetError::Http(error) if error.is_passing());
        if !passing || tries >= client.patience.tries {
            return Err(error);
        }
        tell(Step::Said(format!("{error}; trying again")));
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
        tries += 1;
    }
}

async fn once(
    client: &Client,
    url: &str,
    part: &Path,
    name: &str,
    tell: Tell<'_>,
) -> Result<(), AssetError> {
    let writing = |source| AssetError::Io {
        action: "cannot write",
        path: part.to_owned(),
        source,
    };
    let kept = kept(url, part);
    let mut headers: Vec<(HeaderName, String)> = Vec::new();
    if let Some((size, validator)) = &kept {
        headers.push((RANGE, format!("bytes={size}-")));
        headers.push((IF_RANGE, validator.clone()));
    }
    let mut answer = client.get(url, &headers).await?;
    let mut have = kept.as_ref().map_or(0, |(size, _)| *size);
    if have > 0 {
        let range = answer.header(&CONTENT_RANGE).unwrap_or_default().to_owned();
        match answer.status {
            // The rest was nothing: the last try broke off after the last byte.
            StatusCode::RANGE_NOT_SATISFIABLE if range == format!("bytes */{have}") => {
                return Ok(());
            }
            StatusCode::PARTIAL_CONTENT if range.starts_with(&format!("bytes {have}-")) => {}
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                forget(part);
                answer = client.get(url, &[]).await?;
                have = 0;
            }
            _ => have = 0,
        }
    }
    let wanted = if have > 0 {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    answer.check(&[wanted])?;
    let total = answer.length().map(|rest| rest.saturating_add(have));
    let mut file = if have > 0 {
        OpenOptions::new().append(true).open(part)
    } else {
        forget(part);
        write_note(url, part, &answer).and_then(|()| File::create(part))
    }
    .map_err(writing)?;
    tell(Step::Begins {
        name: name.to_owned(),
        have,
        total,
    });
    let mut size = have;
    while let Some(bytes) = answer.part().await? {
        if size == 0 && is_page(&bytes) {
            forget(part);
            return Err(HttpError::Page {
                url: url.to_owned(),
                kind: "none, but it is HTML".to_owned(),
            }
            .into());
        }
        file.write_all(&bytes).map_err(writing)?;
        size = size.saturating_add(bytes.len() as u64);
        tell(Step::Bytes {
            name: name.to_owned(),
            have: size,
            total,
        });
    }
    if total.is_some_and(|total| total != size) {
        forget(part);
        return Err(AssetError::Length {
            url: url.to_owned(),
            size,
            expected: total.unwrap_or_default(),
        });
    }
    Ok(())
}

/// How much of a file is there, and by what the server knows it again.
fn kept(url: &str, part: &Path) -> Option<(u64, String)> {
    let note: Note = serde_json::from_slice(&fs::read(note_of(part)).ok()?).ok()?;
    let size = fs::metadata(part).ok()?.len();
    (note.url == url && size > 0).then_some((size, note.validator))
}

/// Notes by what the server knows the file again; without a strong validator nothing is noted.
fn write_note(url: &str, part: &Path, answer: &Answer) -> io::Result<()> {
    let tag = answer.header(&ETAG).filter(|tag| tag.starts_with('"'));
    let Some(validator) = tag.or_else(|| answer.header(&LAST_MODIFIED)) else {
        return Ok(());
    };
    let note = Note {
        url: url.to_owned(),
        validator: validator.to_owned(),
    };
    fs::write(note_of(part), serde_json::to_vec(&note)?)
}

/// Takes a part and its note away.
pub(super) fn forget(part: &Path) {
    let _ = fs::remove_file(part);
    let _ = fs::remove_file(note_of(part));
}
