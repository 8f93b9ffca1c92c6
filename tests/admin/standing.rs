//! What operators are told while the files are not what is in force.

use std::sync::Arc;

use axum::body::Body;
use bootwright::base::Timestamp;
use bootwright::serve::admin::router;
use bootwright::serve::listener::Operator;
use bootwright::serve::standing::ShownProblem;
use hyper::service::Service as _;
use hyper::{Method, Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::site::*;

fn mistake() -> ShownProblem {
    ShownProblem {
        severity: "error".to_owned(),
        code: "unknown-key".to_owned(),
        place: Some("c/reservations.toml:3:1".to_owned()),
        message: "unknown key `gruop`".to_owned(),
        help: Some("did you mean `group`?".to_owned()),
    }
}

/// As if the daemon had been started on the last good configuration.
fn on_last_good(site: &Site) {
    let mut in_force = Arc::unwrap_or_clone(site.admin.ctx.config());
    in_force.snapshot.last_good = Some(Timestamp::from_secs(1_700_000_000));
    site.admin.ctx.in_force.store(Arc::new(in_force));
    let now = site.admin.ctx.now();
    site.admin.health.standing().reject(now, &[mistake()]);
}

/// The header that says so, of any reply.
async fn header(site: &Site, path: &str) -> Option<String> {
    let mut request = Request::builder()
        .method(Method::GET)
        .uri(format!("/api/v1{path}"))
        .body(Body::empty())
        .unwrap();
    let operator = Operator { uid: 0, pid: None };
    request.extensions_mut().insert(operator);
    let service = TowerToHyperService::new(router(site.admin.clone()));
    let response = service.call(request).await.unwrap();
    let value = response.headers().get("bootwright-configuration");
    value.map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn on_the_last_good_configuration_no_host_is_armed_and_every_listing_says_so() {
    let site = Site::new();
    on_last_good(&site);
    for (path, body) in [
        ("/hosts/web01/install", json!({"force": true})),
        ("/install", json!({"hosts": ["web01", "web02"]})),
    ] {
        let (status, value) = site.post(path, body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{value}");
        let text = value.to_string();
        assert!(
            text.contains("last-good") && text.contains("web01 cannot be armed"),
            "{text}"
        );
        assert!(text.contains("bootwright check"), "{text}");
    }
    let (_, preview) = site
        .post("/install", json!({"hosts": ["web01"], "dry_run": true}))
        .await;
    assert_eq!(preview["refused"], 1, "{preview}");
    let (_, hosts) = site.get("/hosts").await;
    assert!(
        hosts
            .as_array()
            .unwrap()
            .iter()
            .all(|host| host["configuration"] == "last-good")
    );
    assert_eq!(
        site.get("/hosts/web01").await.1["configuration"],
        "last-good"
    );
    assert_eq!(site.get("/status").await.1["configuration"], "last-good");
    let (_, told) = site.get("/configuration").await;
    assert_eq!(
        (&told["stands"], &told["kept"]),
        (&json!("last-good"), &json!(false))
    );
    assert_eq!(told["rejected"]["problems"][0]["code"], "unknown-key");
    // Also with what is no listing, and with what is refused.
    for path in ["/leases", "/hosts/nobody", "/nothing"] {
        let said = header(&site, path).await.unwrap();
        assert!(
            said.contains("arms no host") && said.contains("gruop"),
            "{said}"
        );
    }
    // Taking an arming back is no arming.
    let (status, _) = site.post("/hosts/web01/local", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn files_with_errors_stand_above_the_listings_and_keep_nobody_from_arming() {
    let site = Site::new();
    assert_eq!(header(&site, "/hosts").await, None);
    let (_, told) = site.get("/configuration").await;
    assert_eq!(told, json!({"generation": 1, "kept": false}));
    let now = site.admin.ctx.now();
    let umlaut = ShownProblem {
        message: "»ä«\nno line of its own".to_owned(),
        ..mistake()
    };
    site.admin.health.standing().reject(now, &[umlaut]);
    let said = header(&site, "/hosts").await.unwrap();
    assert!(
        said.contains("1 error") && said.contains("%C3%A4%C2%AB%0A"),
        "{said}"
    );
    assert_eq!(
        site.get("/hosts/web01").await.1["configuration"],
        "rejected"
    );
    let (status, done) = site.post("/hosts/web01/install", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    site.admin.health.standing().accept();
    assert_eq!(header(&site, "/hosts").await, None);
    assert_eq!(site.get("/hosts/web01").await.1.get("configuration"), None);
}

#[tokio::test]
async fn files_that_are_not_kept_are_not_sent() {
    let site = Site::new();
    let (status, value) = site.get("/configuration/files").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal(&value).0, "not-kept");
}
