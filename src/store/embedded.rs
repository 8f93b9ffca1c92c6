//! The store in one file of this machine, `state_dir/bootwright.redb`.
//!
//! - *Keys.* Table `meta`: `format` (of the file). Table `records`: host name → a version byte, then
//!   version and record in postcard. Table `known`: every name and hardware address that a configuration
//!   ever had, in postcard. Table `leases`: address as a number → a version byte, then version and lease
//!   in postcard.
//! - *Atomicity.* One thread owns the file. It takes up what has gathered, judges each set of changes
//!   as a compare-and-set, writes those that pass in one transaction with one `fsync`, and answers each.
//!   When that fails, none of them was made.
//! - *Reading* is from memory, filled at open: it never waits for the disk, and goes on while the disk
//!   refuses.
//! - *Crash.* Two-phase commits: what was answered is on disk, and a mangled newest state is recognised
//!   as damage, where with one-phase commits redb would silently go back to the state before it, in
//!   which a finished host may still have been to be installed.
//! - *A disk that refuses.* redb must be opened again after a failed write. That is tried at each
//!   commit and every two seconds. What was answered is then the truth: should the file hold a change
//!   whose commit was reported as failed, it is taken back.
//! - *Bounds.* One record for each host ever armed, about 500 bytes; about 40 bytes for each host ever
//!   configured; about 60 bytes for each address of a pool that was ever given.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use redb::{Database, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::cache::{Cache, Mark};
use super::file::{self, Trouble};
use super::upgrade::RecordV1;
use super::{
    Change, CommitError, LeaseChange, LeaseError, OpenError, OpenOutcome, Remembered, StoreError,
    Stored, Versioned,
};
use crate::base::{Clock as _, FastMap, HostName, SystemClock, Token, pace};
use crate::record::{Lease, Record};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

const KNOWN: TableDefinition<'_, &[u8], ()> = TableDefinition::new("known");

const LEASES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("leases");

/// What the file holds altogether; another number is another version of this program's.
const FORMAT: u64 = 1;

/// How one record is written.
const RECORD_VERSION: u8 = 2;

/// How one lease is written.
const LEASE_VERSION: u8 = 1;

/// How often a disk that refused is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Sets of changes that share one transaction: thousands of machines that boot at once wait for few of them.
const GROUP: usize = 512;

/// Records in a redb file.
#[derive(Debug)]
pub struct Embedded {
    shared: Arc<RwLock<Shared>>,
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Everything that was committed; `None` while the file has never been read.
    cache: Option<Cache>,
    /// Why the file cannot be used at present.
    trouble: Option<String>,
}

#[derive(Debug)]
enum Order {
    Commit(Commit),
    Lease(LeaseCommit),
    Remember {
        hosts: Vec<Remembered>,
        reply: oneshot::Sender<Result<Vec<bool>, StoreError>>,
    },
}

#[derive(Debug)]
struct Commit {
    changes: Vec<Change>,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

#[derive(Debug)]
struct LeaseCommit {
    change: LeaseChange,
    reply: oneshot::Sender<Result<u64, LeaseError>>,
}

impl Embedded {
    /// Opens or makes the file. See [`OpenOutcome`] for what may be found.
    pub fn open(path: &Path) -> Result<(Self, OpenOutcome), OpenError> {
        let (database, cache, outcome) = match open_or_make(path) {
            Ok((database, cache, outcome)) => (Some(database), Some(cache), outcome),
            Err(Trouble::Hopeless(error)) => return Err(error),
            Err(trouble) => {
                let why = trouble.text();
                (None, None, OpenOutcome::Unavailable { why })
            }
        };
        let trouble = match &outcome {
            OpenOutcome::Unavailable { why } => Some(why.clone()),
            _ => None,
        };
        let shared = Arc::new(RwLock::new(Shared { cache, trouble }));
        let (orders, taken) = channel();
        let writer = Writer {
            path: path.to_owned(),
            shared: Arc::clone(&shared),
            database,
        };
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writer.run(&taken))
            .map_err(|error| OpenError::System {
                path: path.to_owned(),
                why: error.to_string(),
            })?;
        let store = Self {
            shared,
            orders: Some(orders),
            writer: Some(writer),
        };
        Ok((store, outcome))
    }

    /// Why the file cannot be used at present; `None`: it can.
    pub fn trouble(&self) -> Option<String> {
        self.shared
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .trouble
            .clone()
    }

    /// The record of a host.
    pub fn record(&self, host: &HostName) -> Result<Option<Stored>, StoreError> {
        self.read(|cache| cache.get(host))
    }

    /// The version of a host's record; `None`: there is none, or it cannot be read.
    pub fn version(&self, host: &HostName) -> Option<u64> {
        self.read(|cache| cache.version_of(host)).ok().flatten()
    }

    /// The record with this token; compared in constant time.
    pub fn by_token(&self, token: &Token) -> Result<Option<Stored>, StoreError> {
        self.read(|cache| cache.by_token(token))
    }

    /// All records, by host name.
    pub fn records(&self) -> Result<Vec<Stored>, StoreError> {
        self.read(Cache::all)
    }

    /// The hosts that wait for another one, by name.
    pub fn waiting(&self) -> Result<Vec<HostName>, StoreError> {
        self.read(Cache::waiting)
    }

    /// Makes all changes or none; they are on disk when this returns.
    pub async fn commit(&self, changes: &[Change]) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        let changes = changes.to_vec();
        self.order(Order::Commit(Commit { changes, reply }))?;
        answer.await.map_err(|_| closed())?
    }

    /// The lease of an address.
    pub fn lease(&self, ip: Ipv4Addr) -> Result<Option<Versioned<Lease>>, StoreError> {
        self.read(|cache| cache.lease(ip))
    }

    /// All leases, by address.
    pub fn leases(&self) -> Result<Vec<Versioned<Lease>>, StoreError> {
        self.read(Cache::leases)
    }

    /// Changes a lease; it is on disk when this returns.
    pub async fn commit_lease(&self, change: &LeaseChange) -> Result<u64, LeaseError> {
        let (reply, answer) = oneshot::channel();
        let change = change.clone();
        self.order(Order::Lease(LeaseCommit { change, reply }))?;
        answer.await.map_err(|_| closed())?
    }

    /// Remembers hosts for good; for each, whether nothing of it was known before.
    pub async fn remember(&self, hosts: &[Remembered]) -> Result<Vec<bool>, StoreError> {
        let (new, marks) = self.read(|cache| cache.unknown(hosts))?;
        if marks.is_empty() {
            return Ok(new);
        }
        let (reply, answer) = oneshot::channel();
        let hosts = hosts.to_vec();
        self.order(Order::Remember { hosts, reply })?;
        answer.await.map_err(|_| closed())?
    }

    fn order(&self, order: Order) -> Result<(), StoreError> {
        self.orders
            .as_ref()
            .and_then(|orders| orders.send(order).ok())
            .ok_or_else(closed)
    }

    fn read<T>(&self, look: impl FnOnce(&Cache) -> T) -> Result<T, StoreError> {
        let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
        match &shared.cache {
            Some(cache) => Ok(look(cache)),
            None => Err(StoreError::Unavailable(
                shared.trouble.clone().unwrap_or_default(),
            )),
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("it is closed".to_owned())
}

impl Drop for Embedded {
    /// Waits until the file is closed, so that it can be opened again at once.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The thread that owns the file.
struct Writer {
    path: PathBuf,
    shared: Arc<RwLock<Shared>>,
    database: Option<Database>,
}

impl Writer {
    fn run(mut self, taken: &Receiver<Order>) {
        // What was taken up while gathering and is no commit.
        let mut next = None;
        loop {
            let order = match next.take() {
                Some(order) => Ok(order),
                None => taken.recv_timeout(RETRY),
            };
            match order {
                Ok(Order::Commit(first)) => {
                    let mut commits = vec![first];
                    while commits.len() < GROUP && next.is_none() {
                        match taken.try_recv() {
                            Ok(Order::Commit(commit)) => commits.push(commit),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.work(commits);
                }
                Ok(Order::Lease(first)) => {
                    let mut leases = vec![first];
                    while leases.len() < GROUP && next.is_none() {
                        match taken.try_recv() {
                            Ok(Order::Lease(lease)) => leases.push(lease),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.lease(leases);
                }
                Ok(Order::Remember { hosts, reply }) => {
                    let _ = reply.send(self.remember(&hosts));
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.database.is_none() {
                        let _ = self.reopen();
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.close();
    }

    /// Judges and writes what has gathered, and answers it.
    fn work(&mut self, orders: Vec<Commit>) {
        if self.database.is_none()
            && let Err(trouble) = self.reopen()
        {
            let error = CommitError::Store(StoreError::Unavailable(trouble.text()));
            for order in orders {
                let _ = order.reply.send(Err(error.clone()));
            }
            return;
        }
        let mut staged: Vec<Stored> = Vec::new();
        let mut versions = FastMap::default();
        let mut waiting = Vec::new();
        {
            let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            let nothing = Cache::default();
            let cache = shared.cache.as_ref().unwrap_or(&nothing);
            for order in orders {
                match cache.check_after(&versions, &order.changes) {
                    Ok(next) => {
                        let made = next
                            .iter()
                            .map(|next| (next.value.host.clone(), next.version));
                        versions.extend(made);
                        staged.extend(next);
                        waiting.push(order.reply);
                    }
                    Err(error) => {
                        let _ = order.reply.send(Err(error));
                    }
                }
            }
        }
        let written = if staged.is_empty() {
            Ok(())
        } else {
            self.write(&staged)
        };
        let answer = match written {
            Ok(()) => {
                self.with_shared(|shared| {
                    let cache = shared.cache.get_or_insert_default();
                    for record in staged {
                        cache.put(record);
                    }
                });
                Ok(())
            }
            Err(trouble) => {
                // redb refuses everything after a failed write; it has to be opened again.
                self.close();
                let why = trouble.text();
                self.with_shared(|shared| shared.trouble = Some(why.clone()));
                Err(CommitError::Store(StoreError::Unavailable(why)))
            }
        };
        for reply in waiting {
            let _ = reply.send(answer.clone());
        }
    }

    /// Judges and writes the leases that have gathered, and answers each.
    fn lease(&mut self, orders: Vec<LeaseCommit>) {
        if self.database.is_none()
            && let Err(trouble) = self.reopen()
        {
            let error = LeaseError::Store(StoreError::Unavailable(trouble.text()));
            for order in orders {
                let _ = order.reply.send(Err(error.clone()));
            }
            return;
        }
        let mut staged: Vec<Versioned<Lease>> = Vec::new();
        let mut waiting = Vec::new();
        {
            let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            let nothing = Cache::default();
            let cache = shared.cache.as_ref().unwrap_or(&nothing);
            for order in orders {
                match cache.check_lease(&staged, &order.change) {
                    Ok(next) => {
                        waiting.push((next.version, order.reply));
                        staged.push(next);
                    }
                    Err(error) => {
                        let _ = order.reply.send(Err(error));
                    }
                }
            }
        }
        let written = match &self.database {
            _ if staged.is_empty() => Ok(()),
            Some(database) => encode_leases(&staged).and_then(|bytes| {
                file::guarded(|| {
                    transact(database, |transaction| put_leases(transaction, &bytes))
                        .map_err(|error| Trouble::of(&self.path, error))
                })
            }),
            None => Err(Trouble::Disk("it is not open".to_owned())),
        };
        let result = written.map_err(|trouble| {
            self.close();
            let why = trouble.text();
            self.with_shared(|shared| shared.trouble = Some(why.clone()));
            LeaseError::Store(StoreError::Unavailable(why))
        });
        if result.is_ok() {
            self.with_shared(|shared| {
                let cache = shared.cache.get_or_insert_default();
                for lease in staged {
                    cache.put_lease(lease);
                }
            });
        }
        for (version, reply) in waiting {
            let _ = reply.send(result.clone().map(|()| version));
        }
    }

    /// Writes down hosts for good. Judged here, where nothing comes between.
    fn remember(&mut self, hosts: &[Remembered]) -> Result<Vec<bool>, StoreError> {
        let unavailable = |trouble: &Trouble| StoreError::Unavailable(trouble.text());
        if self.database.is_none() {
            self.reopen().map_err(|trouble| unavailable(&trouble))?;
        }
        let (new, marks) = {
            let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            let nothing = Cache::default();
            shared.cache.as_ref().unwrap_or(&nothing).unknown(hosts)
        };
        let written = match &self.database {
            Some(database) => encode_marks(&marks).and_then(|bytes| {
                file::guarded(|| {
                    transact(database, |transaction| put_marks(transaction, &bytes))
                        .map_err(|error| Trouble::of(&self.path, error))
                })
            }),
            None => Err(Trouble::Disk("it is not open".to_owned())),
        };
        match written {
            Ok(()) => {
                self.with_shared(|shared| shared.cache.get_or_insert_default().remember(marks));
                Ok(new)
            }
            Err(trouble) => {
                self.close();
                self.with_shared(|shared| shared.trouble = Some(trouble.text()));
                Err(unavailable(&trouble))
            }
        }
    }

    fn write(&self, records: &[Stored]) -> Result<(), Trouble> {
        let Some(database) = &self.database else {
            return Err(Trouble::Disk("it is not open".to_owned()));
        };
        let bytes = records
            .iter()
            .map(|record| Ok((record.value.host.as_str(), encode(record)?)))
            .collect::<Result<Vec<_>, Trouble>>()?;
        file::guarded(|| {
            transact(database, |transaction| {
                let mut table = transaction.open_table(RECORDS)?;
                for (host, bytes) in &bytes {
                    table.insert(*host, bytes.as_slice())?;
                }
                Ok(())
            })
            .map_err(|error| Trouble::of(&self.path, error))
        })
    }

    /// Lets go of the file. redb writes at its end, which may fail as well.
    fn close(&mut self) {
        let database = self.database.take();
        let _ = file::guarded(move || {
            drop(database);
            Ok(())
        });
    }

    /// Opens the file again and brings it to what was answered.
    fn reopen(&mut self) -> Result<(), Trouble> {
        let result = self.try_reopen();
        let trouble = result.as_ref().err().map(Trouble::text);
        self.with_shared(|shared| shared.trouble = trouble);
        result
    }

    fn try_reopen(&mut self) -> Result<(), Trouble> {
        let known = {
            let shared = self.shared.read().unwrap_or_else(PoisonError::into_inner);
            shared.cache.clone()
        };
        let Some(known) = known else {
            // Never read so far: as at the start.
            let (database, cache, _) = open_or_make(&self.path)?;
            self.database = Some(database);
            self.with_shared(|shared| shared.cache = Some(cache));
            return Ok(());
        };
        let database = file::open(&self.path)?;
        let stored = file::guarded(|| load(&self.path, &database))?;
        // A file that can be read may still refuse to be written: that it is well has to be seen.
        file::guarded(|| {
            transact(&database, |transaction| {
                transaction.open_table(META)?.insert("format", FORMAT)?;
                Ok(())
            })
            .map_err(|error| Trouble::of(&self.path, error))
        })?;
        let wanted = known.all();
        let same = stored.len() == known.len()
            && wanted
                .iter()
                .all(|record| stored.get(&record.value.host).as_ref() == Some(record))
            && stored.known() == known.known()
            && stored.leases() == known.leases();
        if !same {
            let leases = encode_leases(&known.leases())?;
            let marks = encode_marks(known.known())?;
            let bytes = wanted
                .iter()
                .map(|record| Ok((record.value.host.as_str(), encode(record)?)))
                .collect::<Result<Vec<_>, Trouble>>()?;
            file::guarded(|| {
                transact(&database, |transaction| {
                    let mut table = transaction.open_table(RECORDS)?;
                    table.retain(|_, _| false)?;
                    for (host, bytes) in &bytes {
                        table.insert(*host, bytes.as_slice())?;
                    }
                    transaction.open_table(KNOWN)?.retain(|_, ()| false)?;
                    transaction.open_table(LEASES)?.retain(|_, _| false)?;
                    put_leases(transaction, &leases)?;
                    put_marks(transaction, &marks)
                })
                .map_err(|error| Trouble::of(&self.path, error))
            })?;
        }
        self.database = Some(database);
        Ok(())
    }

    fn with_shared(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.shared.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// One durable transaction.
fn transact(
    database: &Database,
    work: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    work(&transaction)?;
    transaction.commit()?;
    Ok(())
}

fn encode_marks<'a>(marks: impl IntoIterator<Item = &'a Mark>) -> Result<Vec<Vec<u8>>, Trouble> {
    marks
        .into_iter()
        .map(postcard::to_stdvec)
        .collect::<Result<_, _>>()
        .map_err(|error| Trouble::Disk(format!("a name cannot be written: {error}")))
}

fn put_marks(transaction: &redb::WriteTransaction, marks: &[Vec<u8>]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(KNOWN)?;
    for (count, mark) in marks.iter().enumerate() {
        pace::give_way(count);
        table.insert(mark.as_slice(), ())?;
    }
    Ok(())
}

fn encode_leases(leases: &[Versioned<Lease>]) -> Result<Vec<(u32, Vec<u8>)>, Trouble> {
    leases
        .iter()
        .map(|lease| {
            let written = (lease.version, &lease.value);
            let bytes = postcard::to_extend(&written, vec![LEASE_VERSION])
                .map_err(|error| Trouble::Disk(format!("a lease cannot be written: {error}")))?;
            Ok((u32::from(lease.value.ip), bytes))
        })
        .collect()
}

fn put_leases(
    transaction: &redb::WriteTransaction,
    leases: &[(u32, Vec<u8>)],
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(LEASES)?;
    for (ip, bytes) in leases {
        table.insert(*ip, bytes.as_slice())?;
    }
    Ok(())
}

fn decode_lease(ip: Ipv4Addr, bytes: &[u8]) -> Result<Versioned<Lease>, String> {
    let Some((&LEASE_VERSION, bytes)) = bytes.split_first() else {
        return Err(format!(
            "the lease of {ip} was written by another version of bootwright"
        ));
    };
    match postcard::take_from_bytes::<(u64, Lease)>(bytes) {
        Ok(((version, value), [])) if value.ip == ip => Ok(Versioned { version, value }),
        Ok(_) => Err(format!("the lease of {ip} is not its own")),
        Err(error) => Err(format!("the lease of {ip} cannot be read: {error}")),
    }
}

fn open_or_make(path: &Path) -> Result<(Database, Cache, OpenOutcome), Trouble> {
    let make = || {
        file::create(path, |database| {
            transact(database, |transaction| {
                transaction.open_table(META)?.insert("format", FORMAT)?;
                transaction.open_table(RECORDS)?;
                Ok(())
            })
            .map_err(|error| Trouble::of(path, error))
        })
    };
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
    {
        return Ok((make()?, Cache::default(), OpenOutcome::New));
    }
    let read = file::open(path).and_then(|database| {
        let cache = file::guarded(|| load(path, &database))?;
        Ok((database, cache))
    });
    match read {
        Ok((database, cache)) => {
            let records = cache.len();
            Ok((database, cache, OpenOutcome::Existing { records }))
        }
        Err(Trouble::Damaged(why)) => {
            let kept_as =
                file::set_aside(path, &why, SystemClock.now()).map_err(Trouble::Hopeless)?;
            let outcome = OpenOutcome::Damaged { kept_as, why };
            Ok((make()?, Cache::default(), outcome))
        }
        Err(trouble) => Err(trouble),
    }
}

/// Reads everything. One record that cannot be read makes the whole file a damaged one: what else in it
/// is wrong cannot be known.
fn load(path: &Path, database: &Database) -> Result<Cache, Trouble> {
    let read = || -> Result<Result<Cache, String>, redb::Error> {
        let transaction = database.begin_read()?;
        let format = match transaction.open_table(META) {
            Ok(table) => table.get("format")?.map(|value| value.value()),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        match format {
            Some(FORMAT) => {}
            Some(other) => {
                return Ok(Err(format!(
                    "it was written by another version of bootwright (format {other})"
                )));
            }
            None => return Ok(Err("it is no store of bootwright's".to_owned())),
        }
        let mut cache = Cache::default();
        for entry in transaction.open_table(RECORDS)?.iter()? {
            let (key, value) = entry?;
            match decode(key.value(), value.value()) {
                Ok(record) => cache.put(record),
                Err(why) => return Ok(Err(why)),
            }
        }
        // Tables that are not there: an earlier version's.
        match transaction.open_table(KNOWN) {
            Ok(known) => {
                for entry in known.iter()? {
                    let (mark, _) = entry?;
                    match postcard::from_bytes::<Mark>(mark.value()) {
                        Ok(mark) => cache.remember([mark]),
                        Err(error) => {
                            return Ok(Err(format!("a remembered name cannot be read: {error}")));
                        }
                    }
                }
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match transaction.open_table(LEASES) {
            Ok(leases) => {
                for entry in leases.iter()? {
                    let (ip, bytes) = entry?;
                    match decode_lease(Ipv4Addr::from(ip.value()), bytes.value()) {
                        Ok(lease) => cache.put_lease(lease),
                        Err(why) => return Ok(Err(why)),
                    }
                }
            }
            Err(redb::TableError::TableDoesNotExist(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Ok(cache))
    };
    read()
        .map_err(|error| Trouble::of(path, error))?
        .map_err(Trouble::Damaged)
}

#[derive(Serialize)]
struct Written<'a>(u64, &'a Record);

#[derive(Deserialize)]
struct Read<R>(u64, R);

fn encode(record: &Stored) -> Result<Vec<u8>, Trouble> {
    postcard::to_extend(
        &Written(record.version, &record.value),
        vec![RECORD_VERSION],
    )
    .map_err(|error| Trouble::Disk(format!("a record cannot be written: {error}")))
}

fn decode(host: &str, bytes: &[u8]) -> Result<Stored, String> {
    match bytes.split_first() {
        Some((&RECORD_VERSION, bytes)) => read::<Record>(host, bytes),
        Some((1, bytes)) => read::<RecordV1>(host, bytes),
        Some((version, _)) => Err(format!(
            "the record of {host} was written by another version of bootwright ({version})"
        )),
        None => Err(format!("the record of {host} is empty")),
    }
}

fn read<R>(host: &str, bytes: &[u8]) -> Result<Stored, String>
where
    R: serde::de::DeserializeOwned + Into<Record>,
{
    match postcard::take_from_bytes::<Read<R>>(bytes) {
        Ok((Read(version, value), [])) => {
            let value: Record = value.into();
            if value.host.as_str() == host {
                let value = Arc::new(value);
                Ok(Versioned { version, value })
            } else {
                Err(format!("the record of {host} is not its own"))
            }
        }
        Ok(_) => Err(format!("the record of {host} is longer than a record")),
        Err(error) => Err(format!("the record of {host} cannot be read: {error}")),
    }
}
