//! Boot files of other servers: one fetch for all, streamed, checked, kept, and never a wrong byte.

use std::sync::Arc;
use std::time::Duration;

use bootwright::assets::http::Patience;
use bootwright::config::source::MemoryFiles;
use bootwright::journal::{Event, Kind, Reason};
use bootwright::render::load::{InForce, load};
use bootwright::serve::mirror::Settings;
use http_body_util::BodyExt as _;
use hyper::{Method, StatusCode, header};

use crate::site::*;
use crate::upstream::{Page, Upstream};

const LINUX: &str = "/assets/deb/dists/linux";
/// Where it lies then.
const PLACE: &str = "mirror/deb/dists/linux";

fn body(size: usize) -> Vec<u8> {
    (0..size).map(|i| u8::try_from(i % 253).unwrap()).collect()
}

fn with_mirror(site: &Site, upstream: &Upstream, more: &str) -> Arc<InForce> {
    let state = site.folder.path().display();
    let main = format!(
        "[server]\ninterfaces = [\"br0\"]\nstate_dir = \"{state}\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n\
         [[mirror]]\npath = \"deb\"\nurl = \"{}/debian/\"\n{more}\n",
        upstream.url
    );
    let hosts = "[hosts.web01]\nmac = \"52:54:00:47:86:8e\"\nip = \"10.99.0.11\"\n\
                 [hosts.web02]\nmac = \"52:54:00:47:86:8f\"\nip = \"10.99.0.12\"\n";
    let files: MemoryFiles = [
        ("c/bootwright.toml", main.as_str()),
        ("c/reservations.toml", hosts),
    ]
    .into_iter()
    .collect();
    let loaded = load(&files, "c/bootwright.toml".as_ref(), 1);
    assert!(loaded.config.is_some(), "{:?}", loaded.problems);
    loaded.config.unwrap()
}

/// A site whose folder `deb` is that server's.
fn site_with(upstream: &Upstream, more: &str) -> Site {
    let site = Site::new();
    site.ctx()
        .in_force
        .store(with_mirror(&site, upstream, more));
    site.ctx().assets.mirrors().set(quick(0));
    site
}

fn quick(reserve: u64) -> Settings {
    Settings {
        patience: Patience {
            connect: Duration::from_secs(5),
            silence: Duration::from_secs(5),
            pause: Duration::from_millis(1),
            tries: 3,
        },
        reserve,
    }
}

async fn site(page: Page) -> (Site, Upstream) {
    let upstream = Upstream::new(page).await;
    (site_with(&upstream, ""), upstream)
}

fn kept(site: &Site) -> Option<Vec<u8>> {
    std::fs::read(site.folder.path().join(PLACE)).ok()
}

/// Nothing is left of files that did not come.
fn assert_nothing_kept(site: &Site) {
    assert_eq!(kept(site), None);
    let parts = std::fs::read_dir(site.folder.path().join("mirror/.part"));
    assert_eq!(parts.into_iter().flatten().count(), 0);
}

/// Waits for the event that a file was brought or not: it is written after the last byte has left.
async fn told(site: &Site) -> Event {
    site.until(async || {
        let events = site.events().await;
        events
            .iter()
            .any(|event| matches!(event.kind, Kind::MirrorFetched | Kind::MirrorFailed))
    })
    .await;
    let events = site.events().await;
    let found = events
        .iter()
        .rfind(|event| matches!(event.kind, Kind::MirrorFetched | Kind::MirrorFailed));
    found.unwrap().clone()
}

#[tokio::test]
async fn the_first_fetch_goes_to_the_machine_and_to_the_disk() {
    let bytes = body(600_000);
    let page = Page {
        waits: Some(200_000),
        head: "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(),
        ..Page::of(bytes.clone())
    };
    let (site, upstream) = site(page).await;
    let mut coming = site.begin(WEB01, LINUX).await;
    // While the other server has sent a third of it the machine has that.
    let mut have = Vec::new();
    while have.len() < 200_000 {
        let frame = coming.frame().await.unwrap().unwrap();
        have.extend_from_slice(&frame.into_data().unwrap());
    }
    assert_eq!(kept(&site), None);
    upstream.go();
    have.extend_from_slice(&coming.collect().await.unwrap().to_bytes());
    assert_eq!(have, bytes);
    let event = told(&site).await;
    assert_eq!(
        (event.kind, event.bytes),
        (Kind::MirrorFetched, Some(600_000))
    );
    assert_eq!(event.host, Some(web01()));
    assert_eq!(event.file.as_deref(), Some(LINUX));
    let detail = event.detail.unwrap();
    assert!(
        detail.contains(&format!("{}/debian/dists/linux, sha256 ", upstream.url)),
        "{detail}"
    );
    assert_eq!(kept(&site).unwrap(), bytes);
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!((event.bytes, event.reason), (Some(600_000), Reason::Done));

    // From now on it is a boot file like others, with its own time.
    let again = site.get(WEB02, LINUX).await;
    assert_eq!(again.bytes(), bytes);
    assert_eq!(
        again.header(&header::LAST_MODIFIED),
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
    let part = site
        .ask_with(
            WEB02,
            Method::GET,
            LINUX,
            &[(header::RANGE, "bytes=5-9")],
            "",
        )
        .await;
    assert_eq!(
        (part.status, part.bytes()),
        (StatusCode::PARTIAL_CONTENT, &bytes[5..10])
    );
    // A stranger may have what is kept.
    assert_eq!(site.get(STRANGER, LINUX).await.status, StatusCode::OK);
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn sixty_four_at_once_are_one_fetch() {
    let bytes = body(300_000);
    let page = Page {
        waits: Some(100_000),
        ..Page::of(bytes.clone())
    };
    let (site, upstream) = site(page).await;
    let site = Arc::new(site);
    let ask = |_| {
        let site = Arc::clone(&site);
        tokio::spawn(async move { site.get(WEB01, LINUX).await })
    };
    let machines: Vec<_> = (0..64).map(ask).collect();
    site.until(async || upstream.asked().len() == 1).await;
    upstream.go();
    for machine in machines {
        let reply = machine.await.unwrap();
        assert_eq!(
            (reply.status, reply.bytes()),
            (StatusCode::OK, bytes.as_slice())
        );
    }
    told(&site).await;
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(kept(&site).unwrap(), bytes);
}

#[tokio::test]
async fn who_leaves_ends_nothing() {
    let page = Page {
        waits: Some(1_000),
        ..Page::of(body(5_000))
    };
    let (site, upstream) = site(page).await;
    let mut leaves = site.begin(WEB01, LINUX).await;
    leaves.frame().await.unwrap().unwrap();
    drop(leaves);
    let event = site.last(Kind::HttpAsset).await;
    assert_eq!(event.reason, Reason::Incomplete);
    upstream.go();
    assert_eq!(told(&site).await.kind, Kind::MirrorFetched);
    assert_eq!(kept(&site).unwrap(), body(5_000));
}

#[tokio::test]
async fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let page = Page {
        cut: Some((60_000, 2)),
        ..Page::of(body(200_000)).tagged("one")
    };
    let (site, upstream) = site(page).await;
    let reply = site.get(WEB01, LINUX).await;
    assert_eq!(reply.bytes(), body(200_000));
    told(&site).await;
    assert_eq!(kept(&site).unwrap(), body(200_000));
    let asked = upstream.asked();
    assert_eq!(asked.len(), 3);
    assert!(!asked[0].contains("range:"));
    assert!(asked[1].contains("range: bytes=60000-\r\n"), "{}", asked[1]);
    assert!(asked[2].contains("if-range: \"one\"\r\n"), "{}", asked[2]);
}

#[tokio::test]
async fn a_part_is_never_taken_for_the_whole() {
    // No validator: nobody can say that the rest belongs to it.
    let page = Page {
        cut: Some((60_000, usize::MAX)),
        ..Page::of(body(200_000))
    };
    let (site, upstream) = site(page).await;
    let reply = site.get(WEB01, LINUX).await;
    assert_eq!(reply.status, StatusCode::OK);
    reply.body.unwrap_err();
    assert_eq!(site.last(Kind::HttpAsset).await.reason, Reason::Upstream);
    let event = told(&site).await;
    assert_eq!(
        (event.kind, event.reason),
        (Kind::MirrorFailed, Reason::Upstream)
    );
    assert!(event.detail.unwrap().contains(&upstream.url));
    assert_nothing_kept(&site);

    // It changes in between: the machine has the beginning of one, and gets nothing of the other.
    upstream.change(Page {
        cut: Some((60_000, 3)),
        waits: Some(60_000),
        ..Page::of(body(200_000)).tagged("one")
    });
    let seen = upstream.asked().len();
    let mut coming = site.begin(WEB01, LINUX).await;
    coming.frame().await.unwrap().unwrap();
    assert_eq!(upstream.asked().len(), seen + 1);
    upstream.change(Page::of(vec![7; 200_000]).tagged("two"));
    upstream.go();
    coming.collect().await.unwrap_err();
    assert_nothing_kept(&site);
    // The next who asks has the new one.
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), vec![7; 200_000]);
}

#[tokio::test]
async fn the_last_byte_waits_for_the_sum() {
    let wrong = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let waits = Page {
        waits: Some(1),
        ..Page::of("abd")
    };
    let (site, upstream) = site(waits).await;
    let path = format!("/assets/deb/dists/by-hash/SHA256/{wrong}");
    let mut coming = site.begin(WEB01, &path).await;
    let mut came = coming
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap()
        .len();
    upstream.go();
    let error = loop {
        match coming.frame().await {
            Some(Ok(frame)) => came += frame.into_data().unwrap().len(),
            Some(Err(error)) => break error,
            None => panic!("it ended as if it were whole"),
        }
    };
    assert!(came < 3 && error.to_string().contains("SHA sum"), "{error}");
    assert!(told(&site).await.detail.unwrap().contains("SHA sum"));

    // The sum may stand in the answer as well.
    upstream.change(Page {
        head: "Repr-Digest: sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:\r\n".to_owned(),
        ..Page::of("abd")
    });
    let reply = site.get(WEB01, LINUX).await;
    // Whether its head had left already.
    assert!(reply.status == StatusCode::BAD_GATEWAY || reply.body.is_err());
    assert_nothing_kept(&site);
    upstream.change(Page::of("abc"));
    assert_eq!(site.get(WEB01, &path).await.bytes(), b"abc");
}

#[tokio::test]
async fn nothing_but_the_file_is_kept() {
    let (site, upstream) = site(Page::default()).await;
    let html = "<!DOCTYPE html><html>please log in</html>";
    let typed = Page {
        head: "Content-Type: text/html; charset=utf-8\r\n".to_owned(),
        ..Page::of(html)
    };
    let packed = Page {
        head: "Content-Encoding: gzip\r\n".to_owned(),
        ..Page::of(body(100))
    };
    let endless = Page {
        without_length: true,
        ..Page::of(body(100))
    };
    let status = |status| Page {
        status,
        ..Page::of(body(100))
    };
    for (page, wanted, words) in [
        (typed, StatusCode::BAD_GATEWAY, "web page"),
        (packed, StatusCode::BAD_GATEWAY, "packed (gzip)"),
        (endless, StatusCode::BAD_GATEWAY, "tells no length"),
        (status(404), StatusCode::NOT_FOUND, "404"),
        (status(403), StatusCode::BAD_GATEWAY, "403"),
        (status(503), StatusCode::BAD_GATEWAY, "503"),
    ] {
        upstream.change(page);
        let reply = site.get(WEB01, LINUX).await;
        assert_eq!(reply.status, wanted, "{words}");
        let refused = site.last(Kind::HttpRefused).await.detail.unwrap();
        assert!(
            refused.contains(words) && refused.contains(&upstream.url),
            "{refused}"
        );
        assert_nothing_kept(&site);
    }
    // One that hides what it is.
    upstream.change(Page::of(html));
    let reply = site.get(WEB01, LINUX).await;
    assert_eq!(reply.status, StatusCode::BAD_GATEWAY);
    assert_nothing_kept(&site);
    // Who asks for a page gets it.
    let page = site.get(WEB01, "/assets/deb/index.html").await;
    assert_eq!(page.text(), html);
}

#[tokio::test]
async fn chunks_and_redirects_are_followed() {
    let other = Upstream::new(Page {
        chunked: true,
        ..Page::of(body(100_000))
    })
    .await;
    let (site, _upstream) = site(Page {
        status: 302,
        head: format!("Location: {}/else/where\r\n", other.url),
        ..Page::of("moved")
    })
    .await;
    let reply = site.get(WEB01, LINUX).await;
    assert_eq!(reply.bytes(), body(100_000));
    // Where it has come whole by then, its length is known.
    let length = reply.headers.get(header::CONTENT_LENGTH);
    assert!(length.is_none_or(|length| length == "100000"), "{length:?}");
    told(&site).await;
    assert_eq!(kept(&site).unwrap(), body(100_000));
}

#[tokio::test]
async fn only_known_hosts_have_anything_brought() {
    let (site, upstream) = site(Page::of("x")).await;
    assert_eq!(
        site.get(STRANGER, LINUX).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        site.last(Kind::HttpRefused).await.reason,
        Reason::NotThisMachine
    );
    assert_eq!(upstream.asked().len(), 0);
    // Nor does anybody reach beyond the mirror.
    for path in [
        "/assets/deb/../x",
        "/assets/deb/.hidden",
        "/assets/deb/%2e%2e/x",
        "/assets/debx/y",
        "/assets/deb",
    ] {
        assert_eq!(
            site.get(WEB01, path).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    assert_eq!(upstream.asked().len(), 0);
    site.get(WEB01, "/assets/deb/a%20b/c+d%25.deb").await;
    assert!(
        upstream.asked()[0].starts_with("get /debian/a%20b/c%2bd%25.deb http/1.1"),
        "{:?}",
        upstream.asked()
    );
}

#[tokio::test]
async fn a_kept_file_is_asked_about_when_it_is_no_longer_fresh() {
    let (site, upstream) = site(Page::of("one").tagged("1")).await;
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"one");
    told(&site).await;
    site.get(WEB01, LINUX).await;
    assert_eq!(upstream.asked().len(), 1);
    site.clock.advance(Duration::from_secs(61));
    // A stranger causes no question.
    assert_eq!(site.get(STRANGER, LINUX).await.bytes(), b"one");
    assert_eq!(upstream.asked().len(), 1);
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"one");
    let asked = upstream.asked();
    assert!(
        asked.len() == 2 && asked[1].contains("if-none-match: \"1\""),
        "{asked:?}"
    );
    site.get(WEB01, LINUX).await;
    assert_eq!(upstream.asked().len(), 2);

    upstream.change(Page::of("three").tagged("3"));
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"three");
    // What its server no longer has is not given out either.
    site.until(async || {
        let events = site.events().await;
        let fetched = |event: &&Event| event.kind == Kind::MirrorFetched;
        events.iter().filter(fetched).count() == 2
    })
    .await;
    upstream.change(Page {
        status: 404,
        ..Page::default()
    });
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(site.get(WEB01, LINUX).await.status, StatusCode::NOT_FOUND);
    assert_nothing_kept(&site);
}

#[tokio::test]
async fn a_server_that_is_gone_is_named_and_its_kept_files_are_given_out() {
    let (site, upstream) = site(Page::of("one").tagged("1")).await;
    site.get(WEB01, LINUX).await;
    told(&site).await;
    upstream.stop();
    site.until(async || {
        tokio::net::TcpStream::connect(&upstream.url[7..])
            .await
            .is_err()
    })
    .await;
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"one");
    let event = told(&site).await;
    assert_eq!(event.kind, Kind::MirrorFailed);
    let detail = event.detail.unwrap();
    assert!(
        detail.contains("cannot be reached") && detail.contains("is given out"),
        "{detail}"
    );
    // For a while it is not even tried.
    let before = site.events().await.len();
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"one");
    assert_eq!(site.events().await.len(), before + 1);

    let other = site.get(WEB01, "/assets/deb/other").await;
    assert_eq!(other.status, StatusCode::BAD_GATEWAY);
    let refused = site.last(Kind::HttpRefused).await;
    assert!(refused.detail.unwrap().contains("cannot be reached"));

    site.ctx()
        .in_force
        .store(with_mirror(&site, &upstream, "stale = false"));
    site.clock.advance(Duration::from_secs(61));
    assert_eq!(site.get(WEB01, LINUX).await.status, StatusCode::BAD_GATEWAY);
}

#[tokio::test]
async fn a_mirror_of_another_server_has_other_files() {
    let (site, _first) = site(Page::of("one")).await;
    site.get(WEB01, LINUX).await;
    told(&site).await;
    let second = Upstream::new(Page::of("two")).await;
    site.ctx().in_force.store(with_mirror(&site, &second, ""));
    assert_eq!(
        site.get(STRANGER, LINUX).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), b"two");
}

#[tokio::test]
async fn a_part_of_what_comes_waits_for_the_whole() {
    let page = Page {
        waits: Some(1_000),
        ..Page::of(body(5_000))
    };
    let (site, upstream) = site(page).await;
    let mut coming = site.begin(WEB01, LINUX).await;
    coming.frame().await.unwrap().unwrap();
    let head = site.ask(WEB02, Method::HEAD, LINUX).await;
    assert_eq!(
        (head.status, head.header(&header::CONTENT_LENGTH)),
        (StatusCode::OK, "5000")
    );
    upstream.go();
    let range = [(header::RANGE, "bytes=4000-")];
    let part = site.ask_with(WEB02, Method::GET, LINUX, &range, "").await;
    assert_eq!(
        (part.status, part.bytes()),
        (StatusCode::PARTIAL_CONTENT, &body(5_000)[4_000..])
    );
    assert_eq!(upstream.asked().len(), 1);
}

#[tokio::test]
async fn what_was_not_used_for_longest_gives_way() {
    let (site, _upstream) = site(Page::of(body(40))).await;
    let mut in_force = (*site.ctx().config()).clone();
    in_force.snapshot.mirrors[0].keep = 100;
    site.ctx().in_force.store(Arc::new(in_force));
    for name in ["a", "b", "c"] {
        site.clock.advance(Duration::from_secs(7_200));
        assert_eq!(
            site.get(WEB01, &format!("/assets/deb/{name}"))
                .await
                .bytes(),
            body(40)
        );
        let place = site.folder.path().join("mirror/deb").join(name);
        site.until(async || place.exists()).await;
        // The oldest is used again before the third comes.
        if name == "b" {
            site.clock.advance(Duration::from_secs(7_200));
            site.get(STRANGER, "/assets/deb/a").await;
        }
    }
    let there = |name: &str| site.folder.path().join("mirror/deb").join(name).exists();
    assert_eq!(["a", "b", "c"].map(there), [true, false, true]);

    // What is larger than all that is kept passes through.
    let large = Upstream::new(Page::of(body(500))).await;
    let mut in_force = (*with_mirror(&site, &large, "")).clone();
    in_force.snapshot.mirrors[0].keep = 100;
    site.ctx().in_force.store(Arc::new(in_force));
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), body(500));
    site.until(async || {
        let detail = site.last(Kind::MirrorFetched).await.detail.unwrap();
        detail.contains("is not kept")
    })
    .await;
    assert_nothing_kept(&site);
    assert!(there("a"));
}

#[tokio::test]
async fn a_disk_without_room_is_told() {
    let (site, upstream) = site(Page::of(body(40))).await;
    site.ctx().assets.mirrors().set(quick(u64::MAX / 2));
    assert_eq!(
        site.get(WEB01, LINUX).await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    let event = told(&site).await;
    assert_eq!(
        (event.kind, event.reason),
        (Kind::MirrorFailed, Reason::DiskFull)
    );
    assert_nothing_kept(&site);
    site.ctx().assets.mirrors().set(quick(0));
    assert_eq!(site.get(WEB01, LINUX).await.bytes(), body(40));
    assert_eq!(upstream.asked().len(), 2);
}
