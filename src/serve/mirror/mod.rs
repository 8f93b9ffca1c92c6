//! Boot files that are brought from elsewhere when a machine asks for them (`[[mirror]]`), and kept.
//!
//! The first who asks has the file brought; whoever asks meanwhile gets the same bytes as they come. What brings it is
//! a task of its own: a client that leaves ends nothing. Kept files are on a [`shelf`]; after
//! [`Mirror::fresh_for`] their server is asked whether they have changed, and when it cannot be asked they are
//! given out all the same, unless the mirror says otherwise.
//!
//! **Invariant:** one file is fetched once at a time, however many ask. Only a request for which the caller has made sure
//! that it comes from a known host leads to a request to another server. No failure leaves anything at a file's place.

pub mod shelf;
pub mod upstream;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{OnceCell, Semaphore, watch};

use self::shelf::{Meta, Shelf};
use self::upstream::{Brought, Coming, Failure, Order, Whole};
use super::context::Context;
use crate::assets::http::{Client, Patience};
use crate::base::{HostName, Timestamp, locked};
use crate::config::mirror::Mirror;
use crate::journal::event::{Event, Kind, Reason};
use crate::render::paths::encode;

/// So many files are fetched at once; others wait.
const AT_ONCE: usize = 32;
/// How long the server of a kept file may take to say whether it has changed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For so long a server that could not be asked about kept files is not asked again.
const DOWN_FOR: Duration = Duration::from_secs(30);
/// So many bytes are left free on the disk of the state folder: records and journal are on it.
const RESERVE: u64 = 256 << 20;
/// How patient the daemon is with other servers: a machine waits for it.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(30),
    pause: Duration::from_secs(1),
    tries: 3,
};

/// What is brought from elsewhere; cheap to clone.
#[derive(Debug, Clone)]
pub struct Mirrors(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    flights: Mutex<HashMap<String, Arc<watch::Sender<Progress>>>>,
    /// Servers that could not be asked lately, by the mirror's path.
    down: Mutex<HashMap<String, Timestamp>>,
    /// By the mirror's path.
    held: Mutex<HashMap<String, Held>>,
    /// Held by whoever makes room, which waits for the disk; the others are held for a moment.
    makes_room: Mutex<()>,
    swept: OnceCell<()>,
    places: Semaphore,
    next: AtomicU64,
    settings: Mutex<Settings>,
}

/// Bytes that are kept of a mirror.
#[derive(Debug, Default)]
struct Held {
    /// Counted once and then kept up; `None`: they are to be counted. Rather too many than too few.
    bytes: Option<u64>,
    /// All that were ever placed: what is placed during a count may be missing in it.
    placed: u64,
}

/// What tests change.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How patient the client is.
    pub patience: Patience,
    /// So many bytes are left free on the disk.
    pub reserve: u64,
}

impl Default for Mirrors {
    fn default() -> Self {
        Self(Arc::new(Inner {
            flights: Mutex::default(),
            down: Mutex::default(),
            held: Mutex::default(),
            makes_room: Mutex::default(),
            swept: OnceCell::new(),
            places: Semaphore::new(AT_ONCE),
            next: AtomicU64::new(0),
            settings: Mutex::new(Settings {
                patience: PATIENCE,
                reserve: RESERVE,
            }),
        }))
    }
}

/// How far a file is.
#[derive(Debug, Clone)]
pub enum Progress {
    /// Its server is being asked.
    Asking,
    /// It comes.
    Coming(Coming),
    /// All of it is there, and it is good.
    Whole {
        /// The file.
        coming: Coming,
        /// Whether it is at its place; `None`: that is being seen to.
        kept: Option<bool>,
    },
    /// The kept file is to be given out.
    Kept,
    /// It does not come.
    Failed(Failure),
}

impl Progress {
    /// Whether nothing will follow.
    const fn is_end(&self) -> bool {
        matches!(self, Self::Whole { .. } | Self::Kept | Self::Failed(_))
    }
}

/// What a request is answered from.
#[derive(Debug)]
pub enum Ask {
    /// The kept file.
    Kept,
    /// What is being brought.
    Coming(watch::Receiver<Progress>),
    /// It is not kept, and who asks has nothing brought.
    NotForYou,
}

/// A file of a mirror: what is asked for.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The mirror.
    pub mirror: Mirror,
    /// The clean path that machines ask for.
    pub path: String,
    /// Where it comes from.
    pub url: String,
    /// Who asks first.
    pub host: Option<HostName>,
}

/// The folder of kept files, beneath which they are opened as boot files are.
pub fn root(ctx: &Context) -> PathBuf {
    let config = ctx.config();
    config.snapshot.server.state_dir.join(shelf::FOLDER)
}

impl Wanted {
    /// `below` is the path within the mirror.
    pub fn new(mirror: &Mirror, path: &str, below: &str, host: Option<HostName>) -> Self {
        Self {
            url: format!("{}/{}", mirror.url, encode(below)),
            path: path.to_owned(),
            mirror: mirror.clone(),
            host,
        }
    }
}

impl Mirrors {
    /// Changes what tests want otherwise.
    pub fn set(&self, settings: Settings) {
        *locked(&self.0.settings) = settings;
    }

    /// Answers a request. `may_fetch`: it comes from a known host.
    pub async fn ask(&self, ctx: &Context, wanted: Wanted, may_fetch: bool) -> Ask {
        let (now, shelf) = (ctx.now(), shelf_of(ctx));
        let found = self.known(&shelf, &wanted, now).await;
        if let Some(meta) = &found {
            let stale = wanted.mirror.stale && self.is_down(&wanted.mirror, now);
            if !may_fetch || stale || is_fresh(meta, &wanted.mirror, now) {
                return Ask::Kept;
            }
        }
        if !may_fetch {
            return Ask::NotForYou;
        }
        Ask::Coming(self.fly(ctx, wanted, shelf))
    }

    /// Has a file brought that nobody waits for, unless it is kept.
    pub fn bring(&self, ctx: &Context, wanted: Wanted) {
        drop(self.fly(ctx, wanted, shelf_of(ctx)));
    }

    /// What is known of a kept file, which is used thereby.
    async fn known(&self, shelf: &Shelf, wanted: &Wanted, now: Timestamp) -> Option<Meta> {
        let (shelf, path, url) = (shelf.clone(), wanted.path.clone(), wanted.url.clone());
        // Nobody begins to fetch before that: what is half there goes.
        let of_earlier = shelf.clone();
        let sweep = || async {
            let _ = tokio::task::spawn_blocking(move || of_earlier.sweep()).await;
        };
        self.0.swept.get_or_init(sweep).await;
        let read = tokio::task::spawn_blocking(move || {
            let meta = shelf.read(&path, &url)?;
            shelf.used(&path, &meta, now);
            Some(meta)
        });
        read.await.ok().flatten()
    }

    fn is_down(&self, mirror: &Mirror, now: Timestamp) -> bool {
        let down = locked(&self.0.down);
        down.get(&mirror.path)
            .is_some_and(|since| now.since(*since) < DOWN_FOR && *since <= now)
    }

    /// Joins who brings a file, or begins to.
    fn fly(&self, ctx: &Context, wanted: Wanted, shelf: Shelf) -> watch::Receiver<Progress> {
        let mut flights = locked(&self.0.flights);
        if let Some(flight) = flights.get(&wanted.path) {
            return flight.subscribe();
        }
        let (sender, receiver) = watch::channel(Progress::Asking);
        let sender = Arc::new(sender);
        flights.insert(wanted.path.clone(), Arc::clone(&sender));
        let flight = Flight {
            mirrors: self.clone(),
            ctx: ctx.clone(),
            wanted,
            shelf,
            sender,
        };
        tokio::spawn(async move { flight.run().await });
        receiver
    }
}

impl Mirrors {
    /// Makes room for a file, unless it is larger than all that is kept: then it passes through.
    fn make_room(
        &self,
        shelf: &Shelf,
        mirror: &Mirror,
        incoming: u64,
        reserve: u64,
    ) -> io::Result<()> {
        let _one_at_a_time = locked(&self.0.makes_room);
        let folder = mirror.path.as_str();
        let known = locked(&self.0.held).get(folder).and_then(|held| held.bytes);
        let now_held = match known {
            Some(bytes) => bytes,
            None => self.count(folder, || Ok(shelf.held(folder)))?,
        };
        let more = if incoming > mirror.keep { 0 } else { incoming };
        let fits = now_held.saturating_add(more) <= mirror.keep;
        if fits && shelf.free()? >= incoming.saturating_add(reserve) {
            return Ok(());
        }
        self.count(folder, || {
            shelf.make_room(folder, mirror.keep, more, reserve)
        })?;
        Ok(())
    }

    /// Takes note of what a count of a mirror's bytes finds, and of what is placed while it counts.
    fn count(&self, folder: &str, count: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
        let before = self.with_held(folder, |held| {
            held.bytes = None;
            held.placed
        });
        let counted = count()?;
        Ok(self.with_held(folder, |held| {
            let meanwhile = held.placed.saturating_sub(before);
            *held.bytes.insert(counted.saturating_add(meanwhile))
        }))
    }

    /// Takes note of a file that was placed, where one of `before` bytes was.
    fn placed(&self, folder: &str, before: u64, size: u64) {
        self.with_held(folder, |held| {
            held.placed = held.placed.saturating_add(size);
            if let Some(bytes) = &mut held.bytes {
                *bytes = bytes.saturating_sub(before).saturating_add(size);
            }
        });
    }

    fn with_held<T>(&self, folder: &str, change: impl FnOnce(&mut Held) -> T) -> T {
        change(locked(&self.0.held).entry(folder.to_owned()).or_default())
    }
}

fn shelf_of(ctx: &Context) -> Shelf {
    Shelf::in_state(&ctx.config().snapshot.server.state_dir)
}

/// Whether a kept file need not be asked about. A clock that was set back makes nothing fresh.
fn is_fresh(meta: &Meta, mirror: &Mirror, now: Timestamp) -> bool {
    meta.checked_at <= now && now.since(meta.checked_at) < mirror.fresh_for
}

/// The bringing of one file. Whatever becomes of it, who waits is told, and the next who asks begins anew.
struct Flight {
    mirrors: Mirrors,
    ctx: Context,
    wanted: Wanted,
    shelf: Shelf,
    sender: Arc<watch::Sender<Progress>>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.sender.borrow().is_end() {
            self.end(Progress::Failed(Failure::Stopped));
        }
        locked(&self.mirrors.0.flights).remove(&self.wanted.path);
    }
}

impl Flight {
    fn end(&self, progress: Progress) {
        self.sender.send_replace(progress);
    }

    async fn run(self) {
        let began = Instant::now();
        // Waits its turn; the semaphore is never closed.
        let _place = self.mirrors.0.places.acquire().await;
        let now = self.ctx.now();
        let kept = self.mirrors.known(&self.shelf, &self.wanted, now).await;
        // Somebody else may have brought it since this was asked for.
        if kept
            .as_ref()
            .is_some_and(|meta| is_fresh(meta, &self.wanted.mirror, now))
        {
            return self.end(Progress::Kept);
        }
        match self.bring(kept.as_ref()).await {
            Ok(Brought::Same) => {
                if let Some(meta) = kept {
                    self.note(Meta {
                        checked_at: now,
                        used_at: now,
                        ..meta
                    })
                    .await;
                }
                self.end(Progress::Kept);
            }
            Ok(Brought::Whole(whole)) => {
                // Who waits for the end need not wait for the disk.
                let coming = whole.coming.clone();
                self.end(Progress::Whole { coming, kept: None });
                self.keep(whole, began).await;
            }
            Err(failure) => self.failed(failure, kept.is_some(), now).await,
        }
    }

    async fn bring(&self, kept: Option<&Meta>) -> Result<Brought, Failure> {
        let settings = *locked(&self.mirrors.0.settings);
        let client =
            Client::new(settings.patience).map_err(|error| Failure::Refused(error.to_string()))?;
        let number = self.mirrors.0.next.fetch_add(1, Ordering::Relaxed);
        let order = Order {
            client: &client,
            url: &self.wanted.url,
            path: &self.wanted.path,
            kept,
            answer_within: (kept.is_some() && self.wanted.mirror.stale).then_some(ANSWER_WITHIN),
            shelf: &self.shelf,
            name: &number.to_string(),
        };
        let room = |incoming| {
            let (mirrors, shelf) = (self.mirrors.clone(), self.shelf.clone());
            let (mirror, reserve) = (self.wanted.mirror.clone(), settings.reserve);
            let made = tokio::task::spawn_blocking(move || {
                mirrors.make_room(&shelf, &mirror, incoming, reserve)
            });
            async move { made.await.map_err(io::Error::other)? }.boxed()
        };
        let tell = |coming| {
            self.sender.send_replace(Progress::Coming(coming));
        };
        order.bring(&room, &tell).await
    }

    /// Puts what came in its place.
    async fn keep(&self, whole: Whole, began: Instant) {
        let (now, size) = (self.ctx.now(), whole.coming.have);
        let detail = format!("from {}, sha256 {}", self.wanted.url, whole.sha256);
        let meta = Meta {
            url: self.wanted.url.clone(),
            size,
            sha256: whole.sha256,
            etag: whole.etag,
            last_modified: whole.coming.last_modified.as_deref().map(str::to_owned),
            fetched_at: now,
            checked_at: now,
            used_at: now,
        };
        let passes = size > self.wanted.mirror.keep;
        let (shelf, path, part) = (self.shelf.clone(), self.wanted.path.clone(), whole.part);
        let modified = whole
            .coming
            .last_modified
            .as_deref()
            .map(httpdate::parse_http_date);
        let modified = modified.and_then(Result::ok);
        let placed = tokio::task::spawn_blocking(move || {
            let before = std::fs::metadata(shelf.root().join(&path)).map_or(0, |old| old.len());
            let placed = if passes {
                Err(io::Error::other("it is larger than `keep` of the mirror"))
            } else {
                shelf.place(&part, &path, &meta, modified)
            };
            if placed.is_err() {
                let _ = std::fs::remove_file(&part);
            }
            placed.map(|()| before)
        });
        let coming = whole.coming;
        let mut event = self.event(Kind::MirrorFetched, Reason::Done);
        event.bytes = Some(size);
        event.took_us = u64::try_from(began.elapsed().as_micros()).ok();
        let placed = placed.await.map_err(io::Error::other).flatten();
        self.end(Progress::Whole {
            coming,
            kept: Some(placed.is_ok()),
        });
        match placed {
            Ok(before) => {
                let folder = &self.wanted.mirror.path;
                self.mirrors.placed(folder, before, size);
                event.detail = Some(detail);
            }
            Err(error) => event.detail = Some(format!("{detail}; it is not kept: {error}")),
        }
        self.ctx.journal.append(event);
    }

    async fn failed(&self, failure: Failure, has_kept: bool, now: Timestamp) {
        let gone = matches!(failure, Failure::NotThere(_));
        let given = has_kept && !gone && self.wanted.mirror.stale;
        let reason = match &failure {
            Failure::NotThere(_) => Reason::NotFound,
            Failure::Disk(_) => Reason::DiskFull,
            Failure::TooLate(_) | Failure::Refused(_) | Failure::Changed(_) => Reason::Upstream,
            Failure::Stopped => Reason::Incomplete,
        };
        let mut event = self.event(Kind::MirrorFailed, reason);
        event.detail = Some(if given {
            format!("{failure}; the copy that is kept is given out")
        } else {
            failure.to_string()
        });
        if matches!(failure, Failure::TooLate(_) | Failure::Refused(_)) {
            let path = self.wanted.mirror.path.clone();
            locked(&self.mirrors.0.down).insert(path, now);
        }
        if gone {
            let (shelf, path) = (self.shelf.clone(), self.wanted.path.clone());
            let _ = tokio::task::spawn_blocking(move || shelf.remove(&path)).await;
            let folder = &self.wanted.mirror.path;
            self.mirrors.with_held(folder, |held| held.bytes = None);
        }
        self.end(if given {
            Progress::Kept
        } else {
            Progress::Failed(failure)
        });
        self.ctx.journal.append(event);
    }

    async fn note(&self, meta: Meta) {
        let (shelf, path) = (self.shelf.clone(), self.wanted.path.clone());
        // Should it fail the server is asked again.
        let _ = tokio::task::spawn_blocking(move || shelf.note(&path, &meta)).await;
    }

    fn event(&self, kind: Kind, reason: Reason) -> Event {
        let mut event = Event::new(self.ctx.now(), kind, reason)
            .file(format!("/assets/{}", self.wanted.path))
            .host(self.wanted.host.clone());
        event.generation = self.ctx.config().snapshot.generation;
        event
    }
}

/// Takes away what is kept of mirrors that there are no more; called beside the work.
pub fn forget_others(state_dir: &Path, mirrors: &[Mirror]) {
    let folders: Vec<String> = mirrors.iter().map(|mirror| mirror.path.clone()).collect();
    Shelf::in_state(state_dir).forget_others(&folders);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_placed_during_a_count_is_held_too() {
        let mirrors = Mirrors::default();
        let held = |folder: &str| mirrors.with_held(folder, |held| held.bytes);
        let count = || {
            mirrors.placed("deb", 3, 10);
            mirrors.placed("rpm", 0, 5);
            Ok(30)
        };
        assert_eq!(mirrors.count("deb", count).unwrap(), 40);
        assert_eq!((held("deb"), held("rpm")), (Some(40), None));
        mirrors.placed("deb", 4, 6);
        assert_eq!(held("deb"), Some(42));
        // What was placed before is in the count.
        assert_eq!(mirrors.count("deb", || Ok(36)).unwrap(), 36);
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert!(mirrors.count("deb", full).is_err());
        assert_eq!(held("deb"), None);
    }
}
