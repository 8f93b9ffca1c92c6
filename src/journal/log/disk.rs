//! The file `journal.redb`.
//!
//! - *Keys.* Table `events`: id → a version byte and the event in postcard. Table `of`: (host name, or
//!   hardware address where an event names no host; id) → nothing, by which one host's events are found
//!   among a million. Table `meta`: `format`; `bytes`, the size of what is kept; `begun`, when the file was
//!   made, in microseconds since 1970; `indexed`, the id up to which `of` is complete.
//! - *A flood is indexed later.* The events of a commit stand side by side in `events`; in `of` each of a thousand
//!   hosts is on a page of its own, which would be four megabytes to be written and synced, twenty times a second.
//!   So large batches are left out of `of` until they are [`INDEX_AT`] events or none came for [`INDEX_AFTER`], and
//!   whoever reads looks through what is not indexed yet.
//! - *Commits* are synced to disk: redb keeps nothing of an unsynced commit when the process is killed,
//!   and a file that is written but not synced may be mangled by a power loss.
//! - *A disk that refuses.* What cannot be written is dropped and counted; the file is opened again
//!   every few seconds, and the count is told when it works again. A mangled file is set aside and a new
//!   one made, also while running.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _,
    TableDefinition,
};

use super::lost;
use crate::base::{Clock as _, SystemClock, Timestamp, pace};
use crate::journal::event::{Event, Kind, Reason};
use crate::store::OpenOutcome;
use crate::store::file::{self, Trouble};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
const OF: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("of");

/// What the file holds altogether.
const FORMAT: u64 = 1;

/// How one event is written. Events of a version that is not known are left out when read.
const EVENT_VERSION: u8 = 4;

/// The same without [`Event::holder`].
const EVENT_VERSION_3: u8 = 3;

/// The same without [`Event::foreign`] either.
const EVENT_VERSION_2: u8 = 2;

/// The same without [`Event::install`] either.
const EVENT_VERSION_1: u8 = 1;

/// Events of a batch that are put into `of` with it; of more it is done later.
const FEW: usize = 64;

/// Events that are left out of `of` until it is done for the first [`INDEX_AT_ONCE`] of them: all that ten thousand machines
/// leave when they boot. Whoever reads meanwhile looks through them in some tenths of a second.
const INDEX_AT: usize = 131_072;

/// Events that are put into `of` by one commit: of so many each page gets several.
const INDEX_AT_ONCE: usize = 16_384;

/// How long after the last large batch it is done for fewer.
const INDEX_AFTER: Duration = Duration::from_secs(1);

/// How often a disk that refused is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// What an event takes beside its own bytes: keys, the entry by host, and the room that redb's pages
/// leave free (measured; see `the_file_stays_near_its_bound`).
const fn cost(bytes: usize) -> u64 {
    bytes as u64 * 2 + 96
}

/// The open file, for those who read it.
#[derive(Debug, Clone, Default)]
pub(super) struct Reader {
    database: Arc<RwLock<Option<Arc<Database>>>>,
}

impl Reader {
    fn set(&self, database: Option<Arc<Database>>) {
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = database;
    }

    fn get(&self) -> Option<Arc<Database>> {
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The newest events with ids between `after` and `before`, both not included; oldest first.
    pub(super) fn newest(&self, after: u64, before: u64, limit: usize) -> Vec<Event> {
        self.read(|transaction| {
            let table = transaction.open_table(EVENTS)?;
            let mut found = Vec::new();
            for entry in table
                .range(after.saturating_add(1)..before)?
                .rev()
                .take(limit)
            {
                let (id, bytes) = entry?;
                found.extend(decode(id.value(), bytes.value()));
            }
            Ok(found)
        })
    }

    /// The same, of one host or hardware address.
    pub(super) fn newest_of(
        &self,
        whose: &str,
        after: u64,
        before: u64,
        limit: usize,
    ) -> Vec<Event> {
        self.read(|transaction| {
            let events = transaction.open_table(EVENTS)?;
            let of = transaction.open_table(OF)?;
            let mut found = Vec::new();
            // What is not indexed yet came last.
            let indexed = indexed(&transaction.open_table(META)?)?.unwrap_or(u64::MAX);
            let begin = indexed.max(after).saturating_add(1);
            if begin < before {
                for entry in events.range(begin..before)?.rev() {
                    if found.len() >= limit {
                        return Ok(found);
                    }
                    let (id, bytes) = entry?;
                    let event = decode(id.value(), bytes.value());
                    found
                        .extend(event.filter(|event| self::whose(event).as_deref() == Some(whose)));
                }
            }
            let range = (whose, after.saturating_add(1))..(whose, before);
            let left = limit.saturating_sub(found.len());
            for entry in of.range(range)?.rev().take(left) {
                let (key, _) = entry?;
                let (_, id) = key.value();
                if let Some(bytes) = events.get(id)? {
                    found.extend(decode(id, bytes.value()));
                }
            }
            Ok(found)
        })
    }

    /// The oldest events with ids between `after` and `before`, both not included, oldest first, and the
    /// last id that was looked at when `limit` ended it. `None`: the file cannot be read now.
    pub(super) fn oldest(
        &self,
        after: u64,
        before: u64,
        limit: usize,
    ) -> Option<(Vec<Event>, Option<u64>)> {
        self.try_read(|transaction| {
            let table = transaction.open_table(EVENTS)?;
            let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
            for entry in table.range(after.saturating_add(1)..before)?.take(limit) {
                let (id, bytes) = entry?;
                seen += 1;
                last = Some(id.value());
                found.extend(decode(id.value(), bytes.value()));
            }
            Ok((found, last.filter(|_| seen == limit)))
        })
    }

    /// When the file was made.
    pub(super) fn begun(&self) -> Option<Timestamp> {
        let begun = self.try_read(|transaction| {
            let meta = transaction.open_table(META)?;
            Ok(meta.get("begun")?.map(|value| value.value()))
        });
        let begun = i64::try_from(begun??).ok()?;
        Some(Timestamp::from_micros(begun))
    }

    /// Reads, and reverses; a file that cannot be read has nothing to tell. The writer will notice.
    fn read(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<Vec<Event>, redb::Error>,
    ) -> Vec<Event> {
        let mut found = self.try_read(work).unwrap_or_default();
        found.reverse();
        found
    }

    fn try_read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Option<T> {
        let database = self.get()?;
        let found = file::guarded(|| {
            let read = || work(&database.begin_read()?);
            read().map_err(|error| Trouble::Damaged(error.to_string()))
        });
        found.ok()
    }
}

/// The file and what is known of it.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    keep: u64,
    reader: Reader,
    /// When it was last tried to open the file, while it is not.
    tried: Option<Instant>,
    /// Events dropped since the disk began to refuse, and why it does.
    refused: Option<(u64, String)>,
    /// Events that `of` lacks, as far as is known, and when the last of them came.
    unindexed: usize,
    unindexed_at: Instant,
    /// How many of them may gather; [`INDEX_AT`].
    index_at: usize,
}

impl Disk {
    /// Opens or makes the file; also tells the first id that is free.
    pub(super) fn open(path: &Path, keep: u64) -> (Self, u64, OpenOutcome) {
        let mut disk = Self {
            path: path.to_owned(),
            keep,
            reader: Reader::default(),
            tried: None,
            refused: None,
            // What a kill has left is found when the first look is taken.
            unindexed: 1,
            unindexed_at: Instant::now(),
            index_at: INDEX_AT,
        };
        match open_or_make(path) {
            Ok((database, last, outcome)) => {
                disk.reader.set(Some(Arc::new(database)));
                (disk, last.saturating_add(1), outcome)
            }
            Err(trouble) => {
                disk.tried = Some(Instant::now());
                let why = trouble.text();
                disk.refused = Some((0, why.clone()));
                (disk, 1, OpenOutcome::Unavailable { why })
            }
        }
    }

    pub(super) fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Why it refuses at present.
    pub(super) fn refused(&self) -> Option<String> {
        self.refused.as_ref().map(|(_, why)| why.clone())
    }

    /// Writes events down, or drops and counts them. What there is to tell about that comes back.
    pub(super) fn write(&mut self, events: &[Arc<Event>], dropped: &mut u64) -> Vec<Event> {
        let mut tell = Vec::new();
        if self.reader.get().is_none() {
            self.reopen(&mut tell);
        }
        let Some(database) = self.reader.get() else {
            self.drop_all(events, dropped);
            return tell;
        };
        match file::guarded(|| {
            let later = self.unindexed > 0 || events.len() > FEW;
            commit(&database, events, self.keep, later)
                .map_err(|error| Trouble::of(&self.path, error))
        }) {
            Ok(later) => {
                if later {
                    self.unindexed = self.unindexed.saturating_add(events.len());
                }
                if events.len() > FEW {
                    self.unindexed_at = Instant::now();
                }
                if let Some((count, why)) = self.refused.take()
                    && count > 0
                {
                    tell.push(lost(SystemClock.now(), Reason::DiskFull, count, &why));
                }
            }
            Err(trouble) => {
                self.reader.set(None);
                let _ = file::guarded(move || {
                    drop(database);
                    Ok(())
                });
                let why = trouble.text();
                if self.refused.is_none() {
                    tell.push(
                        Event::new(SystemClock.now(), Kind::ServerTrouble, Reason::DiskFull)
                            .detail(format!("the journal cannot be written: {why}; events are dropped until it can")),
                    );
                }
                self.refused.get_or_insert((0, why));
                self.drop_all(events, dropped);
                // A mangled file is replaced at once, a full disk gets time.
                self.tried = matches!(trouble, Trouble::Disk(_)).then(Instant::now);
            }
        }
        tell
    }

    /// Completes `of`, when enough has gathered for it or nothing more comes.
    pub(super) fn index(&mut self) {
        let is_due = self.unindexed >= self.index_at
            || (self.unindexed > 0 && self.unindexed_at.elapsed() >= INDEX_AFTER);
        let Some(database) = self.reader.get().filter(|_| is_due) else {
            return;
        };
        let indexed = file::guarded(|| {
            index(&database, INDEX_AT_ONCE).map_err(|error| Trouble::of(&self.path, error))
        });
        self.unindexed_at = Instant::now();
        // Where the disk refuses, the next events find out.
        if let Ok(is_complete) = indexed {
            self.unindexed = if is_complete {
                0
            } else {
                self.unindexed.saturating_sub(INDEX_AT_ONCE).max(1)
            };
        }
    }

    fn drop_all(&mut self, events: &[Arc<Event>], dropped: &mut u64) {
        let count = events.len() as u64;
        *dropped += count;
        if let Some((refused, _)) = &mut self.refused {
            *refused += count;
        }
    }

    fn reopen(&mut self, tell: &mut Vec<Event>) {
        if self.tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return;
        }
        self.tried = Some(Instant::now());
        match open_or_make(&self.path) {
            Ok((database, _, outcome)) => {
                self.reader.set(Some(Arc::new(database)));
                self.tried = None;
                if let OpenOutcome::Damaged { kept_as, why } = outcome {
                    tell.push(
                        Event::new(SystemClock.now(), Kind::ServerTrouble, Reason::DamagedStore)
                            .detail(format!(
                                "the journal was damaged ({why}); it is kept as {}",
                                kept_as.display()
                            )),
                    );
                }
            }
            Err(trouble) => {
                self.refused.get_or_insert_with(|| (0, trouble.text()));
            }
        }
    }
}

/// Opens or makes the file; also gives the last id in it.
fn open_or_make(path: &Path) -> Result<(Database, u64, OpenOutcome), Trouble> {
    let make = || {
        file::create(path, |database| {
            prepare(database).map_err(|error| Trouble::of(path, error))
        })
    };
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok((make()?, 0, OpenOutcome::New));
    }
    let read = file::open_unverified(path).and_then(|database| {
        let found = file::guarded(|| look(path, &database))?;
        Ok((database, found))
    });
    match read {
        Ok((database, (records, last))) => Ok((database, last, OpenOutcome::Existing { records })),
        Err(Trouble::Damaged(why)) => {
            let kept_as =
                file::set_aside(path, &why, SystemClock.now()).map_err(Trouble::Hopeless)?;
            Ok((make()?, 0, OpenOutcome::Damaged { kept_as, why }))
        }
        Err(trouble) => Err(trouble),
    }
}

fn prepare(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("bytes", 0)?;
        let now = u64::try_from(SystemClock.now().as_micros()).unwrap_or(0);
        meta.insert("begun", now)?;
        transaction.open_table(EVENTS)?;
        transaction.open_table(OF)?;
    }
    transaction.commit()?;
    Ok(())
}

/// How many events there are, and the last id.
fn look(path: &Path, database: &Database) -> Result<(usize, u64), Trouble> {
    let read = || -> Result<Result<(usize, u64), String>, redb::Error> {
        let transaction = database.begin_read()?;
        let format = match transaction.open_table(META) {
            Ok(table) => table.get("format")?.map(|value| value.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if format != Some(FORMAT) {
            return Ok(Err(
                "it is no journal of this version of bootwright".to_owned()
            ));
        }
        let events = transaction.open_table(EVENTS)?;
        transaction.open_table(OF)?;
        let last = events.last()?.map_or(0, |(id, _)| id.value());
        Ok(Ok((
            usize::try_from(events.len()?).unwrap_or(usize::MAX),
            last,
        )))
    };
    read()
        .map_err(|error| Trouble::of(path, error))?
        .map_err(Trouble::Damaged)
}

/// Writes events and removes the oldest ones over the bound, in one synced transaction. `later`: they are put into
/// `of` by [`index`]; so they are, too, while it lacks earlier ones. Whether it was left.
fn commit(
    database: &Database,
    batch: &[Arc<Event>],
    keep: u64,
    later: bool,
) -> Result<bool, redb::Error> {
    let transaction = database.begin_write()?;
    let later = {
        let mut meta = transaction.open_table(META)?;
        let mut events = transaction.open_table(EVENTS)?;
        let mut of = transaction.open_table(OF)?;
        let mut bytes = meta.get("bytes")?.map_or(0, |value| value.value());
        let last = events.last()?.map_or(0, |(id, _)| id.value());
        // An earlier version has put all of them in.
        let indexed = indexed(&meta)?.unwrap_or(last);
        let later = later || last > indexed;
        let mut highest = indexed;
        for event in batch {
            pace::give_way_now();
            let Ok(encoded) = postcard::to_extend(event.as_ref(), vec![EVENT_VERSION]) else {
                continue;
            };
            bytes = bytes.saturating_add(cost(encoded.len()));
            if let Some(replaced) = events.insert(event.id, encoded.as_slice())? {
                bytes = bytes.saturating_sub(cost(replaced.value().len()));
            }
            // What the writer itself tells may overtake events that wait.
            if (!later || event.id <= indexed)
                && let Some(whose) = whose(event)
            {
                of.insert((whose.as_str(), event.id), ())?;
            }
            highest = highest.max(event.id);
        }
        meta.insert("indexed", if later { indexed } else { highest })?;
        if bytes > keep {
            // A little more than needed, so that not every commit has to.
            let bound = keep - keep / 16;
            while bytes > bound {
                let Some((id, encoded)) = events.pop_first()? else {
                    bytes = 0;
                    break;
                };
                bytes = bytes.saturating_sub(cost(encoded.value().len()));
                if let Some(whose) = decode(id.value(), encoded.value()).as_ref().and_then(whose) {
                    of.remove((whose.as_str(), id.value()))?;
                }
            }
        }
        meta.insert("bytes", bytes)?;
        later
    };
    transaction.commit()?;
    Ok(later)
}

/// The id up to which `of` is complete; `None` in a file of an earlier version, where it always is.
fn indexed(meta: &impl redb::ReadableTable<&'static str, u64>) -> Result<Option<u64>, redb::Error> {
    Ok(meta.get("indexed")?.map(|value| value.value()))
}

/// Puts events into `of` that it lacks, the oldest ones first and so many at most. Whether it is complete then.
fn index(database: &Database, most: usize) -> Result<bool, redb::Error> {
    let transaction = database.begin_write()?;
    let is_complete = {
        let mut meta = transaction.open_table(META)?;
        let events = transaction.open_table(EVENTS)?;
        let Some(indexed) = indexed(&meta)? else {
            return Ok(true);
        };
        let mut last = indexed;
        let mut lacking = Vec::new();
        let mut rest = events.range(indexed.saturating_add(1)..)?;
        for entry in rest.by_ref().take(most) {
            pace::give_way_now();
            let (id, bytes) = entry?;
            last = id.value();
            let whose = decode(last, bytes.value()).as_ref().and_then(whose);
            lacking.extend(whose.map(|whose| (whose, last)));
        }
        if last == indexed {
            return Ok(true);
        }
        // Side by side in the table as well.
        lacking.sort_unstable();
        let mut of = transaction.open_table(OF)?;
        for (whose, id) in &lacking {
            pace::give_way_now();
            of.insert((whose.as_str(), *id), ())?;
        }
        meta.insert("indexed", last)?;
        rest.next().is_none()
    };
    transaction.commit()?;
    Ok(is_complete)
}

/// By what an event is found.
fn whose(event: &Event) -> Option<String> {
    match (&event.host, event.mac) {
        (Some(host), _) => Some(host.to_string()),
        (None, Some(mac)) => Some(mac.to_string()),
        (None, None) => None,
    }
}

fn decode(id: u64, bytes: &[u8]) -> Option<Event> {
    let (version, bytes) = bytes.split_first()?;
    // Postcard writes field after field: what came last later on is absent, which is a zero each.
    let absent: &[u8] = match *version {
        EVENT_VERSION => &[],
        EVENT_VERSION_3 => &[0],
        EVENT_VERSION_2 => &[0, 0],
        EVENT_VERSION_1 => &[0, 0, 0],
        _ => return None,
    };
    let mut event: Event = if absent.is_empty() {
        postcard::from_bytes(bytes).ok()?
    } else {
        postcard::from_bytes(&[bytes, absent].concat()).ok()?
    };
    event.id = id;
    Some(event)
}

/// Makes one event what an earlier version wrote, where it holds nothing of what came later.
#[cfg(test)]
pub(super) fn as_version(version: u8, path: &Path, id: u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut events = transaction.open_table(EVENTS).unwrap();
        let mut bytes = events.get(id).unwrap().unwrap().value().to_vec();
        bytes[0] = version;
        for _ in version..EVENT_VERSION {
            assert_eq!(
                bytes.pop(),
                Some(0),
                "neither installation nor other server nor holder"
            );
        }
        events.insert(id, bytes.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[cfg(test)]
mod tests;
