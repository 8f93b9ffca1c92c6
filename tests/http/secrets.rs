//! Secrets over the boot plane: in answers, and one time per attempt by a URL of their own.

use std::time::Duration;

use bootwright::base::Token;
use bootwright::journal::{Kind, Reason};
use bootwright::record::{Input, InstallState};
use hyper::header;
use hyper::{Method, StatusCode};

use crate::site::*;

/// What every value of the secrets holds.
const VALUE: &str = "hunter2";

const SECRETS: &str = "root = \"hunter2-root\"\nlong = '''hunter2\nhunter2'''\n\
     [luks]\nvalue = \"hunter2-luks\\n\"\nonce = true\n\
     [\"disk.key\"]\nvalue = \"hunter2-disk\"\nonce = true\n";

fn site_with(template: &str) -> Site {
    let site = Site::new();
    site.ctx().in_force.store(config_with(template, SECRETS));
    site
}

fn secret(token: &Token, name: &str) -> String {
    format!("/answers/{}/secrets/{name}", token.reveal())
}

/// Nothing that was told holds a value or the token.
async fn nothing_is_told(site: &Site, token: &Token) {
    for event in site.events().await {
        let json = event.to_json().to_string();
        assert!(!json.contains(VALUE), "{json}");
        assert!(!json.contains(token.reveal()), "{json}");
    }
}

async fn count(site: &Site, kind: Kind) -> usize {
    let events = site.events().await;
    events.iter().filter(|event| event.kind == kind).count()
}

#[tokio::test]
async fn an_answer_holds_its_secrets_for_the_machine_alone() {
    let site = site_with("{{ secret('root') }} {{ secret_url('luks') }}");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let answers = site.get(WEB01, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::OK);
    let url = format!("http://10.99.0.2:8080{}", secret(&token, "luks"));
    assert_eq!(answers.text(), format!("hunter2-root {url}"));
    assert_eq!(answers.header(&header::CACHE_CONTROL), "no-store");
    let answers = site.get(STRANGER, &answer(&token)).await;
    assert_eq!(answers.status, StatusCode::NOT_FOUND);
    assert!(!answers.text().contains(VALUE));
    nothing_is_told(&site, &token).await;
}

#[tokio::test]
async fn a_secret_is_given_once_per_attempt() {
    let site = site_with("x");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;

    let given = site.get(WEB01, &secret(&token, "luks")).await;
    assert_eq!(given.status, StatusCode::OK);
    assert_eq!(given.text(), "hunter2-luks\n");
    assert_eq!(given.header(&header::CACHE_CONTROL), "no-store");
    assert_eq!(
        given.header(&header::CONTENT_TYPE),
        "text/plain; charset=utf-8"
    );
    let served = site.last(Kind::SecretServed).await;
    assert_eq!(served.host, Some(web01()));
    assert_eq!(served.detail.as_deref(), Some("luks, attempt 1 of 3"));
    assert_eq!(served.ip, Some(WEB01));
    assert_eq!(site.record().await.unwrap().secrets, ["luks"]);

    let again = site.get(WEB01, &secret(&token, "luks")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);
    assert_eq!(again.text(), "not found\n");
    let told = site.last(Kind::SecretAgain).await;
    assert_eq!(told.reason, Reason::SecretGiven);
    assert_eq!((told.host, told.ip), (Some(web01()), Some(WEB01)));
    assert_eq!(told.mac, Some(MAC.parse().unwrap()));
    assert_eq!(
        told.detail.as_deref(),
        Some("10.99.0.11 asked for luks again in attempt 1")
    );
    // Another one is another one; names are decoded once.
    let other = site.get(WEB01, &secret(&token, "disk%2ekey")).await;
    assert_eq!(other.text(), "hunter2-disk");

    // The next attempt gets it anew.
    site.clock.advance(Duration::from_secs(60));
    site.apply(&Input::Script { further_boot: true }).await;
    assert_eq!(site.record().await.unwrap().attempt, 2);
    let given = site.get(WEB01, &secret(&token, "luks")).await;
    assert_eq!(given.text(), "hunter2-luks\n");
    assert_eq!(count(&site, Kind::SecretAgain).await, 1);
    nothing_is_told(&site, &token).await;
}

#[tokio::test]
async fn of_two_that_ask_at_once_one_is_given_it() {
    let site = site_with("x");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = secret(&token, "luks");
    let replies = futures_util::future::join_all((0..8).map(|_| site.get(WEB01, &path))).await;
    let given = replies
        .iter()
        .filter(|reply| reply.status == StatusCode::OK)
        .count();
    assert_eq!(given, 1);
    assert_eq!(count(&site, Kind::SecretAgain).await, 7);
}

#[tokio::test]
async fn nobody_else_and_nothing_else_is_given_a_secret() {
    let site = site_with("x");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let other = Token::from_bytes([7; 16]);
    for (peer, path, reason) in [
        (WEB02, secret(&token, "luks"), Reason::NotThisMachine),
        (STRANGER, secret(&token, "luks"), Reason::NotThisMachine),
        (WEB01, secret(&other, "luks"), Reason::UnknownToken),
        (
            WEB01,
            "/answers/short/secrets/luks".to_owned(),
            Reason::UnknownToken,
        ),
        // In answers only.
        (WEB01, secret(&token, "root"), Reason::NoSecret),
        (WEB01, secret(&token, "none"), Reason::NoSecret),
        (WEB01, secret(&token, "a%20b"), Reason::NoSecret),
        (WEB01, secret(&token, ""), Reason::UnknownAnswer),
    ] {
        let before = site.events().await.len();
        let reply = site.get(peer, &path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(reply.text(), "not found\n");
        assert_eq!(
            site.last(Kind::HttpRefused).await.reason,
            reason,
            "{peer} {path}"
        );
        assert_eq!(site.events().await.len(), before + 1);
    }
    let reply = site.ask(WEB01, Method::POST, &secret(&token, "luks")).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(reply.header(&header::ALLOW), "GET, HEAD");
    assert_eq!(site.record().await.unwrap().secrets, [""; 0]);

    // Shut with the installation.
    site.get(WEB01, &answer(&token)).await;
    site.get(WEB01, &report(&token, "installed")).await;
    assert_eq!(site.state().await, InstallState::Installed);
    let reply = site.get(WEB01, &secret(&token, "luks")).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(site.last(Kind::HttpRefused).await.reason, Reason::VoidToken);
    nothing_is_told(&site, &token).await;
}

#[tokio::test]
async fn head_changes_nothing_and_tells_nothing() {
    let site = site_with("x");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = secret(&token, "luks");
    let before = site.record().await;
    let first = site.ask(WEB01, Method::HEAD, &path).await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(first.bytes(), b"");
    assert_eq!(site.record().await, before);
    assert_eq!(site.get(WEB01, &path).await.status, StatusCode::OK);
    // Neither the length nor whether it was given.
    let second = site.ask(WEB01, Method::HEAD, &path).await;
    assert_eq!(
        (second.status, &second.headers),
        (first.status, &first.headers)
    );
    let length = first.headers.get(header::CONTENT_LENGTH);
    assert!(length.is_none_or(|length| length == "0"), "{length:?}");
    assert_eq!(count(&site, Kind::SecretAgain).await, 0);
    let reply = site.ask(STRANGER, Method::HEAD, &path).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_given() {
    let site = site_with("x");
    let token = site.arm().await;
    site.get(WEB01, &script_of(MAC)).await;
    let path = secret(&token, "luks");
    site.switches.fail_commits(true);
    let reply = site.get(WEB01, &path).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!reply.text().contains(VALUE));
    site.switches.fail_commits(false);
    site.switches.fail_reads(true);
    let reply = site.get(WEB01, &path).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    site.switches.fail_reads(false);
    assert_eq!(site.get(WEB01, &path).await.text(), "hunter2-luks\n");
}

#[tokio::test]
async fn an_answer_that_fails_on_a_secret_does_not_tell_it() {
    for (template, reason) in [
        ("{{ secret('long') | line }}", Reason::RenderFailed),
        ("{{ secret('root') }}{{ secret('none') }}", Reason::NoSecret),
        (
            "{% if secret('root') == 'hunter2-root' %}{{ secret('root').a.b }}{% endif %}",
            Reason::RenderFailed,
        ),
    ] {
        let site = site_with("x");
        let token = site.arm().await;
        // Its script was served before the secret was taken out.
        site.get(WEB01, &script_of(MAC)).await;
        site.ctx().in_force.store(config_with(template, SECRETS));
        let reply = site.get(WEB01, &answer(&token)).await;
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(reply.text().lines().count(), 1);
        assert!(
            reply.text().contains("answers.txt.j2:1"),
            "{}",
            reply.text()
        );
        assert!(!reply.text().contains(VALUE), "{}", reply.text());
        assert_eq!(site.last(Kind::HttpRefused).await.reason, reason);
        assert_eq!(site.state().await, InstallState::Booting);
        nothing_is_told(&site, &token).await;
    }
}

#[tokio::test]
async fn a_secret_that_has_gone_boots_the_disk() {
    let site = site_with("x");
    let token = site.arm().await;
    site.ctx()
        .in_force
        .store(config_with("{{ secret('none') }}", SECRETS));
    let script = site.get(WEB01, &script_of(MAC)).await;
    assert!(!script.text().contains(token.reveal()));
    assert!(
        script.text().contains("a secret is missing (none)"),
        "{}",
        script.text()
    );
    let told = site.last(Kind::HttpScript).await;
    assert_eq!(told.reason, Reason::NoSecret);
    assert_eq!(site.state().await, InstallState::Armed);
    // And is back.
    site.ctx()
        .in_force
        .store(config_with("{{ secret('root') }}", SECRETS));
    site.get(WEB01, &script_of(MAC)).await;
    assert_eq!(site.state().await, InstallState::Booting);
}
