//! The boot plane, driven request by request over a store and a journal in memory.

mod boot_files;
mod kept_answers;
mod mirror;
mod properties;
mod reports;
mod secrets;
mod site;
mod sockets;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use bootwright::base::Token;
use bootwright::config::Snapshot;
use bootwright::journal::{Kind, Reason};
use bootwright::record::InstallState;
use bootwright::render::Renderer;
use bootwright::render::load::InForce;
use hyper::header::{self};
use hyper::{Method, StatusCode};

use site::*;

#[tokio::test]
async fn an_armed_machine_is_led_from_its_script_to_installed() {
    let site = Site::new();
    let token = site.arm().await;

    let script = site
        .get(WEB01, &format!("{}?uuid=&serial=", script_of(MAC)))
        .await;
    assert_eq!(script.status, StatusCode::OK);
    assert_eq!(script.header(&header::CACHE_CONTROL), "no-store");
    assert!(script.text().starts_with("#!ipxe\n"));
    assert!(
        script
            .text()
            .contains(&format!("http://10.99.0.2:8080{}", answer(&token)))
    );
    assert_eq!(site.state().await, InstallState::Booting);

    let kernel = site.get(WEB01, "/assets/tiny/linux").await;
    assert_eq!(kernel.bytes().len(), KERNEL);
    // The note is made behind the transfer.
    tokio::time::timeout(Duration::from_secs(10), async {
        while site.record().await.unwrap().kernel_at.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a whole kernel is noted");
    assert_eq!(site.state().await, InstallState::Booting);

    let answers = site.get(WEB01, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::OK);
    assert_eq!(answers.header(&header::CACHE_CONTROL), "no-store");
    assert_eq!(answers.header(&header::CONTENT_TYPE), "text/plain");
    assert!(answers.text().contains(&report(&token, "installed")));
    assert_eq!(site.state().await, InstallState::Installing);

    for path in [
        format!("{}?percent=40&message=half", report(&token, "progress")),
        report(&token, "installed"),
        report(&token, "installed"),
        report(&token, "up"),
    ] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (StatusCode::OK, "ok\n")
        );
    }
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Installed);
    assert!(record.up_at.is_some());

    // Its disk from now on, and the answers are shut.
    let script = site.get(WEB01, &script_of(MAC)).await;
    assert!(!script.text().contains(token.reveal()));
    let answers = site.get(WEB01, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::NOT_FOUND);
    assert_eq!(site.last(Kind::HttpRefused).await.reason, Reason::VoidToken);

    for event in site.events().await {
        let json = event.to_json().to_string();
        assert!(!json.contains(token.reveal()), "{json}");
    }
}

#[tokio::test]
async fn nobody_else_is_given_script_or_answers() {
    let site = Site::new();
    let token = site.arm().await;
    for peer in [WEB02, STRANGER, SERVER] {
        let script = site.get(peer, &script_of(MAC)).await;
        assert_eq!(script.status, StatusCode::OK);
        assert!(script.text().contains("not this machine"));
        assert!(script.text().contains("exit 1"));
        assert!(!script.text().contains(token.reveal()));
        let answers = site.get(peer, &answer(&token)).await;
        assert_eq!(answers.status, StatusCode::NOT_FOUND);
        assert!(!answers.text().contains("web01"));
    }
    assert_eq!(site.state().await, InstallState::Armed);
    let refused = site.last(Kind::HttpRefused).await;
    assert_eq!(refused.reason, Reason::NotThisMachine);
    assert_eq!(refused.ip, Some(SERVER));
}

#[tokio::test]
async fn what_is_not_there_looks_alike() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let other = Token::from_bytes([7; 16]);
    for (path, reason) in [
        (answer(&other), Reason::UnknownToken),
        (
            "/answers/short/answers.txt".to_owned(),
            Reason::UnknownToken,
        ),
        (
            format!("/answers/{}/other.txt", token.reveal()),
            Reason::UnknownAnswer,
        ),
        (
            format!("/answers/{}/", token.reveal()),
            Reason::UnknownAnswer,
        ),
        (
            format!("/answers/{}/secrets/key", token.reveal()),
            Reason::NoSecret,
        ),
        (report(&other, "started"), Reason::UnknownToken),
        (report(&token, "webhooks"), Reason::NotFound),
        ("/unattended/built".to_owned(), Reason::UnknownToken),
        (
            format!("/unattended/failed?token={}", other.reveal()),
            Reason::UnknownToken,
        ),
        ("/assets/tiny/none".to_owned(), Reason::NotFound),
        ("/assets/tiny".to_owned(), Reason::NotFound),
        ("/assets/tiny/.hidden".to_owned(), Reason::BadName),
        ("/assets/../outside".to_owned(), Reason::BadName),
        ("/assets/%2e%2e/outside".to_owned(), Reason::BadName),
        ("/assets/..%2foutside".to_owned(), Reason::NotFound),
        ("/nothing".to_owned(), Reason::NotFound),
        ("/boot/zz/boot.ipxe".to_owned(), Reason::NotFound),
    ] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.text(), "not found\n", "{path}");
        assert_eq!(site.last(Kind::HttpRefused).await.reason, reason, "{path}");
    }
    assert_eq!(site.state().await, InstallState::Booting);
}

/// The same script for all, under each name by which an iPXE without one of its own asks for it.
#[tokio::test]
async fn the_script_for_any_machine() {
    let site = Site::new();
    let script = site.get(STRANGER, "/boot/boot.ipxe").await;
    assert_eq!(script.status, StatusCode::OK);
    assert!(script.text().contains("/boot/${netX/mac:hexhyp}/boot.ipxe"));
    for path in ["/autoexec.ipxe", "/assets/ipxe/autoexec.ipxe"] {
        let told = site.get(STRANGER, path).await;
        assert_eq!((told.status, told.text()), (StatusCode::OK, script.text()));
        assert_eq!(
            site.last(Kind::HttpScript).await.reason,
            Reason::ChainScript
        );
    }
}

#[tokio::test]
async fn one_request_is_one_event() {
    let site = Site::new();
    for path in [
        "/boot/boot.ipxe",
        "/assets/tiny/initrd.gz",
        "/assets/x",
        "/x",
        "/boot/x/boot.ipxe",
    ] {
        let before = site.events().await.len();
        site.get(WEB01, path).await;
        assert_eq!(site.events().await.len(), before + 1, "{path}");
    }
    let before = site.events().await.len();
    site.get(STRANGER, &script_of("52-54-00-00-00-01")).await;
    let told: Vec<Kind> = site
        .events()
        .await
        .iter()
        .skip(before)
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        told.iter()
            .filter(|kind| **kind == Kind::HttpScript)
            .count(),
        1
    );
}

#[tokio::test]
async fn methods() {
    let site = Site::new();
    let token = site.arm().await;
    for (method, path, allow) in [
        (Method::POST, script_of(MAC), "GET, HEAD"),
        (Method::PUT, "/assets/tiny/linux".to_owned(), "GET, HEAD"),
        (Method::DELETE, answer(&token), "GET, HEAD, POST"),
        (Method::HEAD, report(&token, "started"), "GET, POST"),
        (Method::GET, report(&token, "logs/syslog"), "PUT, POST"),
        (Method::GET, report(&token, "webhook"), "POST"),
        (Method::PUT, "/unattended/built".to_owned(), "GET, POST"),
        (Method::POST, "/healthz".to_owned(), "GET, HEAD"),
    ] {
        let reply = site.ask(WEB01, method.clone(), &path).await;
        assert_eq!(
            reply.status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {path}"
        );
        assert_eq!(reply.header(&header::ALLOW), allow);
    }
    assert_eq!(site.state().await, InstallState::Armed);
}

#[tokio::test]
async fn while_the_store_fails_machines_are_told_to_try_again() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;

    site.switches.fail_commits(true);
    let reply = site.get(WEB01, &answer(&token)).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.header(&header::RETRY_AFTER), "5");
    assert_eq!(
        site.last(Kind::HttpRefused).await.reason,
        Reason::StoreUnavailable
    );
    let reply = site.get(WEB01, &report(&token, "installed")).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);

    site.switches.fail_reads(true);
    for path in [answer(&token), report(&token, "installed")] {
        let reply = site.get(WEB01, &path).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    // Boot files need no store.
    assert_eq!(
        site.get(WEB01, "/assets/tiny/linux").await.status,
        StatusCode::OK
    );

    site.switches.fail_reads(false);
    site.switches.fail_commits(false);
    assert_eq!(site.state().await, InstallState::Booting);
    assert_eq!(
        site.get(WEB01, &answer(&token)).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn an_answer_that_cannot_be_rendered_leaves_the_record() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    // The same configuration, its template gone.
    let whole = config();
    let snapshot = &whole.snapshot;
    let without = Snapshot::new(
        snapshot.server.clone(),
        snapshot.subnets.clone(),
        snapshot
            .hosts()
            .iter()
            .map(|host| (**host).clone())
            .collect(),
        snapshot
            .profiles()
            .values()
            .map(|profile| (**profile).clone())
            .collect(),
        std::collections::BTreeMap::new(),
    );
    site.ctx().in_force.store(Arc::new(InForce {
        renderer: Renderer::new(&without),
        snapshot: without,
    }));
    let reply = site.get(WEB01, &answer(&token)).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(reply.text().lines().count(), 1, "{}", reply.text());
    assert!(reply.text().contains("answers.txt.j2"), "{}", reply.text());
    assert_eq!(
        site.last(Kind::HttpRefused).await.reason,
        Reason::RenderFailed
    );
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn a_posted_body_is_answered_and_bounded() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = answer(&token);
    let reply = site
        .ask_with(WEB01, Method::POST, &path, &[], vec![b'x'; (64 << 10) + 1])
        .await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(site.state().await, InstallState::Booting);
    let reply = site
        .ask_with(WEB01, Method::POST, &path, &[], vec![b'x'; 64 << 10])
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(site.state().await, InstallState::Installing);
}

#[tokio::test]
async fn reports_in_every_usual_form() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    site.get(WEB01, &report(&token, "started")).await;
    assert_eq!(site.state().await, InstallState::Installing);
    let progress = report(&token, "progress");
    for (content_type, body, message, percent) in [
        (
            "application/json",
            r#"{"message": "a", "percent": 10}"#,
            "a",
            10,
        ),
        (
            "application/x-www-form-urlencoded",
            "message=b+c&percent=20",
            "b c",
            20,
        ),
        ("text/plain", "d", "d", 20),
    ] {
        let reply = site
            .ask_with(
                WEB01,
                Method::POST,
                &progress,
                &[(header::CONTENT_TYPE, content_type)],
                body,
            )
            .await;
        assert_eq!(reply.status, StatusCode::OK);
        let record = site.record().await.unwrap();
        assert_eq!(record.message.as_deref(), Some(message));
        assert_eq!(record.percent, Some(percent));
    }
    let reply = site
        .ask_with(
            WEB01,
            Method::POST,
            &report(&token, "failed"),
            &[],
            "no disk",
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Failed);
    assert!(record.message.unwrap().contains("no disk"));
    // Late, and from the production network: it is taken, and makes a lost report good.
    let reply = site.get(STRANGER, &report(&token, "installed")).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(site.state().await, InstallState::Installed);
    // Ignored is `ok` as well, and told.
    assert_eq!(
        site.get(STRANGER, &report(&token, "started")).await.text(),
        "ok\n"
    );
    assert_eq!(site.last(Kind::ReportIgnored).await.host, Some(web01()));
    // After seven days the token is void.
    site.clock.advance(Duration::from_secs(8 * 86_400));
    let reply = site.get(WEB01, &report(&token, "up")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn logs_are_kept_for_the_machine_only() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = report(&token, "logs/syslog");
    let reply = site.ask_with(STRANGER, Method::PUT, &path, &[], "x").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    for method in [Method::PUT, Method::POST] {
        let reply = site.ask_with(WEB01, method, &path, &[], "a log").await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let armed = site.record().await.unwrap().armed_at.unwrap().compact();
    let kept = site
        .folder
        .path()
        .join(format!("logs/web01/{armed}-1/syslog"));
    assert_eq!(std::fs::read(kept).unwrap(), b"a log");
    assert_eq!(site.last(Kind::ReportLog).await.bytes, Some(5));
    for name in ["..", ".x", "%2e%2e", "a b"] {
        let path = report(&token, &format!("logs/{}", name.replace(' ', "%20")));
        let reply = site.ask_with(WEB01, Method::PUT, &path, &[], "x").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{name}");
    }
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn what_a_machine_tells_with_its_question_is_kept() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = answer(&token);
    let facts = r#"{"dmi":{"system":{"serial":"X1"}}}"#;
    let reply = site
        .ask_with(STRANGER, Method::POST, &path, &[], facts)
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let logs = site.folder.path().join("logs");
    assert!(!logs.exists());
    let reply = site.ask_with(WEB01, Method::POST, &path, &[], facts).await;
    assert_eq!(reply.status, StatusCode::OK);
    let armed = site.record().await.unwrap().armed_at.unwrap().compact();
    let kept = logs.join(format!("web01/{armed}-1/facts"));
    assert_eq!(std::fs::read_to_string(kept).unwrap(), facts);
    let event = site.last(Kind::HttpAnswer).await;
    assert!(event.detail.unwrap().starts_with("its facts are kept as "));
}

#[tokio::test]
async fn a_log_is_a_sign_of_life() {
    let site = Site::new();
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = report(&token, "logs/syslog");
    // Three times most of the silence that is allowed.
    for _ in 0..3 {
        site.clock.advance(Duration::from_secs(40 * 60));
        let reply = site.ask_with(WEB01, Method::PUT, &path, &[], "x").await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    assert_eq!(site.state().await, InstallState::Booting);
    site.clock.advance(Duration::from_secs(46 * 60));
    assert_eq!(site.state().await, InstallState::Failed);
}

#[tokio::test]
async fn health() {
    let site = Site::new();
    assert_eq!(site.get(STRANGER, "/healthz").await.text(), "ok\n");
    site.plane.health.trouble("tftp", "10.99.0.2:69 is taken");
    let reply = site.get(STRANGER, "/healthz").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(reply.text().starts_with("degraded\ntftp: "));
    site.plane.health.closed("dhcp", "10.99.0.2:67 is taken");
    let reply = site.get(STRANGER, "/healthz").await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.text().starts_with("degraded\ndhcp: "));
}
