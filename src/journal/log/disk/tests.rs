use super::*;
use crate::base::HostName;

const HOSTS: u64 = 7;

/// Events with these ids, of each host in turn.
fn events(ids: std::ops::Range<u64>) -> Vec<Arc<Event>> {
    let event = |id: u64| {
        let host: HostName = format!("web{}", id % HOSTS).parse().unwrap();
        let mut event =
            Event::new(Timestamp::from_secs(1), Kind::DhcpOffer, Reason::Done).host(host);
        event.id = id;
        Arc::new(event)
    };
    ids.map(event).collect()
}

fn write(disk: &mut Disk, events: &[Arc<Event>]) {
    let mut dropped = 0;
    assert_eq!(disk.write(events, &mut dropped), []);
    assert_eq!(dropped, 0);
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

/// The id up to which `of` is complete, and how much it holds.
fn index_of(disk: &Disk) -> (u64, u64) {
    let found = disk.reader.try_read(|transaction| {
        let complete = indexed(&transaction.open_table(META)?)?;
        Ok((complete.unwrap(), transaction.open_table(OF)?.len()?))
    });
    found.unwrap()
}

/// Each host's events are found, whatever part of them is asked for.
fn each_is_found(disk: &Disk, last: u64) {
    for host in 0..HOSTS {
        let name = format!("web{host}");
        let all: Vec<u64> = (1..=last).filter(|id| id % HOSTS == host).collect();
        let find = |after, before, limit| ids(&disk.reader.newest_of(&name, after, before, limit));
        assert_eq!(find(0, last + 1, usize::MAX), all);
        for limit in [0, 1, 3, all.len()] {
            assert_eq!(
                find(0, last + 1, limit),
                all[all.len() - limit.min(all.len())..]
            );
        }
        let middle = last / 2;
        let (early, late): (Vec<u64>, Vec<u64>) = all.iter().partition(|id| **id < middle);
        assert_eq!(find(0, middle, usize::MAX), early);
        assert_eq!(find(middle - 1, last + 1, usize::MAX), late);
    }
}

#[test]
fn a_flood_is_found_before_it_is_indexed_and_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (mut disk, _, _) = Disk::open(&path, 1 << 30);
    disk.unindexed = 0;
    // A few are indexed with their commit.
    write(&mut disk, &events(1..FEW as u64 + 1));
    let few = FEW as u64;
    assert_eq!(index_of(&disk), (few, few));
    each_is_found(&disk, few);

    // One of a flood has come late: the writer itself has told something meanwhile.
    let flood = events(few + 1..1_001);
    let (late, rest) = flood.split_first().unwrap();
    write(&mut disk, rest);
    assert_eq!(index_of(&disk), (few, few));
    write(&mut disk, std::slice::from_ref(late));
    each_is_found(&disk, 1_000);

    // It is not indexed while more may come; a restart changes nothing.
    disk.index();
    assert_eq!(index_of(&disk).0, few);
    drop(disk);
    let (mut disk, next, _) = Disk::open(&path, 1 << 30);
    assert_eq!(next, 1_001);
    each_is_found(&disk, 1_000);
    disk.unindexed_at = Instant::now().checked_sub(INDEX_AFTER).unwrap();
    disk.index();
    assert_eq!((index_of(&disk), disk.unindexed), ((1_000, 1_000), 0));
    each_is_found(&disk, 1_000);

    // What comes behind what is indexed already is put in at once.
    write(&mut disk, &events(1_002..1_012));
    write(&mut disk, &events(1_001..1_002));
    assert_eq!(index_of(&disk), (1_011, 1_011));
    each_is_found(&disk, 1_011);
}

#[test]
fn enough_of_a_flood_is_indexed_at_once_in_steps() {
    let folder = tempfile::tempdir().unwrap();
    let (mut disk, _, _) = Disk::open(&folder.path().join("journal.redb"), 1 << 30);
    disk.unindexed = 0;
    disk.index_at = INDEX_AT_ONCE;
    let count = INDEX_AT_ONCE as u64 + 1_000;
    for first in (1..=count).step_by(1_000) {
        write(&mut disk, &events(first..(first + 1_000).min(count + 1)));
    }
    disk.index();
    let step = INDEX_AT_ONCE as u64;
    assert_eq!(index_of(&disk).0, step);
    assert_eq!(disk.unindexed as u64, count - step);
    each_is_found(&disk, count);
    // The rest when there is time.
    disk.index();
    assert_eq!(index_of(&disk).0, step);
    while disk.unindexed > 0 {
        disk.unindexed_at = Instant::now().checked_sub(INDEX_AFTER).unwrap();
        disk.index();
    }
    assert_eq!(index_of(&disk), (count, count));
}

#[test]
fn a_file_of_an_earlier_version_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (mut disk, _, _) = Disk::open(&path, 1 << 30);
    disk.unindexed = 0;
    write(&mut disk, &events(1..31));
    let database = disk.reader.get().unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .remove("indexed")
        .unwrap();
    transaction.commit().unwrap();
    each_is_found(&disk, 30);
    write(&mut disk, &events(31..201));
    assert_eq!(index_of(&disk), (30, 30));
    each_is_found(&disk, 200);
}
