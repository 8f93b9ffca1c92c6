//! Answers that are asked for again at once: given again without a write, and not a moment longer than they
//! may be.

use std::time::Duration;

use super::*;

async fn answers(site: &Site) -> usize {
    let events = site.events().await;
    let answers = events.iter().filter(|event| event.kind == Kind::HttpAnswer);
    answers.count()
}

async fn seen_at(site: &Site) -> Option<bootwright::base::Timestamp> {
    site.record().await.unwrap().seen_at
}

/// A site whose machine has been given its answers, and asks once more.
async fn asked() -> (Site, String, String) {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = answer(&token);
    let first = site.get(WEB01, &path).await;
    assert_eq!(first.status, StatusCode::OK);
    site.clock.advance(Duration::from_secs(10));
    let again = site.get(WEB01, &path).await;
    assert_eq!(again.text(), first.text());
    (site, path, first.text())
}

#[tokio::test]
async fn what_is_asked_for_again_at_once_is_an_event_and_no_write() {
    let (site, path, text) = asked().await;
    let seen = seen_at(&site).await;
    assert!(seen.is_some());
    site.clock.advance(Duration::from_millis(500));
    // Nothing is written for it: it is given while nothing can be.
    site.switches.fail_commits(true);
    let before = answers(&site).await;
    for _ in 0..5 {
        let again = site.get(WEB01, &path).await;
        assert_eq!((again.status, again.text()), (StatusCode::OK, text.clone()));
        assert_eq!(again.header(&header::CONTENT_TYPE), "text/plain");
        assert_eq!(again.header(&header::CACHE_CONTROL), "no-store");
    }
    assert_eq!(answers(&site).await, before + 5);
    let event = site.last(Kind::HttpAnswer).await;
    assert_eq!((event.host, event.ip), (Some(web01()), Some(WEB01)));
    assert_eq!(event.bytes, Some(text.len() as u64));
    assert!(!event.file.unwrap().contains(&path[9..30]));
    assert_eq!(seen_at(&site).await, seen);
    site.switches.fail_commits(false);
    // Later it is a sign of life again.
    site.clock.advance(Duration::from_secs(1));
    site.get(WEB01, &path).await;
    assert!(seen_at(&site).await > seen);
}

#[tokio::test]
async fn nobody_else_is_given_it() {
    let (site, path, _) = asked().await;
    for peer in [WEB02, STRANGER] {
        assert_eq!(site.get(peer, &path).await.status, StatusCode::NOT_FOUND);
    }
    let head = site.ask(WEB01, Method::HEAD, &path).await;
    assert!(head.bytes().is_empty());
}

#[tokio::test]
async fn it_ends_with_the_arming() {
    let (site, path, _) = asked().await;
    let by = "tester".to_owned();
    site.apply(&bootwright::record::Input::Cancel { force: true, by })
        .await;
    assert_eq!(site.get(WEB01, &path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn another_configuration_has_another_text() {
    let (site, path, text) = asked().await;
    let next = config_with("another text for {{ host.name }}\n", "");
    site.ctx().in_force.store(next);
    let told = site.get(WEB01, &path).await.text();
    assert_eq!(told, "another text for web01\n");
    assert_ne!(told, text);
    // Kept no longer than a minute.
    site.clock.advance(Duration::from_secs(61));
    site.front.tidy();
    assert_eq!(site.get(WEB01, &path).await.text(), told);
}

/// Of many at once one writes, and none is sent away.
#[tokio::test]
async fn a_crowd_is_answered_with_one_write() {
    let (site, path, text) = asked().await;
    site.clock.advance(Duration::from_secs(2));
    let all = (0..64).map(|_| site.get(WEB01, &path));
    for reply in futures_util::future::join_all(all).await {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, text.clone()));
    }
}
