use super::*;
use crate::base::HardwareAddr;

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

fn mac(n: u8) -> HardwareAddr {
    HardwareAddr::ethernet([2, 0, 0, 0, 0, n])
}

fn event(secs: i64, kind: Kind) -> Event {
    Event::new(at(secs), kind, Reason::Done)
}

/// A journal whose ids are easy to read.
fn open(path: &Path, keep: u64) -> (Journal, OpenOutcome) {
    Journal::open_from(path, keep, 1)
}

fn of(name: &str) -> Filter {
    Filter {
        host: Some(host(name)),
        ..Filter::default()
    }
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn ids_count_on_and_events_come_back_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let mut all = Vec::new();
    for run in 0..3 {
        let (journal, outcome) = open(&path, 1 << 20);
        if run == 0 {
            assert_eq!(outcome, OpenOutcome::New);
        } else {
            assert_eq!(outcome, OpenOutcome::Existing { records: run * 10 });
        }
        let mut live = journal.follow();
        for i in 0..10 {
            let mut event = event(i, Kind::HttpAsset)
                .host(host("web01"))
                .mac(mac(1))
                .file("debian/12/linux")
                .detail("è");
            event.stage = Some("ipxe".into());
            event.xid = Some(0xdead_beef);
            journal.append(event);
            all.push(live.recv().await.unwrap().as_ref().clone());
        }
        assert_eq!(journal.query(&Filter::default()).await, all);
        assert_eq!(journal.dropped(), 0);
    }
    assert_eq!(ids(&all), (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn every_kind_and_reason_and_any_address_survive_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = open(&path, 1 << 24);
    for (i, kind) in Kind::ALL.iter().enumerate() {
        let reason = Reason::ALL[i % Reason::ALL.len()];
        let mut event = Event::new(at(1), *kind, reason).mac(HardwareAddr::new(32, &[0x80; 16]));
        event.count = Some(u64::MAX);
        journal.append(event);
    }
    for reason in Reason::ALL {
        journal.append(Event::new(at(1), Kind::InstallNote, *reason));
    }
    let before = journal.query(&Filter::default()).await;
    drop(journal);
    let (journal, _) = open(&path, 1 << 24);
    assert_eq!(journal.query(&Filter::default()).await, before);
    assert_eq!(before.len(), Kind::ALL.len() + Reason::ALL.len());
}

#[tokio::test]
async fn a_flush_puts_on_disk_what_a_kill_would_lose() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = open(&path, 1 << 20);
    for i in 0..500 {
        journal.append(event(i, Kind::DhcpOffer).host(host("web01")));
    }
    journal.flush().await;
    let copy = folder.path().join("killed.redb");
    std::fs::copy(&path, &copy).unwrap();
    let (after, outcome) = open(&copy, 1 << 20);
    assert_eq!(outcome, OpenOutcome::Existing { records: 500 });
    assert_eq!(
        after.query(&Filter::default()).await,
        journal.query(&Filter::default()).await
    );
}

#[tokio::test]
async fn a_host_is_found_with_what_names_only_its_hardware_address() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    for reopened in [false, true] {
        let (journal, _) = open(&path, 1 << 20);
        if !reopened {
            journal.append(event(1, Kind::DhcpMalformed).mac(mac(1)));
            journal.append(event(2, Kind::DhcpOffer).mac(mac(1)).host(host("web01")));
            journal.append(event(3, Kind::DhcpOffer).mac(mac(2)).host(host("web02")));
            journal.append(event(4, Kind::DhcpIgnored).mac(mac(3)));
            journal.append(event(5, Kind::ConfigReloaded));
            journal.append(event(6, Kind::HttpRefused).mac(mac(1)));
        }
        assert_eq!(ids(&journal.query(&of("web01")).await), [1, 2, 6]);
        assert_eq!(ids(&journal.query(&of("web02")).await), [3]);
        assert_eq!(ids(&journal.query(&of("web03")).await), [0_u64; 0]);
        let newest = Filter {
            limit: Some(2),
            ..of("web01")
        };
        assert_eq!(ids(&journal.query(&newest).await), [2, 6]);
        let later = Filter {
            after: Some(2),
            ..of("web01")
        };
        assert_eq!(ids(&journal.query(&later).await), [6]);
        let some = Filter {
            after: Some(3),
            limit: Some(2),
            ..Filter::default()
        };
        assert_eq!(ids(&journal.query(&some).await), [5, 6]);
        let none = Filter {
            after: Some(6),
            ..Filter::default()
        };
        assert_eq!(ids(&journal.query(&none).await), [0_u64; 0]);
        let none = Filter {
            after: Some(u64::MAX),
            ..of("web01")
        };
        assert_eq!(ids(&journal.query(&none).await), [0_u64; 0]);
    }
}

#[tokio::test]
async fn what_left_the_ring_is_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder.path().join("journal.redb"), 1 << 30);
    let count = RING as u64 + 1_000;
    for i in 0..count {
        let name = if i % 1_000 == 0 { "rare" } else { "often" };
        journal.append(event(1, Kind::InstallProgress).host(host(name)));
        if i % 10_000 == 0 {
            journal.flush().await;
        }
    }
    journal.flush().await;
    assert_eq!(journal.dropped(), 0);
    let all = journal.query(&Filter::default()).await;
    assert_eq!(ids(&all), (1..=count).collect::<Vec<_>>());
    let rare: Vec<u64> = (0..count).step_by(1_000).map(|i| i + 1).collect();
    assert_eq!(ids(&journal.query(&of("rare")).await), rare);
    let newest = Filter {
        limit: Some(3),
        ..of("rare")
    };
    assert_eq!(ids(&journal.query(&newest).await), rare[rare.len() - 3..]);
}

#[tokio::test]
async fn the_file_stays_near_its_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let keep = 4 << 20;
    let (journal, _) = open(&path, keep);
    let mut last = 0;
    for round in 0..40 {
        for i in 0..1_500_u16 {
            last += 1;
            journal.append(
                event(round, Kind::DhcpOffer)
                    .mac(mac((i % 200).to_le_bytes()[0]))
                    .host(host(&format!("web{:03}", i % 200)))
                    .file("ipxe/undionly.kpxe")
                    .detail("the host's reservation"),
            );
        }
        journal.flush().await;
    }
    drop(journal);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < keep * 2, "{size}");
    let (journal, _) = open(&path, keep);
    let kept = journal.query(&Filter::default()).await;
    assert_eq!(
        kept.last().map(|event| event.id),
        Some(last),
        "the oldest go first"
    );
    assert!(kept.len() > 5_000, "{}", kept.len());
    let first = kept[0].id;
    assert_eq!(ids(&kept), (first..=last).collect::<Vec<_>>());
    // Nothing is left of what was removed.
    let of_one = journal.query(&of("web007")).await;
    assert_eq!(
        of_one,
        kept.iter()
            .filter(|e| e.host == Some(host("web007")))
            .cloned()
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_flood_is_counted_and_changes_of_state_are_not() {
    let journal = Journal::in_memory();
    for i in 0..10_000_u16 {
        journal.append(event(1, Kind::DhcpIgnored).mac(mac((i % 7).to_le_bytes()[0])));
        if i % 10 == 0 {
            journal.append(event(1, Kind::InstallProgress).host(host("web01")));
        }
    }
    journal.flush().await;
    let all = journal.query(&Filter::default()).await;
    let count = |kind| all.iter().filter(|event| event.kind == kind).count() as u64;
    assert_eq!(count(Kind::InstallProgress), 1_000);
    let summaries = all
        .iter()
        .filter(|event| event.kind == Kind::JournalSummary)
        .filter_map(|event| event.count)
        .sum::<u64>();
    assert_eq!(count(Kind::DhcpIgnored) + summaries, 10_000);
    assert!(count(Kind::DhcpIgnored) <= 2 * flood::PER_SECOND);
}

#[tokio::test]
async fn a_damaged_journal_is_set_aside_and_writing_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    std::fs::write(&path, b"not a journal at all".repeat(1_000)).unwrap();
    let (journal, outcome) = open(&path, 1 << 20);
    let OpenOutcome::Damaged { kept_as, .. } = outcome else {
        panic!("{outcome:?}")
    };
    assert!(kept_as.exists());
    journal.append(event(1, Kind::ServerStarted));
    drop(journal);
    assert_eq!(open(&path, 1 << 20).1, OpenOutcome::Existing { records: 1 });
}

#[tokio::test]
async fn without_a_disk_events_stay_in_memory_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("state");
    let (journal, outcome) = open(&missing.join("journal.redb"), 1 << 20);
    assert!(
        matches!(outcome, OpenOutcome::Unavailable { .. }),
        "{outcome:?}"
    );
    for i in 0..5 {
        journal.append(event(i, Kind::DhcpOffer));
    }
    journal.flush().await;
    assert_eq!(journal.dropped(), 5);
    assert_eq!(journal.query(&Filter::default()).await.len(), 5);
}

#[tokio::test]
async fn no_token_is_kept_in_full() {
    let journal = Journal::in_memory();
    let token = Token::from_bytes([0x5a; 16]);
    let url = format!(
        "http://10.99.0.2:8080/answers/{}/preseed.cfg",
        token.reveal()
    );
    journal.append(
        event(1, Kind::HttpAnswer).file(format!("/answers/{}/preseed.cfg", token.reveal())),
    );
    journal.append(
        event(1, Kind::InstallFailed)
            .detail(format!("wget {url}: 500, then /report/{}", token.reveal())),
    );
    journal.append(event(1, Kind::HttpAsset).file("debian/12/x86_64/linux"));
    let all = journal.query(&Filter::default()).await;
    assert!(!format!("{all:?}").contains(token.reveal()));
    assert_eq!(
        all[0].file.as_deref(),
        Some(format!("/answers/{token}/preseed.cfg").as_str())
    );
    assert_eq!(
        all[1].detail,
        Some(format!(
            "wget http://10.99.0.2:8080/answers/{token}/preseed.cfg: 500, then /report/{token}"
        ))
    );
    assert_eq!(all[2].file.as_deref(), Some("debian/12/x86_64/linux"));
}

#[test]
fn works_without_a_runtime() {
    let journal = Journal::in_memory();
    journal.append(event(1, Kind::ServerStarted));
    futures_lite::future::block_on(journal.flush());
    let all = futures_lite::future::block_on(journal.query(&Filter::default()));
    assert_eq!(ids(&all), [1]);
}

#[tokio::test]
async fn pages_go_through_file_and_ring_and_miss_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = open(&path, 1 << 24);
    for i in 0..10 {
        journal.append(event(i, Kind::InstallProgress));
    }
    drop(journal);
    let (journal, _) = Journal::open_from(&path, 1 << 24, 100);
    assert_eq!(journal.begins_at(), 100);
    assert_eq!(*journal.settled().borrow(), 99);
    for i in 0..10 {
        journal.append(event(i, Kind::InstallProgress));
    }
    let mut settled = journal.settled();
    settled.wait_for(|id| *id == 109).await.unwrap();
    for limit in [1, 3, 10, 11, 20, 100] {
        let (mut after, mut all) = (0, Vec::new());
        while after < 109 {
            let page = journal.page(after, 109, limit).await.unwrap();
            assert!(page.events.len() <= limit * 2 && page.through > after);
            all.extend(page.events.iter().map(|event| event.id));
            after = page.through;
        }
        assert_eq!(
            all,
            (1..=10).chain(100..=109).collect::<Vec<_>>(),
            "{limit}"
        );
    }
    let page = journal.page(5, 102, 100).await.unwrap();
    assert_eq!(page.events.len(), 8);
    assert_eq!(page.through, 102);
    let one = journal.page(6, 7, 1).await.unwrap();
    assert_eq!(one.events[0].id, 7);
    assert_eq!(journal.earlier_end().await, Some(at(9)));
    // Where nothing was written before a kill, the file's own age.
    let (journal, _) = Journal::open(&folder.path().join("new.redb"), 1 << 20);
    let made = journal.earlier_end().await.unwrap();
    journal.append(event(1, Kind::InstallUp));
    journal.flush().await;
    assert_eq!(journal.earlier_end().await, Some(made));
    assert!(SystemClock.now().since(made) < std::time::Duration::from_secs(60));
}

#[tokio::test]
async fn ids_never_come_again_whatever_becomes_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let mut last = 0;
    for _ in 0..3 {
        let (journal, _) = Journal::open(&path, 1 << 20);
        assert!(journal.begins_at() > last);
        journal.append(event(1, Kind::InstallUp));
        journal.flush().await;
        last = *journal.settled().borrow();
        assert_eq!(last, journal.begins_at());
        drop(journal);
        std::fs::write(&path, b"damaged").unwrap();
    }
    // What JSON's numbers hold exactly.
    assert!(last < 1 << 53);
}

#[tokio::test]
async fn an_event_written_before_installations_were_told_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.redb");
    let (journal, _) = open(&path, 1 << 20);
    let mut whole = event(1, Kind::InstallInstalled).host(host("web01"));
    whole.detail = Some("as told".to_owned());
    journal.append(whole.clone());
    whole.install = Some(Box::new(crate::journal::event::Standing {
        state: "installed".into(),
        profile: "debian-12".parse().ok(),
        attempt: 2,
        percent: Some(100),
        message: Some("/report/aaaaaaaaaaaaaaaaaaaaaaaaaa/x".to_owned()),
    }));
    journal.append(whole);
    drop(journal);
    disk::as_version(1, &path, 1);
    disk::as_version(2, &path, 2);
    let (journal, _) = open(&path, 1 << 20);
    let read = journal.query(&Filter::default()).await;
    assert_eq!((read.len(), &read[0].install), (2, &None));
    assert_eq!(read[0].detail.as_deref(), Some("as told"));
    let json = read[1].to_json_of("boot1");
    assert_eq!(
        (&json["state"], &json["attempt"]),
        (&"installed".into(), &2.into())
    );
    assert_eq!(
        (&json["server"], &json["version"]),
        (&"boot1".into(), &1.into())
    );
    assert!(json.get("install").is_none());
    // A token in what an installer says is cut as everywhere.
    assert!(
        !json.to_string().contains("aaaaaaaaaaaaaaaaaaaaaaaaaa"),
        "{json}"
    );
}
