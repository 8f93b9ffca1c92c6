//! Hooks over the loopback and the disk: what is delivered, when it is tried again, what survives.

mod receiver;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bootwright::config::snapshot::{Hook, HookTarget};
use bootwright::journal::event::{Kind, Reason};
use bootwright::serve::hooks::post::signature;

use crate::receiver::{Disk, Receiver, Running, free_port, hook, until, url};

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn what_is_wanted_is_delivered_in_order_and_signed() {
    let (disk, receiver) = (Disk::new(), Receiver::new().await);
    let signed = Hook {
        secret: Some("hook-key".to_owned()),
        events: vec![
            "install.*".to_owned(),
            "host.unknown".to_owned(),
            "*".repeat(3),
        ],
        ..url(receiver.url())
    };
    let daemon = disk.start(vec![Hook {
        events: vec!["install.in*".into(), "host.unknown".into()],
        ..signed.clone()
    }]);
    daemon.tell(Kind::InstallInstalled, "first");
    daemon.tell(Kind::InstallArmed, "not wanted");
    daemon.tell(Kind::HostUnknown, "second");
    assert_eq!(receiver.takes(2).await, ["first", "second"]);
    let all = receiver.all();
    assert_eq!(all[0].event, "install.installed");
    for got in &all {
        let json = got.json();
        assert_eq!(json["version"], 1);
        assert_eq!(json["kind"], got.event.as_str());
        assert_eq!(json["host"], "web01");
        assert_eq!(json["id"].to_string(), got.delivery);
        assert!(json["server"].is_string() && json["at"].is_string());
        let timestamp: i64 = got.timestamp.parse().unwrap();
        let expected = signature(b"a long key", timestamp, &got.body);
        assert_eq!(got.signature.as_deref(), Some(expected.as_str()));
    }
    // Whatever the pattern, hooks are not told of hooks.
    daemon.reload(vec![signed]);
    daemon.tell(Kind::HookFailed, "a hook");
    daemon.tell(Kind::InstallUp, "third");
    let taken = receiver.takes(4).await;
    assert_eq!(taken, ["first", "second", "reloaded", "third"]);
    assert_eq!(daemon.failures().await.len(), 1, "the test's own");
    daemon.end().await;
}

#[tokio::test]
async fn a_receiver_in_trouble_is_tried_again_and_told_once() {
    let disk = Disk::new();
    let port = free_port().await;
    let daemon = disk.start(vec![url(format!("http://127.0.0.1:{port}/events?x=1"))]);
    daemon.progress(0..3);
    let failing = || {
        daemon
            .states
            .all()
            .iter()
            .any(|state| state.failing_since.is_some())
    };
    until("it is known to fail", failing).await;
    assert!(daemon.health.text().contains("1 hook takes no events"));

    let receiver = Receiver::on(port).await;
    receiver.answer(500);
    until("it is asked several times", || receiver.all().len() >= 4).await;
    receiver.answer(302);
    let before = receiver.all().len();
    until("a redirect is no success", || {
        receiver.all().len() >= before + 2
    })
    .await;
    receiver.answer(204);
    assert_eq!(receiver.takes(3).await, numbers(0..3));
    // One after another: nothing overtook the first, which kept its id.
    let all = receiver.all();
    let (tries, rest) = all.split_at(all.len() - 2);
    assert!(tries.iter().all(|got| got.delivery == tries[0].delivery));
    assert_ne!(rest[0].delivery, rest[1].delivery);
    until("all is well again", || daemon.health.text() == "ok\n").await;

    let told = daemon.failures().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].reason, Reason::Undelivered);
    let detail = told[0].detail.as_ref().unwrap();
    assert!(
        detail.contains(&format!("http://127.0.0.1:{port}: ")),
        "{detail}"
    );
    assert!(!detail.contains("x=1"), "{detail}");
    // A further outage is told again.
    receiver.answer(503);
    daemon.progress(3..4);
    until("it is refused", || {
        receiver.all().last().is_some_and(|got| got.status == 503)
    })
    .await;
    receiver.answer(200);
    receiver.takes(4).await;
    assert_eq!(daemon.failures().await.len(), 2);
    let state = daemon.states.all().remove(0);
    assert_eq!((state.delivered, state.waiting, state.given_up), (4, 0, 0));
    assert!(state.last_success.is_some() && state.failing_since.is_none());
    daemon.end().await;
}

#[tokio::test]
async fn what_waits_survives_an_end_and_a_kill() {
    let disk = Disk::new();
    let receiver = Receiver::new().await;
    let hooks = || vec![url(receiver.url())];
    let daemon = disk.start(hooks());
    daemon.progress(0..2);
    receiver.takes(2).await;
    receiver.answer(500);
    daemon.progress(2..5);
    let tried = |number: &str| {
        let all = receiver.all();
        all.iter()
            .find(|got| got.detail() == number)
            .map(|got| got.delivery.clone())
    };
    until("it is tried", || tried("2").is_some()).await;
    let id = tried("2").unwrap();
    daemon.end().await;

    let daemon = disk.start(hooks());
    daemon.progress(5..7);
    daemon.ctx.journal.flush().await;
    daemon.kill().await;

    receiver.answer(200);
    let daemon = disk.start(hooks());
    daemon.progress(7..8);
    assert_eq!(receiver.takes(8).await, numbers(0..8));
    let all = receiver.all();
    let taken = all
        .iter()
        .find(|got| got.detail() == "2" && got.status == 200)
        .unwrap();
    assert_eq!(taken.delivery, id, "the id is that of the first try");
    // Whatever comes next is one delivery more, nothing is sent again.
    daemon.end().await;
    let daemon = disk.start(hooks());
    daemon.progress(8..9);
    assert_eq!(receiver.takes(9).await, numbers(0..9));
    daemon.end().await;
}

#[tokio::test]
async fn a_new_hook_begins_now_and_one_taken_away_is_forgotten() {
    let disk = Disk::new();
    let (one, two) = (Receiver::new().await, Receiver::new().await);
    let daemon = disk.start(vec![url(one.url())]);
    daemon.progress(0..1);
    one.takes(1).await;
    daemon.reload(vec![url(one.url()), url(two.url())]);
    // Straight after the reload, before anybody can have looked.
    daemon.progress(1..2);
    let begins = || two.taken().iter().position(|detail| detail == "1");
    until("it begins with the reload", || begins().is_some()).await;
    // What came within the moment before may come as well, whatever is older not.
    assert!(begins().is_some_and(|before| before <= 1));
    assert_eq!(one.takes(2).await, numbers(0..2));
    two.answer(500);
    daemon.progress(2..3);
    until("it waits", || two.all().iter().any(|got| got.status == 500)).await;

    daemon.reload(vec![url(one.url())]);
    until("its place is forgotten", || {
        std::fs::read_dir(disk.places()).unwrap().count() == 1
    })
    .await;
    two.answer(200);
    daemon.progress(3..4);
    one.takes(4).await;
    daemon.reload(vec![url(one.url()), url(two.url())]);
    daemon.progress(4..5);
    until("it is told again", || two.taken().contains(&"4".to_owned())).await;
    assert!(!two.taken().contains(&"2".to_owned()), "{:?}", two.taken());
    daemon.end().await;

    // A place that cannot be read is not taken for the beginning of time.
    for file in std::fs::read_dir(disk.places()).unwrap() {
        std::fs::write(file.unwrap().path(), b"{").unwrap();
    }
    let daemon = disk.start(vec![url(one.url())]);
    daemon.progress(5..6);
    assert_eq!(one.takes(6).await, numbers(0..6));
    let told = daemon.failures().await;
    let said = |words: &str| told.iter().any(|event| event.in_words().contains(words));
    assert!(said("cannot be read"), "{told:?}");
    daemon.end().await;
}

#[tokio::test]
async fn too_many_that_wait_are_dropped_oldest_first_and_counted() {
    let mut disk = Disk::new();
    disk.pace.waiting = 5;
    let receiver = Receiver::new().await;
    receiver.answer(500);
    let daemon = disk.start(vec![url(receiver.url())]);
    daemon.progress(0..20);
    let given_up = |daemon: &Running| {
        daemon
            .states
            .all()
            .iter()
            .map(|state| state.given_up)
            .sum::<u64>()
    };
    until("the oldest are given up", || given_up(&daemon) == 15).await;
    receiver.answer(200);
    assert_eq!(receiver.takes(5).await, numbers(15..20));
    let told = async || -> u64 {
        daemon
            .failures()
            .await
            .iter()
            .filter_map(|event| event.count)
            .sum()
    };
    assert_eq!(told().await, 15, "{:?}", daemon.failures().await);

    // What the receiver wants no more of is not sent again.
    receiver.answer(410);
    daemon.progress(20..21);
    until("it is gone", || given_up(&daemon) == 16).await;
    receiver.answer(200);
    daemon.progress(21..22);
    assert_eq!(receiver.takes(6).await.last().unwrap(), "21");
    assert_eq!(told().await, 16);
    daemon.end().await;
}

#[tokio::test]
async fn an_event_of_long_ago_is_given_up_when_the_receiver_has_long_failed() {
    let mut disk = Disk::new();
    disk.pace.give_up_after = Duration::from_millis(300);
    let receiver = Receiver::new().await;
    receiver.answer(500);
    let daemon = disk.start(vec![url(receiver.url())]);
    daemon.progress(0..2);
    until("both are given up", || {
        daemon.states.all().iter().any(|state| state.given_up == 2)
    })
    .await;
    assert!(
        receiver
            .all()
            .iter()
            .filter(|got| got.detail() == "0")
            .count()
            > 1
    );
    receiver.answer(200);
    daemon.progress(2..3);
    assert_eq!(receiver.takes(1).await, ["2"]);
    daemon.end().await;
}

#[tokio::test]
async fn without_its_secret_nothing_is_sent_and_nothing_is_lost() {
    let (disk, receiver) = (Disk::new(), Receiver::new().await);
    let named = |name: &str| Hook {
        secret: Some(name.to_owned()),
        ..url(receiver.url())
    };
    let daemon = disk.start(vec![named("not-there")]);
    daemon.progress(0..2);
    until("it is told", || {
        daemon
            .states
            .all()
            .iter()
            .any(|state| state.waiting == 2 && state.last_error.is_some())
    })
    .await;
    let told = daemon.failures().await;
    assert_eq!(told[0].reason, Reason::NoSecret);
    assert!(receiver.all().is_empty());
    daemon.reload(vec![named("hook-key")]);
    assert_eq!(receiver.takes(2).await, numbers(0..2));
    assert!(receiver.all().iter().all(|got| got.signature.is_some()));
    daemon.end().await;
}

fn script(folder: &Path, name: &str, text: &str) -> Hook {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let words = [path.to_str().unwrap(), folder.to_str().unwrap()];
    hook(HookTarget::Exec(words.map(str::to_owned).into()))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn a_program_is_given_the_event_and_little_else() {
    let disk = Disk::new();
    let folder = disk.folder.path().to_owned();
    let told = script(
        &folder,
        "told",
        r#"cat > "$1/body.new"; env | sort > "$1/env"; grep -E 'NoNewPrivs|CapEff|CapPrm' /proc/self/status > "$1/status"
mv "$1/body.new" "$1/body""#,
    );
    let daemon = disk.start(vec![told]);
    daemon.tell(Kind::InstallInstalled, "done");
    until("it is run", || folder.join("body").exists()).await;
    let body = read(&folder.join("body"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json["detail"], "done");
    let env = read(&folder.join("env"));
    for line in [
        "BOOTWRIGHT_EVENT=install.installed".to_owned(),
        "BOOTWRIGHT_HOST=web01".to_owned(),
        format!("BOOTWRIGHT_ID={}", json["id"]),
    ] {
        assert!(env.lines().any(|found| found == line), "{line} in\n{env}");
    }
    assert!(!env.contains("CARGO") && !env.contains("HOME="), "{env}");
    let status = read(&folder.join("status"));
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert_eq!(status.matches("0000000000000000").count(), 2, "{status}");
    daemon.end().await;
}

#[tokio::test]
async fn a_program_that_fails_is_run_again_and_given_up_in_the_end() {
    let mut disk = Disk::new();
    disk.pace.runs = 3;
    let folder = disk.folder.path().to_owned();
    let failing = script(
        &folder,
        "failing",
        r#"cat >> "$1/runs"; if [ -e "$1/good" ]; then exit 0; fi; echo 'no such queue' >&2; exit 3"#,
    );
    let daemon = disk.start(vec![failing]);
    daemon.progress(0..2);
    until("both are given up", || {
        daemon.states.all().iter().any(|state| state.given_up == 2)
    })
    .await;
    assert_eq!(read(&folder.join("runs")).lines().count(), 6);
    let told = daemon.failures().await;
    let detail = told[0].detail.as_ref().unwrap();
    assert!(
        detail.contains("exit status: 3") && detail.contains("no such queue"),
        "{detail}"
    );
    std::fs::write(folder.join("good"), b"").unwrap();
    daemon.progress(2..3);
    until("the next one is taken", || {
        daemon.states.all().iter().any(|state| state.delivered == 1)
    })
    .await;
    daemon.end().await;
}

#[tokio::test]
async fn a_program_over_its_time_is_killed_with_all_it_has_started() {
    let disk = Disk::new();
    let folder = disk.folder.path().to_owned();
    let slow = Hook {
        timeout: Duration::from_millis(300),
        ..script(
            &folder,
            "slow",
            r#"sleep 600 & echo $! > "$1/child"; echo $$ > "$1/self"; wait"#,
        )
    };
    let daemon = disk.start(vec![slow.clone()]);
    daemon.progress(0..1);
    until("it is told", || {
        daemon
            .states
            .all()
            .iter()
            .any(|state| state.last_error.is_some())
    })
    .await;
    let told = daemon.failures().await;
    assert!(
        told[0]
            .detail
            .as_ref()
            .unwrap()
            .contains("longer than 300ms"),
        "{told:?}"
    );
    // Each run leaves its own; the newest may live still.
    let ended = |name: &str| !is_running(read(&folder.join(name)).trim());
    daemon.reload(Vec::new());
    until("the program and its child are gone", || {
        ended("child") && ended("self")
    })
    .await;

    // Neither does one that runs hold up the end.
    let patient = Hook {
        timeout: Duration::from_secs(600),
        ..slow
    };
    std::fs::remove_file(folder.join("self")).unwrap();
    daemon.reload(vec![patient]);
    daemon.progress(1..2);
    until("it runs", || !read(&folder.join("self")).is_empty()).await;
    let began = Instant::now();
    daemon.end().await;
    assert!(began.elapsed() < Duration::from_secs(2));
    until("it is gone with the daemon", || {
        ended("child") && ended("self")
    })
    .await;
}

/// Whether a process lives; one that only waits to be fetched does not.
fn is_running(pid: &str) -> bool {
    let stat = read(Path::new(&format!("/proc/{pid}/stat")));
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// The code block of `docs/events.md` that holds these words.
fn documented(words: &str) -> String {
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md"));
    let mut blocks = text.split("```").skip(1).step_by(2);
    let block = blocks
        .find(|block| block.contains(words))
        .expect("the example");
    block.split_once('\n').expect("a language").1.to_owned()
}

#[tokio::test]
async fn the_documented_ways_of_verifying_verify() {
    let (disk, receiver) = (Disk::new(), Receiver::new().await);
    let signed = Hook {
        secret: Some("hook-key".to_owned()),
        ..url(receiver.url())
    };
    let daemon = disk.start(vec![signed]);
    daemon.tell(Kind::InstallInstalled, "it's \"done\" — ünïcode");
    receiver.takes(1).await;
    daemon.end().await;
    let got = receiver.all().remove(0);
    let signature = got.signature.clone().unwrap();
    let body = disk.folder.path().join("body");
    std::fs::write(&body, &got.body).unwrap();
    let good = |program: &str, code: &str, signature: &str| {
        Command::new(program)
            .args(["-c", code])
            .env("BODY", &body)
            .env("KEY", "a long key")
            .env("TIMESTAMP", &got.timestamp)
            .env("SIGNATURE", signature)
            .status()
            .unwrap()
            .success()
    };
    let shell = documented("openssl dgst");
    let python = documented("hmac.compare_digest")
        + r#"
import os, sys
body = open(os.environ["BODY"], "rb").read()
sys.exit(not is_genuine(os.environ["KEY"].encode(), os.environ["TIMESTAMP"], body, os.environ["SIGNATURE"]))
"#;
    for (program, code) in [("sh", &shell), ("python3", &python)] {
        assert!(good(program, code, &signature), "{code}");
        let mut other = signature.clone();
        other.replace_range(7..8, if &signature[7..8] == "0" { "1" } else { "0" });
        assert!(!good(program, code, &other), "{code}");
        assert!(!good(program, code, ""), "{code}");
    }
}

#[test]
fn every_kind_of_event_is_documented() {
    let text = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/events.md"));
    for kind in Kind::ALL {
        assert!(text.contains(&format!("`{kind}`")), "{kind}");
    }
}
