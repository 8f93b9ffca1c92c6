//! Logs of installers, as operators list and read them.

use bootwright::base::Token;
use bootwright::record::Record;
use bootwright::serve::logs;

use super::*;

async fn keep(site: &Site, host: &str, attempt: u32, name: &str, text: &[u8]) {
    let record = Record {
        armed_at: Some(Timestamp::from_secs(1_800_000_000)),
        attempt,
        token: Some(Token::from_bytes([1; 16])),
        ..Record::new(host.parse().unwrap())
    };
    let body = Body::from(text.to_vec());
    logs::keep(&site.admin.logs, &record, name, body)
        .await
        .unwrap();
}

#[tokio::test]
async fn logs_are_listed_and_read_as_they_came() {
    let site = Site::new();
    let (status, kept) = site.get("/hosts/web01/logs").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(kept, json!({"host": "web01", "attempts": []}));

    let bytes = b"\x00\xff\x1b[31m\r\n";
    keep(&site, "web01", 1, "syslog", b"first").await;
    keep(&site, "web01", 2, "syslog", bytes).await;
    keep(&site, "web01", 1, "curtin.log", b"only in the first").await;
    let (_, kept) = site.get("/hosts/10.99.0.11/logs").await;
    let attempts = kept["attempts"].as_array().unwrap();
    let numbers: Vec<u64> = attempts
        .iter()
        .map(|attempt| attempt["attempt"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(attempts[0]["logs"][0]["name"], "syslog");
    assert_eq!(attempts[0]["logs"][0]["bytes"], bytes.len());
    let first = attempts[1]["id"].as_str().unwrap();

    for (attempt, file, expected) in [
        ("latest", "syslog", bytes.as_slice()),
        (first, "syslog", b"first"),
        ("latest", "curtin.log", b"only in the first"),
    ] {
        let path = format!("/hosts/web01/logs/{attempt}/{file}");
        let (status, body) = site.raw(Method::GET, &path, String::new()).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let found = body.collect().await.unwrap().to_bytes();
        assert_eq!(found, expected, "{path}");
    }
    for path in [
        "/hosts/web01/logs/latest/none",
        "/hosts/web01/logs/other/syslog",
        "/hosts/web01/logs/%2e%2e/syslog",
        "/hosts/web01/logs/latest/%2e%2e%2f%2e%2e%2fsyslog",
        "/hosts/web02/logs/latest/syslog",
    ] {
        let (status, value) = site.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(refusal(&value).0, "no-such-log", "{path}");
    }
    let (status, _) = site.post("/hosts/web01/logs", Value::Null).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn what_a_host_has_left_that_is_gone_is_found_by_its_name() {
    let site = Site::new();
    keep(&site, "gone01", 1, "syslog", b"x").await;
    let (status, kept) = site.get("/hosts/gone01/logs").await;
    assert_eq!(status, StatusCode::OK, "{kept}");
    assert_eq!(kept["host"], "gone01");
    let (status, value) = site.get("/hosts/gone02/logs").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(refusal(&value).0, "unknown-host");
}
