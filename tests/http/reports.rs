//! Reports with logs, events of curtin and subiquity, and the URLs of installers made for Foreman.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bootwright::serve::logs;
use futures_util::StreamExt as _;
use hyper::Request;
use serde_json::{Value, json};

use super::*;

impl Site {
    /// Arms web01 and has it boot.
    async fn booting(&self) -> Token {
        let token = self.arm().await;
        self.get(WEB01, &script_of(MAC)).await;
        token
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> StatusCode {
        let headers = [(header::CONTENT_TYPE, content_type)];
        let headers = if content_type.is_empty() {
            &headers[..0]
        } else {
            &headers[..]
        };
        self.ask_with(WEB01, Method::POST, path, headers, body.into())
            .await
            .status
    }

    async fn webhook(&self, token: &Token, event: Value) {
        let path = report(token, "webhook");
        let status = self
            .post(&path, "application/json", event.to_string())
            .await;
        assert_eq!(status, StatusCode::OK, "{event}");
    }

    /// The logs that are kept: name and text.
    async fn kept(&self) -> Vec<(String, String)> {
        let folder = self.folder.path().join("logs");
        let attempts = logs::list(&folder, &web01()).await.unwrap();
        let Some(last) = attempts.first() else {
            return Vec::new();
        };
        last.logs
            .iter()
            .map(|log| {
                let path = folder.join("web01").join(&last.id).join(&log.name);
                let text = std::fs::read(path).unwrap();
                (
                    log.name.clone(),
                    String::from_utf8_lossy(&text).into_owned(),
                )
            })
            .collect()
    }
}

const TAIL: &str = "one\ntwo\nthree\nfour\nE: no space left on device\n";

#[tokio::test]
async fn a_failure_brings_the_tail_of_its_log() {
    let form = "application/x-www-form-urlencoded";
    let multipart = "multipart/form-data; boundary=q";
    let parts = format!(
        "--q\r\nContent-Disposition: form-data; name=\"message\"\r\n\r\nno disk\r\n--q\r\nContent-Disposition: form-data; name=\"log\"; filename=\"syslog\"\r\n\r\n{TAIL}\r\n--q--\r\n"
    );
    let encoded = TAIL
        .replace('\n', "%0A")
        .replace(' ', "+")
        .replace(':', "%3A");
    for (query, content_type, body, message) in [
        (
            "",
            "text/plain",
            TAIL.to_owned(),
            "E: no space left on device",
        ),
        // As busybox wget's --post-file sends it.
        (
            "?message=late%20command",
            form,
            TAIL.to_owned(),
            "late command",
        ),
        (
            "",
            form,
            format!("message=no+disk&log={encoded}"),
            "no disk",
        ),
        (
            "",
            "application/json",
            json!({"message": "no disk", "log": TAIL}).to_string(),
            "no disk",
        ),
        ("", multipart, parts, "no disk"),
    ] {
        let site = Site::new();
        let token = site.booting().await;
        site.get(WEB01, &report(&token, "started")).await;
        let path = format!("{}{query}", report(&token, "failed"));
        for _ in 0..2 {
            let status = site.post(&path, content_type, body.clone()).await;
            assert_eq!(status, StatusCode::OK, "{content_type}");
        }
        let record = site.record().await.unwrap();
        assert_eq!(record.state, InstallState::Failed);
        assert_eq!(record.message.as_deref(), Some(message), "{content_type}");
        assert_eq!(
            site.kept().await,
            [("failed.log".to_owned(), TAIL.to_owned())],
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn no_report_carries_its_token_into_the_record_or_the_journal() {
    // Installers print the URLs that they could not fetch.
    let site = Site::new();
    let token = site.booting().await;
    let url = format!("http://10.99.0.2{}", answer(&token));
    let message = format!("wget: can't fetch {url}: 404");
    let event = json!({
        "name": "subiquity/x", "event_type": "finish", "result": "FAIL", "origin": "subiquity",
        "description": message,
    });
    site.webhook(&token, event).await;
    for (kind, body) in [
        ("started", message.clone()),
        ("progress", json!({"message": message}).to_string()),
        ("failed", format!("one\ntwo\nthree\nfour\n{message}\n")),
        // Changes nothing, and is told all the same.
        ("started", message.clone()),
    ] {
        let status = site.post(&report(&token, kind), "", body).await;
        assert_eq!(status, StatusCode::OK);
    }
    let record = site.record().await.unwrap();
    let said = record.message.unwrap();
    assert!(
        said.starts_with("wget: can't fetch http://10.99.0.2/answers/"),
        "{said}"
    );
    assert!(!said.contains(token.reveal()), "{said}");
    for event in site.events().await {
        let text = event.to_json_of("server").to_string();
        assert!(!text.contains(token.reveal()), "{text}");
    }
}

#[tokio::test]
async fn what_no_token_opens_looks_alike_whatever_the_reason() {
    let site = Site::new();
    let token = site.booting().await;
    let void = Token::from_bytes([7; 16]);
    let mut seen = Vec::new();
    let mut ask = async |peer, method: &Method, path: &str, body: &[u8]| {
        let body = body.to_vec();
        let reply = site.ask_with(peer, method.clone(), path, &[], body).await;
        let bytes = (method != Method::HEAD).then(|| reply.bytes().to_vec());
        seen.push((reply.status, reply.headers, bytes));
    };
    let large = vec![b'x'; 100_000];
    for (peer, token) in [
        (WEB02, token.reveal()),
        (WEB01, void.reveal()),
        (WEB01, "short"),
    ] {
        for path in ["answers.txt", "none", "secrets/disk", "secrets/none"] {
            ask(peer, &Method::GET, &format!("/answers/{token}/{path}"), b"").await;
            ask(
                peer,
                &Method::HEAD,
                &format!("/answers/{token}/{path}"),
                b"",
            )
            .await;
        }
        for path in ["installed", "webhook", "logs/syslog", "logs/..x", "none"] {
            ask(
                peer,
                &Method::POST,
                &format!("/report/{token}/{path}"),
                &large,
            )
            .await;
        }
        let built = format!("/unattended/built?token={token}");
        ask(peer, &Method::POST, &built, &large).await;
    }
    // `none` is no report at all: that a method is not for it tells nothing about tokens.
    seen.retain(|(status, ..)| *status != StatusCode::METHOD_NOT_ALLOWED);
    let first = &seen[0];
    assert_eq!(first.0, StatusCode::NOT_FOUND);
    for (status, headers, bytes) in &seen {
        assert_eq!((status, headers), (&first.0, &first.1));
        assert!(bytes.is_none() || *bytes == first.2, "{bytes:?}");
    }
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn the_end_counts_also_with_a_log_that_is_too_large() {
    let site = Site::new();
    let token = site.booting().await;
    site.get(WEB01, &report(&token, "started")).await;
    let chunk = vec![b'x'; logs::MAX_LOG / 4];
    let sent = Arc::new(AtomicUsize::new(0));
    let body = futures_util::stream::iter(0..10).map({
        let sent = sent.clone();
        move |_| {
            sent.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(chunk.clone())
        }
    });
    let path = format!("{}?message=no+disk", report(&token, "failed"));
    let reply = site
        .send(
            WEB01,
            Request::post(path).body(Body::from_stream(body)).unwrap(),
        )
        .await;
    assert_eq!(reply.status, StatusCode::OK);
    // All of it was taken: wget hears no answer before it has sent everything.
    assert_eq!(sent.load(Ordering::Relaxed), 10);
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Failed);
    let message = record.message.unwrap();
    assert!(
        message.starts_with("no disk (a log of more than 8 MiB"),
        "{message}"
    );
    assert!(site.kept().await.is_empty());
    // On the way it is a mistake that the installer is told.
    let path = report(&token, "progress");
    let status = site.post(&path, "text/plain", vec![b'x'; 70_000]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn an_unattended_subiquity_from_its_first_event_to_its_last() {
    let site = Site::new();
    let token = site.booting().await;
    let event = |name: &str, event_type: &str, result: Option<&str>| {
        json!({
            "name": name, "event_type": event_type, "description": "what it does", "origin": "curtin",
            "timestamp": 1_700_000_000.25, "level": "INFO", "result": result,
        })
    };
    // Any event says that the installer runs.
    site.webhook(
        &token,
        event("subiquity/Early/run", "finish", Some("SUCCESS")),
    )
    .await;
    assert_eq!(site.state().await, InstallState::Installing);
    site.webhook(&token, event("subiquity/Install/install", "start", None))
        .await;
    let message = site.record().await.unwrap().message.unwrap();
    assert_eq!(message, "subiquity/Install/install: what it does");
    for (name, result) in [
        (
            "subiquity/Install/install/curtin_install/cmd-install",
            "SUCCESS",
        ),
        (
            "subiquity/Install/install/curtin_install/cmd-install",
            "FAIL",
        ),
        ("subiquity/Network/apply", "WARN"),
        ("subiquity/Install/install", "SUCCESS"),
        ("subiquity/Late/run", "SUCCESS"),
    ] {
        site.webhook(&token, event(name, "finish", Some(result)))
            .await;
        assert_eq!(site.state().await, InstallState::Installing, "{name}");
    }
    site.webhook(&token, event("subiquity/Shutdown/shutdown", "start", None))
        .await;
    assert_eq!(site.state().await, InstallState::Installed);
    // What comes after the end is ignored, and `up` is another end.
    site.webhook(
        &token,
        event("subiquity/Shutdown/shutdown", "finish", Some("SUCCESS")),
    )
    .await;
    let record = site.record().await.unwrap();
    assert_eq!(
        (record.state, record.up_at),
        (InstallState::Installed, None)
    );
    for event in site.events().await {
        assert!(!event.to_json().to_string().contains(token.reveal()));
    }
}

#[tokio::test]
async fn a_failed_installer_that_is_told_to_reboot_is_not_installed() {
    let site = Site::new();
    let token = site.booting().await;
    let event = |name: &str, event_type: &str, result: Option<&str>| json!({"name": name, "event_type": event_type, "result": result, "description": "x"});
    site.webhook(&token, event("subiquity/Install/install", "start", None))
        .await;
    site.webhook(
        &token,
        event("subiquity/Install/install", "finish", Some("FAIL")),
    )
    .await;
    assert_eq!(site.state().await, InstallState::Failed);
    site.webhook(&token, event("subiquity/Shutdown/shutdown", "start", None))
        .await;
    assert_eq!(site.state().await, InstallState::Failed);
    assert_eq!(
        site.last(Kind::ReportIgnored).await.reason,
        Reason::NoChange
    );
}

#[tokio::test]
async fn curtin_by_itself_sends_its_log_along() {
    let site = Site::new();
    let token = site.booting().await;
    let curtin = |event_type: &str, result: Option<&str>, content: &str| {
        json!({
            "name": "cmd-install", "event_type": event_type, "result": result,
            "description": "curtin command install", "origin": "curtin",
            "files": [{"path": "/tmp/install.log", "content": content, "encoding": "base64"}],
        })
    };
    site.webhook(
        &token,
        json!({"name": "cmd-install", "event_type": "start", "description": "x"}),
    )
    .await;
    assert_eq!(site.state().await, InstallState::Installing);
    site.webhook(&token, curtin("finish", Some("SUCCESS"), "YWxsIHdlbGw="))
        .await;
    assert_eq!(site.state().await, InstallState::Installed);
    assert_eq!(
        site.kept().await,
        [("install.log".to_owned(), "all well".to_owned())]
    );
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_so_is_a_stranger() {
    let site = Site::new();
    let token = site.booting().await;
    let path = report(&token, "webhook");
    for body in ["", "text", "[]", r#"{"name": "cmd-install"}"#] {
        let status = site.post(&path, "application/json", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    let event = r#"{"name": "cmd-install", "event_type": "finish", "result": "SUCCESS"}"#;
    let reply = site
        .ask_with(STRANGER, Method::POST, &path, &[], event)
        .await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let other = report(&Token::from_bytes([7; 16]), "webhook");
    assert_eq!(site.post(&other, "", event).await, StatusCode::NOT_FOUND);
    assert_eq!(site.state().await, InstallState::Booting);
}

#[tokio::test]
async fn installers_made_for_foreman() {
    let url = |event: &str, token: &Token| format!("/unattended/{event}?token={}", token.reveal());
    for method in [Method::GET, Method::POST] {
        let site = Site::new();
        let token = site.booting().await;
        for refused in [
            "/unattended/built",
            "/unattended/built?token=",
            "/unattended/built?token=x",
        ] {
            let reply = site.ask(WEB01, method.clone(), refused).await;
            assert_eq!(reply.status, StatusCode::NOT_FOUND, "{refused}");
        }
        let reply = site
            .ask(STRANGER, method.clone(), &url("built", &token))
            .await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        assert_eq!(site.state().await, InstallState::Booting);
        for _ in 0..2 {
            let reply = site.ask(WEB01, method.clone(), &url("built", &token)).await;
            assert_eq!(
                (reply.status, reply.text().as_str()),
                (StatusCode::OK, "ok\n")
            );
        }
        assert_eq!(site.state().await, InstallState::Installed);
        for event in site.events().await {
            assert!(!event.to_json().to_string().contains(token.reveal()));
        }
    }
    let site = Site::new();
    let token = site.booting().await;
    site.get(WEB01, &report(&token, "started")).await;
    let status = site
        .post(
            &url("failed", &token),
            "text/plain",
            "the %post script failed",
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    let record = site.record().await.unwrap();
    assert_eq!(record.state, InstallState::Failed);
    assert_eq!(record.message.as_deref(), Some("the %post script failed"));
}

#[tokio::test]
async fn an_attempt_keeps_so_many_logs_and_no_more() {
    let site = Site::new();
    let token = site.booting().await;
    for i in 0..logs::MAX_LOGS {
        let path = report(&token, &format!("logs/l{i}"));
        let reply = site.ask_with(WEB01, Method::PUT, &path, &[], "x").await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let path = report(&token, "logs/further");
    let reply = site.ask_with(WEB01, Method::PUT, &path, &[], "x").await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let path = report(&token, "logs/l0");
    let large = vec![b'x'; logs::MAX_LOG + 1];
    let reply = site.ask_with(WEB01, Method::PUT, &path, &[], large).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    let largest = vec![b'x'; logs::MAX_LOG];
    let reply = site.ask_with(WEB01, Method::PUT, &path, &[], largest).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(site.kept().await.len(), logs::MAX_LOGS);
}
