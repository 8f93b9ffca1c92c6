//! What every store has to do, over each of them; then what only the one on disk can meet: damage, a
//! second daemon, a full disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bootwright::base::{HardwareAddr, HostName, Timestamp, Token};
use bootwright::record::{InstallState, Lease, LeaseState, Record};
use bootwright::store::{
    AnyStore, Change, CommitError, LeaseChange, LeaseError, OpenError, OpenOutcome, StoreError,
};

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn token(seed: u8) -> Token {
    Token::from_bytes([seed; 16])
}

fn record(name: &str, state: InstallState) -> Record {
    Record {
        state,
        macs: vec![HardwareAddr::ethernet([2, 0, 0, 0, 0, 7])],
        token: Some(token(name.len().to_le_bytes()[0])),
        armed_at: Some(Timestamp::from_secs(1_800_000_000)),
        message: Some("grub-install failed on /dev/vda".to_owned()),
        ..Record::new(host(name))
    }
}

fn change(expect: u64, next: Record) -> Change {
    Change {
        expect,
        next: Arc::new(next),
    }
}

fn lease(last: u8, mac: u8) -> Lease {
    Lease {
        ip: Ipv4Addr::new(10, 99, 0, last),
        mac: HardwareAddr::ethernet([2, 0, 0, 0, 0, mac]),
        state: LeaseState::Bound,
        since: Timestamp::from_secs(1_800_000_000),
        until: Timestamp::from_secs(1_800_003_600),
        name: Some("printer".to_owned()),
    }
}

fn lease_change(expect: u64, next: Lease) -> LeaseChange {
    LeaseChange { expect, next }
}

/// The same of leases: one compare-and-set for each address, whoever has it.
async fn contract_of_leases(store: &AnyStore) {
    assert_eq!(store.leases().await.unwrap(), []);
    assert_eq!(store.lease(lease(200, 1).ip).await.unwrap(), None);
    for (version, mac) in [(0, 1), (1, 2), (2, 2)] {
        let next = lease_change(version, lease(200, mac));
        for wrong in [version + 1, u64::MAX] {
            let next = lease_change(wrong, lease(200, mac));
            let refused = store.commit_lease(&next).await;
            assert_eq!(refused, Err(LeaseError::Conflict(lease(200, 1).ip)));
        }
        assert_eq!(store.commit_lease(&next).await, Ok(version + 1));
        assert!(store.commit_lease(&next).await.is_err(), "twice");
    }
    assert_eq!(
        store.commit_lease(&lease_change(0, lease(99, 3))).await,
        Ok(1)
    );
    let all = store.leases().await.unwrap();
    let read: Vec<_> = all
        .iter()
        .map(|lease| (lease.version, lease.value.clone()))
        .collect();
    assert_eq!(read, [(1, lease(99, 3)), (3, lease(200, 2))]);
    assert_eq!(
        store.lease(lease(99, 1).ip).await.unwrap().as_ref(),
        all.first()
    );
}

/// The suite. The store is new.
async fn contract(store: &AnyStore) {
    contract_of_leases(store).await;
    assert_eq!(store.record(&host("a")).await.unwrap(), None);
    assert_eq!(store.records().await.unwrap(), []);

    // The first change is made from version 0, each further one from the version before.
    let armed = record("a", InstallState::Armed);
    store.commit(&[change(0, armed.clone())]).await.unwrap();
    let read = store.record(&host("a")).await.unwrap().unwrap();
    assert_eq!((read.version, &*read.value), (1, &armed));
    let booting = record("a", InstallState::Booting);
    for wrong in [0, 2, u64::MAX] {
        assert_eq!(
            store.commit(&[change(wrong, booting.clone())]).await,
            Err(CommitError::Conflict(host("a")))
        );
    }
    store.commit(&[change(1, booting.clone())]).await.unwrap();

    // All or nothing, wherever the conflict stands.
    let (b, c) = (
        record("bb", InstallState::Armed),
        record("ccc", InstallState::Armed),
    );
    for changes in [
        [
            change(0, b.clone()),
            change(1, booting.clone()),
            change(0, c.clone()),
        ],
        [
            change(7, b.clone()),
            change(2, armed.clone()),
            change(0, c.clone()),
        ],
        [
            change(0, b.clone()),
            change(0, c.clone()),
            change(9, c.clone()),
        ],
    ] {
        assert!(matches!(
            store.commit(&changes).await,
            Err(CommitError::Conflict(_))
        ));
        assert_eq!(store.records().await.unwrap().len(), 1);
        assert_eq!(
            *store.record(&host("a")).await.unwrap().unwrap().value,
            booting
        );
    }
    store
        .commit(&[change(0, c.clone()), change(0, b.clone())])
        .await
        .unwrap();
    let names: Vec<String> = store
        .records()
        .await
        .unwrap()
        .iter()
        .map(|record| record.value.host.to_string())
        .collect();
    assert_eq!(names, ["a", "bb", "ccc"]);

    // Several changes of one host count up together.
    store
        .commit(&[
            change(1, b.clone()),
            change(2, record("bb", InstallState::Failed)),
        ])
        .await
        .unwrap();
    let read = store.record(&host("bb")).await.unwrap().unwrap();
    assert_eq!((read.version, read.value.state), (3, InstallState::Failed));
    store.commit(&[]).await.unwrap();

    // Tokens.
    assert_eq!(*store.by_token(&token(3)).await.unwrap().unwrap().value, c);
    assert_eq!(store.by_token(&token(99)).await.unwrap(), None);
    let spent = Record { token: None, ..c };
    store.commit(&[change(1, spent)]).await.unwrap();
    assert_eq!(store.by_token(&token(3)).await.unwrap(), None);
}

/// Of many that change the same version, one gets through.
async fn one_of_many(store: AnyStore) {
    let store = Arc::new(store);
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..40_u8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut wins = 0;
            for round in 0..5 {
                let next = Record {
                    token: Some(token(i)),
                    ..record("a", InstallState::Armed)
                };
                if store.commit(&[change(round, next)]).await.is_ok() {
                    wins += 1;
                }
                // Nobody goes on before somebody has won this round.
                while store
                    .record(&host("a"))
                    .await
                    .unwrap()
                    .is_none_or(|read| read.version <= round)
                {
                    tokio::task::yield_now().await;
                }
            }
            wins
        });
    }
    let wins: i32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(wins, 5);
    assert_eq!(store.record(&host("a")).await.unwrap().unwrap().version, 5);
}

fn open(path: &Path) -> (AnyStore, OpenOutcome) {
    AnyStore::open(path).unwrap()
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract(&AnyStore::in_memory()).await;
    one_of_many(AnyStore::in_memory()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (store, outcome) = open(&folder.path().join("bootwright.redb"));
    assert_eq!(outcome, OpenOutcome::New);
    contract(&store).await;
    one_of_many(open(&folder.path().join("other.redb")).0).await;
}

#[tokio::test]
async fn broken_keeps_the_contract_until_it_is_broken() {
    let (store, switches) = AnyStore::broken();
    contract(&store).await;
    let before = store.records().await.unwrap();
    let next = change(1, record("dddd", InstallState::Armed));

    switches.fail_commits(true);
    let failed = store.commit(std::slice::from_ref(&next)).await;
    assert!(matches!(
        failed,
        Err(CommitError::Store(StoreError::Unavailable(_)))
    ));
    assert_eq!(store.records().await.unwrap(), before, "reads go on");
    switches.fail_commits(false);

    switches.conflict(1);
    let first = change(0, record("dddd", InstallState::Armed));
    let conflict = store.commit(std::slice::from_ref(&first)).await;
    assert_eq!(conflict, Err(CommitError::Conflict(host("dddd"))));
    store.commit(&[first]).await.unwrap();

    switches.fail_reads(true);
    assert!(store.record(&host("a")).await.is_err());
    assert!(store.records().await.is_err());
    assert!(store.by_token(&token(1)).await.is_err());
    assert!(store.leases().await.is_err());
}

#[tokio::test]
async fn state_survives_an_end_and_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootwright.redb");
    let (store, _) = open(&path);
    contract(&store).await;
    let before = store.records().await.unwrap();
    let leases = store.leases().await.unwrap();
    assert_eq!(leases.len(), 2);
    drop(store);
    for _ in 0..3 {
        let (store, outcome) = open(&path);
        assert_eq!(outcome, OpenOutcome::Existing { records: 3 });
        assert_eq!(store.records().await.unwrap(), before);
        assert_eq!(store.leases().await.unwrap(), leases);
    }
}

/// The file as it is while a daemon runs, copied: what a kill leaves behind.
#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(&folder.path().join("bootwright.redb"));
    for version in 0..20 {
        let state = if version % 2 == 0 {
            InstallState::Armed
        } else {
            InstallState::Installed
        };
        store
            .commit(&[change(version, record("a", state))])
            .await
            .unwrap();
        let granted = lease_change(version, lease(200, u8::try_from(version).unwrap()));
        store.commit_lease(&granted).await.unwrap();
        let copy = folder.path().join(format!("killed-{version}.redb"));
        std::fs::copy(folder.path().join("bootwright.redb"), &copy).unwrap();
        let (after, outcome) = open(&copy);
        assert_eq!(outcome, OpenOutcome::Existing { records: 1 });
        let read = after.record(&host("a")).await.unwrap().unwrap();
        assert_eq!((read.version, read.value.state), (version + 1, state));
        let read = after.lease(granted.next.ip).await.unwrap().unwrap();
        assert_eq!((read.version, read.value), (version + 1, granted.next));
    }
}

#[tokio::test]
async fn only_its_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootwright.redb");
    let _store = open(&path);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_daemon_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootwright.redb");
    let first = open(&path);
    let second = AnyStore::open(&path).unwrap_err();
    assert_eq!(second, OpenError::Locked(path.clone()));
    assert!(second.to_string().contains(path.to_str().unwrap()));
    drop(first);
    assert!(AnyStore::open(&path).is_ok());
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("state");
    let error = AnyStore::open(&missing.join("bootwright.redb")).unwrap_err();
    assert_eq!(error, OpenError::NoFolder(missing));
}

/// A folder whose files need no disk: hundreds of stores are opened, and each syncs what it writes.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Opens what `mangle` makes of a good file: afterwards the store is as before, or it is empty and what
/// was there lies beside it. Tells whether it was damaged.
async fn survives(good: &[u8], name: &str, mangle: impl FnOnce(&mut Vec<u8>)) -> bool {
    let folder = in_memory();
    let path = folder.path().join("bootwright.redb");
    let mut bytes = good.to_vec();
    mangle(&mut bytes);
    std::fs::write(&path, &bytes).unwrap();
    let (store, outcome) = AnyStore::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let records = store.records().await.unwrap();
    let damaged = match outcome {
        OpenOutcome::Existing { .. } => {
            // An installed host must never come back as one that is to be installed.
            assert_eq!(records.len(), 40, "{name}");
            assert!(
                records
                    .iter()
                    .all(|r| r.version == 2 && r.value.state == InstallState::Installed),
                "{name}: {records:?}"
            );
            false
        }
        OpenOutcome::Damaged { kept_as, why } => {
            assert_eq!(records, [], "{name}");
            assert!(!why.is_empty());
            let file = kept_as.file_name().unwrap().to_str().unwrap();
            assert!(file.starts_with("bootwright.redb.damaged-"), "{file}");
            assert_eq!(
                std::fs::metadata(&kept_as).unwrap().len(),
                bytes.len() as u64,
                "{name}"
            );
            true
        }
        other => panic!("{name}: {other:?}"),
    };
    // It can be used, and is there again at the next start.
    let next = record("zz", InstallState::Armed);
    store.commit(&[change(0, next.clone())]).await.unwrap();
    drop(store);
    let (store, outcome) = open(&path);
    assert!(
        matches!(outcome, OpenOutcome::Existing { .. }),
        "{name}: {outcome:?}"
    );
    assert_eq!(
        *store.record(&host("zz")).await.unwrap().unwrap().value,
        next
    );
    damaged
}

/// A store of forty hosts, installed one after the other: as it is while it is open (what a kill
/// leaves), and as it is after a clean end.
async fn good_file(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    let path = folder.join("bootwright.redb");
    let (store, _) = open(&path);
    // Each host is armed first and installed then: both are somewhere in the file.
    for (version, state) in [(0, InstallState::Armed), (1, InstallState::Installed)] {
        for i in 0..40 {
            let next = record(&format!("web{i:02}"), state);
            store.commit(&[change(version, next)]).await.unwrap();
        }
    }
    let killed = std::fs::read(&path).unwrap();
    drop(store);
    (killed, std::fs::read(path).unwrap())
}

#[tokio::test]
async fn a_truncated_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let (_, good) = good_file(folder.path()).await;
    let len = good.len();
    for keep in [
        0,
        1,
        8,
        9,
        63,
        64,
        320,
        4_095,
        4_096,
        8_192,
        len / 2,
        len - 4_096,
        len - 1,
    ] {
        let damaged = survives(&good, &format!("cut to {keep}"), |bytes| {
            bytes.truncate(keep);
        })
        .await;
        assert!(damaged, "cut to {keep} of {len}");
    }
}

#[tokio::test]
async fn a_garbled_file_never_arms_a_host() {
    let folder = tempfile::tempdir().unwrap();
    let (killed, good) = good_file(folder.path()).await;
    let mut damaged = 0;
    // Each bit of the first bytes, of which one says which of two states holds; every further byte of the
    // header; then a grid over the pages.
    let bits = (0..16).flat_map(|offset| (0..8).map(move |bit| (offset, 1 << bit)));
    let header = (16..320).map(|offset| (offset, 0xff));
    let pages = (320..good.len())
        .step_by(1_531)
        .map(|offset| (offset, 0x01));
    for (offset, bits) in bits.chain(header).chain(pages) {
        let name = format!("byte {offset} ^ {bits:02x} of {}", good.len());
        damaged += u32::from(survives(&good, &name, |bytes| bytes[offset] ^= bits).await);
    }
    assert!(damaged > 50, "{damaged}: the file is hardly looked at");
    for (file, bytes) in [("closed", &good), ("killed", &killed)] {
        for start in (0..bytes.len()).step_by(4_096) {
            let end = (start + 4_096).min(bytes.len());
            survives(bytes, &format!("{file}: page at {start} zeroed"), |bytes| {
                bytes[start..end].fill(0);
            })
            .await;
            survives(
                bytes,
                &format!("{file}: page at {start} garbled"),
                |bytes| {
                    bytes[start + 100..end]
                        .iter_mut()
                        .for_each(|byte| *byte ^= 0x55);
                },
            )
            .await;
        }
    }
    assert!(
        survives(&good, "another file", |bytes| *bytes =
            b"#!/bin/sh\necho\n".repeat(999))
        .await
    );
}

#[tokio::test]
async fn a_file_of_another_version_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bootwright.redb");
    let foreign = redb::Database::create(&path).unwrap();
    let transaction = foreign.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction
        .open_table(meta)
        .unwrap()
        .insert("format", 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(foreign);
    let (_store, outcome) = open(&path);
    let OpenOutcome::Damaged { why, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(why.contains("another version"), "{why}");
}

/// Runs on a disk of 4 MiB, a tmpfs in a mount namespace of a thread's own, which ends with it.
fn on_a_small_disk(work: impl FnOnce(&Path) + Send + 'static) {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};

    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: mounting a file system needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().to_owned();
    let inside = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let size = Some("size=4m");
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), size).unwrap();
        work(&disk);
    });
    inside.join().unwrap();
}

/// Takes all the room that is left.
fn fill(disk: &Path) {
    let _ = std::fs::write(disk.join("hog"), vec![1; 8 << 20]);
}

fn make_room(disk: &Path) {
    std::fs::remove_file(disk.join("hog")).unwrap();
}

fn now<T>(future: impl Future<Output = T>) -> T {
    futures_lite::future::block_on(future)
}

#[test]
fn a_full_disk_refuses_commits_and_recovers() {
    on_a_small_disk(|disk| {
        let path = disk.join("bootwright.redb");
        let (store, _) = open(&path);
        let armed = record("a", InstallState::Armed);
        let installed = record("a", InstallState::Installed);
        now(store.commit(&[change(0, armed.clone())])).unwrap();
        now(store.commit_lease(&lease_change(0, lease(200, 1)))).unwrap();

        fill(disk);
        let named = Lease {
            name: Some("x".repeat(3 << 20)),
            ..lease(201, 2)
        };
        let refused = now(store.commit_lease(&lease_change(0, named)));
        assert!(matches!(refused, Err(LeaseError::Store(_))), "{refused:?}");
        assert_eq!(now(store.leases()).unwrap().len(), 1, "reads go on");
        assert!(store.trouble().is_some());
        // A record so large that it does not fit into what the file already holds.
        let large = Record {
            message: Some("x".repeat(3 << 20)),
            ..record("large", InstallState::Armed)
        };
        let refused = now(store.commit(&[change(1, installed.clone()), change(0, large)]));
        assert!(
            matches!(refused, Err(CommitError::Store(StoreError::Unavailable(_)))),
            "{refused:?}"
        );
        let read = |store: &AnyStore, name| now(store.record(&host(name))).unwrap();
        assert_eq!(*read(&store, "a").unwrap().value, armed, "reads go on");
        assert_eq!(read(&store, "large"), None);

        make_room(disk);
        now(store.commit(&[change(1, installed.clone())])).unwrap();
        drop(store);
        let (store, outcome) = open(&path);
        assert_eq!(outcome, OpenOutcome::Existing { records: 1 });
        let read = read(&store, "a").unwrap();
        assert_eq!((read.version, &*read.value), (2, &installed));
        assert_eq!(now(store.leases()).unwrap().len(), 1);
        let renewed = now(store.commit_lease(&lease_change(1, lease(200, 1))));
        assert_eq!(renewed, Ok(2));
    });
}

/// Nothing is known, and that is said, until there is room.
#[test]
fn a_start_on_a_full_disk_is_made_good_later() {
    on_a_small_disk(|disk| {
        fill(disk);
        let (store, outcome) = open(&disk.join("bootwright.redb"));
        assert!(
            matches!(outcome, OpenOutcome::Unavailable { .. }),
            "{outcome:?}"
        );
        assert!(now(store.record(&host("a"))).is_err());
        let armed = [change(0, record("a", InstallState::Armed))];
        assert!(now(store.commit(&armed)).is_err());
        make_room(disk);
        now(store.commit(&armed)).unwrap();
        assert!(now(store.record(&host("a"))).unwrap().is_some());
    });
}

#[test]
fn a_journal_on_a_full_disk_drops_counts_and_recovers() {
    use bootwright::journal::event::{Kind, Reason};
    use bootwright::journal::{Event, Filter, Journal};

    on_a_small_disk(|disk| {
        let path = disk.join("journal.redb");
        let (journal, _) = Journal::open(&path, 64 << 20);
        let say = |count: u64| {
            for _ in 0..count {
                let event =
                    Event::new(Timestamp::from_secs(1), Kind::InstallProgress, Reason::Done)
                        .host(host("a"))
                        .detail("x".repeat(1_000));
                journal.append(event);
            }
            now(journal.flush());
        };
        say(10);
        assert_eq!(journal.dropped(), 0);
        fill(disk);
        say(4_000);
        assert_eq!(journal.dropped(), 4_001, "and the event that tells it");
        let trouble = now(journal.query(&Filter::default()));
        assert!(trouble.iter().any(|event| event.reason == Reason::DiskFull));
        assert!(trouble.len() > 4_000, "the ring has them still");

        make_room(disk);
        // It is tried again after a few seconds.
        let dropped = journal.dropped();
        let begun = std::time::Instant::now();
        while now(journal.query(&Filter::default()))
            .last()
            .is_none_or(|event| event.kind != Kind::JournalSummary)
        {
            assert!(begun.elapsed().as_secs() < 30, "it did not recover");
            say(1);
        }
        assert!(journal.dropped() >= dropped);
        say(5);
        let last = now(journal.query(&Filter::default()))
            .last()
            .map(|event| event.id);
        drop(journal);
        let (journal, outcome) = Journal::open(&path, 64 << 20);
        assert!(
            matches!(outcome, OpenOutcome::Existing { .. }),
            "{outcome:?}"
        );
        let kept = now(journal.query(&Filter::default()));
        assert_eq!(kept.last().map(|event| event.id), last);
        let summary = kept
            .iter()
            .find(|event| event.kind == Kind::JournalSummary)
            .unwrap();
        assert!(summary.count >= Some(4_000), "{summary:?}");
    });
}
