//! Boot files: ranges, validators, and what happens to a transfer.

use std::time::Duration;

use axum::body::Body;
use bootwright::journal::{Kind, Reason};
use bootwright::record::InstallState;
use http_body_util::BodyExt as _;
use hyper::header::{self};
use hyper::{Method, StatusCode};

use crate::site::*;

#[tokio::test]
async fn boot_files_with_ranges_and_validators() {
    let site = Site::new();
    let path = "//assets//tiny/linux";
    let whole = site.get(STRANGER, path).await;
    assert_eq!(whole.status, StatusCode::OK);
    assert_eq!(whole.header(&header::CONTENT_LENGTH), KERNEL.to_string());
    assert_eq!(whole.header(&header::ACCEPT_RANGES), "bytes");
    let etag = whole.header(&header::ETAG).to_owned();
    let modified = whole.header(&header::LAST_MODIFIED).to_owned();
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!(
        (event.bytes, event.reason),
        (Some(KERNEL as u64), Reason::Done)
    );
    assert_eq!(event.file.as_deref(), Some("/assets/tiny/linux"));

    let head = site.ask(STRANGER, Method::HEAD, path).await;
    assert_eq!(head.header(&header::CONTENT_LENGTH), KERNEL.to_string());
    assert!(head.bytes().is_empty());
    assert_eq!(site.last(Kind::HttpAsset).await.bytes, Some(0));

    let ask = async |headers: &[(header::HeaderName, &str)]| {
        site.ask_with(STRANGER, Method::GET, path, headers, "")
            .await
    };
    let part = ask(&[(header::RANGE, "bytes=300000-300009")]).await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.header(&header::CONTENT_LENGTH), "10");
    assert_eq!(
        part.header(&header::CONTENT_RANGE),
        format!("bytes 300000-300009/{KERNEL}")
    );
    assert_eq!(part.bytes(), &whole.bytes()[300_000..300_010]);
    let rest = ask(&[(header::RANGE, "bytes=300010-"), (header::IF_RANGE, &etag)]).await;
    assert_eq!(rest.bytes(), &whole.bytes()[300_010..]);
    let changed = ask(&[(header::RANGE, "bytes=5-"), (header::IF_RANGE, "\"other\"")]).await;
    assert_eq!(changed.status, StatusCode::OK);
    assert_eq!(changed.bytes().len(), KERNEL);
    let past = ask(&[(header::RANGE, "bytes=9999999-")]).await;
    assert_eq!(past.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(
        past.header(&header::CONTENT_RANGE),
        format!("bytes */{KERNEL}")
    );
    for condition in [
        (header::IF_NONE_MATCH, etag.as_str()),
        (header::IF_MODIFIED_SINCE, modified.as_str()),
    ] {
        let same = ask(&[condition]).await;
        assert_eq!(same.status, StatusCode::NOT_MODIFIED);
        assert!(same.bytes().is_empty());
        assert_eq!(same.header(&header::ETAG), etag);
    }
    assert_eq!(
        ask(&[(header::IF_MATCH, "\"other\"")]).await.status,
        StatusCode::PRECONDITION_FAILED
    );
}

#[tokio::test]
async fn a_file_on_its_way_for_long_is_a_sign_of_life() {
    let site = Site::new();
    site.arm().await;
    let script = site.get(WEB01, &script_of(MAC)).await;
    assert_eq!(script.status, StatusCode::OK);
    assert_eq!(site.state().await, InstallState::Booting);
    let linux = site.folder.path().join("assets/tiny/linux");
    std::fs::write(&linux, vec![b'x'; 8 << 20]).unwrap();
    let mut body = site.begin(WEB01, "/assets/tiny/linux").await;
    // A quarter of a megabyte in half an hour: `stalled_after` is 45 minutes.
    let mut taken = 0;
    for _ in 0..6 {
        let before = site.record().await.unwrap().seen_at;
        site.clock.advance(Duration::from_secs(1_800));
        taken += body
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len();
        site.until(async || site.record().await.unwrap().seen_at > before)
            .await;
        assert_eq!(site.state().await, InstallState::Booting);
    }
    assert!(taken < 8 << 20);
    assert_eq!(site.record().await.unwrap().kernel_at, None);
    // When they flow no more, it has stalled.
    site.clock.advance(Duration::from_secs(2_701));
    assert_eq!(site.state().await, InstallState::Failed);
}

#[tokio::test]
async fn several_ranges_come_in_parts() {
    let site = Site::new();
    let path = "/assets/tiny/linux";
    let whole = site.get(STRANGER, path).await;
    let etag = whole.header(&header::ETAG).to_owned();
    let ranges = "bytes=0-9, 699990-, 300000-300004";
    let headers = [(header::RANGE, ranges), (header::IF_RANGE, &etag)];
    let reply = site
        .ask_with(STRANGER, Method::GET, path, &headers, "")
        .await;
    assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
    assert!(!reply.headers.contains_key(header::CONTENT_RANGE));
    let length = reply.header(&header::CONTENT_LENGTH).to_owned();
    assert_eq!(length, reply.bytes().len().to_string());
    let kind = reply.header(&header::CONTENT_TYPE).to_owned();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("it names what stands between the parts");
    let mut expected = Vec::new();
    for (start, end) in [(0, 10), (699_990, KERNEL), (300_000, 300_005)] {
        let before = if expected.is_empty() { "" } else { "\r\n" };
        expected.extend_from_slice(
            format!(
                "{before}--{boundary}\r\ncontent-type: application/octet-stream\r\n\
                 content-range: bytes {start}-{}/{KERNEL}\r\n\r\n",
                end - 1
            )
            .as_bytes(),
        );
        expected.extend_from_slice(&whole.bytes()[start..end]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert_eq!(reply.bytes(), expected);
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!(event.reason, Reason::Done);
    assert_eq!(event.bytes, Some(expected.len() as u64));
    // The same length without the bytes.
    let head = site
        .ask_with(STRANGER, Method::HEAD, path, &headers, "")
        .await;
    assert_eq!(head.header(&header::CONTENT_LENGTH), length);
    assert!(head.bytes().is_empty());
    // Of another file than this one, all.
    let headers = [(header::RANGE, ranges), (header::IF_RANGE, "\"x\"")];
    let other = site
        .ask_with(STRANGER, Method::GET, path, &headers, "")
        .await;
    assert_eq!(other.status, StatusCode::OK);
    assert_eq!(other.bytes(), whole.bytes());
}

/// Large enough that it is not sent at once.
const LARGE: usize = 3 << 20;

/// What comes until its end, and whether that is the announced one.
async fn rest(body: &mut Body) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Some(Err(_)) => break (bytes, false),
            None => break (bytes, true),
        }
    }
}

#[tokio::test]
async fn a_file_in_memory_is_sent_whole_whatever_becomes_of_it() {
    let site = Site::new();
    let linux = site.folder.path().join("assets/tiny/linux");
    let before = site.get(STRANGER, "/assets/tiny/linux").await;
    let next = site.folder.path().join("assets/tiny/.next");
    std::fs::write(&next, b"new").unwrap();
    std::fs::rename(&next, &linux).unwrap();
    let after = site.get(STRANGER, "/assets/tiny/linux").await;
    assert_eq!(after.bytes(), b"new");
    assert_ne!(before.header(&header::ETAG), after.header(&header::ETAG));

    std::fs::write(&linux, vec![b'x'; LARGE]).unwrap();
    let whole = site.get(STRANGER, "/assets/tiny/linux").await;
    assert_eq!(whole.bytes().len(), LARGE);
    let held = site.ctx().assets.cache().held();
    let mut body = site.begin(STRANGER, "/assets/tiny/linux").await;
    body.frame().await.unwrap().unwrap();
    assert_eq!(site.ctx().assets.cache().held(), held);
    std::fs::write(&linux, vec![b'y'; LARGE]).unwrap();
    let (bytes, is_whole) = rest(&mut body).await;
    assert!(is_whole && bytes.iter().all(|byte| *byte == b'x'));
    drop(body);
    assert_eq!(site.last(Kind::HttpAsset).await.reason, Reason::Done);
    // The next request has the next file.
    let next = site.get(STRANGER, "/assets/tiny/linux").await;
    assert_eq!(next.bytes(), vec![b'y'; LARGE]);
}

#[tokio::test]
async fn a_file_from_the_disk_is_never_mixed() {
    let site = Site::new();
    let none = config_changed(|server, _| server.asset_cache = 0);
    site.ctx().in_force.store(none);
    let linux = site.folder.path().join("assets/tiny/linux");
    let next = site.folder.path().join("assets/tiny/.next");
    let shrink: &dyn Fn() = &|| {
        let file = std::fs::OpenOptions::new().write(true).open(&linux);
        file.unwrap().set_len(1 << 20).unwrap();
    };
    let overwrite: &dyn Fn() = &|| std::fs::write(&linux, vec![b'y'; LARGE]).unwrap();
    let replace: &dyn Fn() = &|| {
        std::fs::write(&next, vec![b'y'; LARGE]).unwrap();
        std::fs::rename(&next, &linux).unwrap();
    };
    for (change, keeps) in [(shrink, false), (overwrite, false), (replace, true)] {
        std::fs::write(&linux, vec![b'x'; LARGE]).unwrap();
        // The clock of the file system goes in steps.
        let old = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(3_600);
        let file = std::fs::OpenOptions::new().write(true).open(&linux);
        file.unwrap().set_modified(old).unwrap();
        let mut body = site.begin(STRANGER, "/assets/tiny/linux").await;
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(first.len() < 1 << 20);
        change();
        let (bytes, is_whole) = rest(&mut body).await;
        drop(body);
        assert_eq!(is_whole, keeps);
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        let event = site.last(Kind::HttpAsset).await;
        let sent = (first.len() + bytes.len()) as u64;
        assert_eq!(event.bytes, Some(sent));
        let reason = if keeps { Reason::Done } else { Reason::Changed };
        assert_eq!(event.reason, reason);
        assert_eq!(sent == LARGE as u64, keeps);
    }
    assert_eq!(site.ctx().assets.cache().held(), 0);
}

#[tokio::test]
async fn a_transfer_that_is_given_up_is_incomplete() {
    let site = Site::new();
    std::fs::write(
        site.folder.path().join("assets/tiny/linux"),
        vec![b'x'; 3 << 20],
    )
    .unwrap();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let mut body = site.begin(WEB01, "/assets/tiny/linux").await;
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(site.last(Kind::HttpAsset).await.reason, Reason::Incomplete);
    assert_eq!(site.record().await.unwrap().kernel_at, None);
    // An installer that asks must have had one from elsewhere.
    site.get(WEB01, &answer(&token)).await;
    assert!(site.record().await.unwrap().kernel_at.is_some());
}

#[tokio::test]
async fn a_disk_that_is_read_in_pieces_is_told_in_a_few_events() {
    let site = Site::new();
    let path = "/assets/tiny/linux";
    let piece = async |from: usize| {
        let range = format!("bytes={from}-{}", from + 2_047);
        let headers = [(header::RANGE, range.as_str())];
        let reply = site.ask_with(WEB01, Method::GET, path, &headers, "").await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
    };
    let told = async || {
        let events = site.events().await;
        let files = events.iter().filter(|event| event.kind == Kind::HttpAsset);
        files.map(|event| event.count).collect::<Vec<_>>()
    };
    for number in 0..50 {
        piece(number * 2_048).await;
        site.clock.advance(Duration::from_millis(100));
        site.front.tidy();
    }
    assert_eq!(told().await, [None]);
    let first = site.last(Kind::HttpAsset).await;
    assert_eq!(
        first.detail.as_deref(),
        Some(format!("bytes 0-2047 of {KERNEL}").as_str())
    );
    // The whole of it is a transfer of its own.
    site.get(WEB01, path).await;
    assert_eq!(told().await, [None, None]);
    site.clock.advance(Duration::from_secs(10));
    site.front.tidy();
    assert_eq!(told().await, [None, None, Some(49)]);
    let counted = site.last(Kind::HttpAsset).await;
    assert_eq!((counted.host, counted.ip), (Some(web01()), Some(WEB01)));
    assert_eq!(
        (counted.bytes, counted.took_us),
        (Some(49 * 2_048), Some(4_800_000))
    );
    // What is under way when the server ends is told as well.
    piece(0).await;
    piece(2_048).await;
    site.front.end();
    assert_eq!(told().await, [None, None, Some(49), None, Some(1)]);
}
