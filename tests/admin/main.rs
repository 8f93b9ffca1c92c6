//! The operators' plane, driven request by request over a store and a journal in memory.

mod logs;
mod orders;
mod site;
mod standing;
mod unknown;

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use bootwright::base::Timestamp;
use bootwright::config::source::MemoryFiles;
use bootwright::journal::{Event, Kind, Reason};
use bootwright::record::InstallState;
use bootwright::render::load::load;
use bootwright::serve::admin::router;
use bootwright::serve::listener::Operator;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use site::*;

#[tokio::test]
async fn a_host_is_named_by_name_mac_or_address() {
    let site = Site::new();
    for name in [
        "web01",
        "52:54:00:47:86:8E",
        "52-54-00-47-86-8e",
        "10.99.0.11",
    ] {
        let (status, host) = site.get(&format!("/hosts/{name}")).await;
        assert_eq!(status, StatusCode::OK, "{name}");
        assert_eq!(host["name"], "web01");
        assert_eq!(host["state"], "local");
    }
    let (status, value) = site.get("/hosts/web1").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (code, _, remedy) = refusal(&value);
    assert_eq!(code, "unknown-host");
    assert!(remedy.contains("did you mean"), "{remedy}");
    let (_, hosts) = site.get("/hosts").await;
    assert_eq!(hosts.as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn arming_cancelling_and_the_disk() {
    let site = Site::new();
    let (status, done) = site
        .post("/hosts/web01/install", json!({"for": "2h", "by": "ola"}))
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    let host = &done["hosts"][0];
    assert_eq!(
        (&host["state"], &host["changed"]),
        (&json!("armed"), &json!(true))
    );
    let install = &host["installation"];
    assert_eq!(install["by"], "ola");
    let until: Timestamp = serde_json::from_value(install["armed_until"].clone()).unwrap();
    assert_eq!(
        until.since(site.admin.ctx.now()),
        Duration::from_secs(7_200)
    );
    let token = site.token("web01").await;
    assert!(!done.to_string().contains(&token));

    let (status, _) = site.post("/hosts/web01/cancel", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(site.state("web01").await, InstallState::Local);
    let (status, value) = site.post("/hosts/web01/cancel", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(refusal(&value).0, "nothing-to-cancel");
    let (status, done) = site.post("/hosts/web01/local", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(done["hosts"][0]["changed"], false);

    let (status, why) = site.get("/hosts/web01/why").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(why["state"], "local");
    assert!(why["verdict"].is_string(), "{why}");

    // An arming lapses by itself.
    site.post("/hosts/web01/install", json!({"for": "1h"}))
        .await;
    site.clock.advance(Duration::from_secs(3_601));
    assert_eq!(site.state("web01").await, InstallState::Local);
}

#[tokio::test]
async fn what_cannot_be_armed_is_refused_with_the_remedy() {
    let site = Site::new();
    for (host, code, remedy) in [
        ("never", "install-never", "take that out"),
        ("nomac", "no-mac", "mac ="),
        ("arm", "boot-file-missing", "bootwright assets fetch ipxe"),
        ("nobody", "unknown-host", "bootwright hosts"),
    ] {
        let (status, value) = site
            .post(&format!("/hosts/{host}/install"), json!({"force": true}))
            .await;
        assert!(status.is_client_error(), "{host}: {value}");
        let (found, message, help) = refusal(&value);
        assert_eq!(found, code, "{value}");
        assert!(message.contains(host), "{value}");
        assert!(help.contains(remedy), "{value}");
    }
    std::fs::remove_file(site.folder.path().join("tiny/linux")).unwrap();
    let (_, value) = site.post("/hosts/web01/install", Value::Null).await;
    let (code, message, _) = refusal(&value);
    assert_eq!(code, "boot-file-missing");
    assert!(message.contains("tiny/linux"), "{message}");
    assert_eq!(site.state("web01").await, InstallState::Local);
}

#[tokio::test]
async fn several_are_armed_together_or_not_at_all() {
    let site = Site::new();
    let (status, value) = site
        .post("/install", json!({"hosts": ["web01", "web02", "never"]}))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{value}");
    assert_eq!(site.state("web01").await, InstallState::Local);
    site.switches.fail_commits(true);
    let (status, value) = site
        .post("/install", json!({"hosts": ["web01", "web02"]}))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal(&value).0, "store-unavailable");
    site.switches.fail_commits(false);
    assert_eq!(site.state("web01").await, InstallState::Local);
    // Two names of one machine are one machine.
    let (status, done) = site
        .post(
            "/install",
            json!({"hosts": ["web01", "10.99.0.11", "web02"]}),
        )
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(done["hosts"].as_array().unwrap().len(), 2);
    assert_eq!(site.state("web02").await, InstallState::Armed);
    assert_ne!(site.token("web01").await, site.token("web02").await);
    let (status, _) = site
        .post("/cancel", json!({"hosts": ["web01", "web02"]}))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(site.state("web02").await, InstallState::Local);
}

#[tokio::test]
async fn orders_that_make_no_sense() {
    let site = Site::new();
    for (path, body) in [
        ("/install", json!({"hosts": []})),
        ("/install", json!({"hosts": ["web01"], "froce": true})),
        ("/install", json!({"hosts": ["web01"], "for": "soon"})),
        ("/hosts/web01/install", json!({"hosts": ["web02"]})),
        ("/hosts/web*/install", Value::Null),
    ] {
        let (status, value) = site.post(path, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!refusal(&value).2.is_empty(), "{value}");
    }
    assert_eq!(
        site.post("/hosts/web01/destroy", Value::Null).await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        site.get("/hosts/web01/install").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(site.get("/nothing").await.0, StatusCode::NOT_FOUND);
    assert_eq!(site.state("web01").await, InstallState::Local);
}

#[tokio::test]
async fn by_is_the_peers_user_unless_root_says() {
    let site = Site::new();
    site.post("/hosts/web01/install", Value::Null).await;
    let (_, host) = site.get("/hosts/web01").await;
    assert_eq!(host["installation"]["by"], "root");

    let mut request = Request::post("/api/v1/hosts/web02/install")
        .body(Body::from(r#"{"by": "somebody else"}"#))
        .unwrap();
    let uid = 4_000_000_000;
    request.extensions_mut().insert(Operator { uid, pid: None });
    let service = TowerToHyperService::new(router(site.admin.clone()));
    assert_eq!(
        service.call(request).await.unwrap().status(),
        StatusCode::OK
    );
    let (_, host) = site.get("/hosts/web02").await;
    assert_eq!(host["installation"]["by"], format!("uid {uid}"));
}

#[tokio::test]
async fn the_journal_is_read_and_followed() {
    let site = Site::new();
    site.post("/hosts/web01/install", Value::Null).await;
    site.post("/hosts/web02/install", Value::Null).await;
    let (status, body) = site
        .raw(Method::GET, "/events?host=10.99.0.11", String::new())
        .await;
    assert_eq!(status, StatusCode::OK);
    let text = body.collect().await.unwrap().to_bytes();
    let events: Vec<Event> = String::from_utf8_lossy(&text)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, Kind::InstallArmed);
    assert!(!String::from_utf8_lossy(&text).contains(&site.token("web01").await));

    let after = events[0].id;
    let path = format!("/events?follow=1&host=web01&after={after}");
    let (_, mut body) = site.raw(Method::GET, &path, String::new()).await;
    let journal = site.admin.ctx.journal.clone();
    let event = |host: &str, detail: &str| {
        Event::new(site.admin.ctx.now(), Kind::InstallNote, Reason::Done)
            .host(host.parse::<bootwright::base::HostName>().unwrap())
            .detail(detail)
    };
    journal.append(event("web02", "of another"));
    journal.append(event("web01", "it comes"));
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let line = String::from_utf8(frame.to_vec()).unwrap();
    assert!(line.contains("it comes"), "{line}");
    assert_eq!(line.lines().count(), 1);
    site.admin.ending.cancel();
    assert!(body.frame().await.is_none(), "it ends with the daemon");

    let stranger = "52:54:00:00:00:99";
    journal.append(
        Event::new(site.admin.ctx.now(), Kind::HostUnknown, Reason::UnknownHost)
            .mac(stranger.parse::<bootwright::base::HardwareAddr>().unwrap()),
    );
    let (_, body) = site
        .raw(
            Method::GET,
            &format!("/events?host={stranger}"),
            String::new(),
        )
        .await;
    let text = body.collect().await.unwrap().to_bytes();
    assert_eq!(String::from_utf8_lossy(&text).lines().count(), 1);

    // A host that is gone is told of for as long as the journal knows it.
    journal.append(event("gone", "the host is gone from the reservations"));
    let (_, body) = site
        .raw(Method::GET, "/events?host=gone", String::new())
        .await;
    let text = body.collect().await.unwrap().to_bytes();
    assert_eq!(String::from_utf8_lossy(&text).lines().count(), 1);
    let (status, _) = site
        .raw(Method::GET, "/events?host=never-there", String::new())
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    for bad in [
        "/events?follow=maybe",
        "/events?limit=many",
        "/events?colour=red",
    ] {
        let (status, _) = site.raw(Method::GET, bad, String::new()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn status_counts_and_tells_troubles() {
    let site = Site::new();
    site.post("/hosts/web01/install", Value::Null).await;
    site.admin.health.trouble("tftp", "taken");
    let (status, value) = site.get("/status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(value["hosts"], json!({"armed": 1, "local": 9}));
    assert_eq!(value["troubles"], json!({"tftp": "taken"}));
    site.switches.fail_reads(true);
    let (status, value) = site.get("/status").await;
    assert_eq!(status, StatusCode::OK);
    assert!(value["troubles"]["records"].is_string(), "{value}");
    assert_eq!(site.get("/hosts").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_host_whose_secret_is_not_there_cannot_be_armed() {
    let site = Site::new();
    let profile = format!("{PROFILE}[[answers]]\nname = \"a.cfg\"\ntemplate = \"a.j2\"\n");
    let with = |secrets: &str| {
        let files: MemoryFiles = [
            (
                "c/bootwright.toml",
                "[server]\ninterfaces = [\"br0\"]\nsecrets = \"secrets.toml\"\n[[subnet]]\nnetwork = \"10.99.0.0/24\"\n",
            ),
            ("c/reservations.toml", RESERVATIONS),
            ("c/profiles/tiny.toml", &profile),
            ("c/templates/a.j2", "{{ secret(\"root-password\") }}"),
            ("c/secrets.toml", secrets),
        ]
        .into_iter()
        .collect();
        let loaded = load(&files, Path::new("c/bootwright.toml"), 2);
        site.admin.ctx.in_force.store(loaded.config.unwrap());
    };
    with("");
    let (status, value) = site.post("/hosts/web01/install", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let (code, message, remedy) = refusal(&value);
    assert_eq!(code, "secret-missing");
    assert!(message.contains("root-password"), "{message}");
    assert!(remedy.contains("c/secrets.toml"), "{remedy}");
    assert_eq!(site.state("web01").await, InstallState::Local);

    // One of its own is enough.
    with("[hosts.web01]\nroot-password = \"hunter2\"\n");
    let (status, done) = site.post("/hosts/web01/install", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert!(!done.to_string().contains("hunter2"));
    let (status, _) = site.post("/hosts/web02/install", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
}
