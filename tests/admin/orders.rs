//! Orders: who is meant, what stands against them, what they would do, and what they did.

use bootwright::record::{Input, ReportKind};
use bootwright::serve::installs::Context as Change;

use super::site::*;
use super::*;

impl Site {
    /// Something that a machine does.
    async fn machine(&self, host: &str, input: Input) {
        let in_force = self.admin.ctx.config();
        let host = host.parse().unwrap();
        self.admin
            .ctx
            .installs
            .apply(&in_force.snapshot, &host, &input, &Change::default())
            .await
            .unwrap();
    }

    async fn boots(&self, host: &str) {
        let input = Input::Script {
            further_boot: false,
        };
        self.machine(host, input).await;
    }
}

fn names(value: &Value) -> Vec<&str> {
    let hosts = value["hosts"].as_array().unwrap();
    hosts.iter().map(|h| h["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn hosts_are_meant_by_glob_and_by_group_with_all_below_it() {
    let site = Site::new();
    let (status, done) = site
        .post("/install", json!({"hosts": ["WEB*", "10.99.0.11"]}))
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(names(&done), ["web01", "web02"]);
    let (status, done) = site.post("/install", json!({"group": "rack"})).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(names(&done), ["hv", "guest"]);
    for (body, code) in [
        (json!({"hosts": ["db*"]}), "unknown-host"),
        (json!({"group": "rakc"}), "unknown-host"),
        (json!({"hosts": ["nobody", "db*"]}), "unknown-host"),
    ] {
        let (status, value) = site.post("/install", body.clone()).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
        assert_eq!(refusal(&value).0, code, "{value}");
    }
    // By a glob, those that are not armed are no mistake; by name they are.
    let (status, done) = site.post("/cancel", json!({"hosts": ["*"]})).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    let changed = |done: &Value| {
        let hosts = done["hosts"].as_array().unwrap();
        hosts.iter().filter(|h| h["changed"] == true).count()
    };
    assert_eq!(changed(&done), 4);
    let (status, value) = site.post("/cancel", json!({"group": "rack"})).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(refusal(&value).0, "nothing-to-cancel");
    let (status, done) = site.post("/local", json!({"group": "rack"})).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(changed(&done), 0);
}

#[tokio::test]
async fn all_refusals_come_at_once_and_nothing_is_armed() {
    let site = Site::new();
    let (status, value) = site
        .post("/install", json!({"hosts": ["web01", "never", "nomac"]}))
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    let refusals = value["error"]["refusals"].as_array().unwrap();
    let told: Vec<(&str, &str)> = refusals
        .iter()
        .map(|r| (r["host"].as_str().unwrap(), r["code"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("never", "install-never"), ("nomac", "no-mac")]);
    assert!(refusals.iter().all(|r| r["remedy"].is_string()), "{value}");
    assert_eq!(site.state("web01").await, InstallState::Local);
}

#[tokio::test]
async fn a_file_that_is_there_in_part_is_none_to_install_with() {
    let site = Site::new();
    let root = site.admin.ctx.assets.root();
    let in_force = site.admin.ctx.config();
    let snapshot = &in_force.snapshot;
    let host = snapshot.host(&"web01".parse().unwrap()).unwrap();
    let profile = snapshot.profile(host.profile.as_ref().unwrap()).unwrap();
    let boot = site.admin.ctx.boot(&in_force, host, profile).unwrap();
    let path = boot.paths()[0].to_owned();
    let size = std::fs::metadata(root.join(&path)).unwrap().len();
    let manifest = json!({"version": 1, "files": {&path: {"size": size + 1, "sha256": "00"}}});
    std::fs::write(root.join(".manifest.json"), manifest.to_string()).unwrap();
    let (status, value) = site.post("/hosts/web01/install", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "{value}");
    let (code, message, _) = refusal(&value);
    assert_eq!(code, "boot-file-partial");
    let part = format!("{path} is there only in part: {size} of {} bytes", size + 1);
    assert!(message.contains(&part), "{message}");
    let (_, files) = site.get("/assets").await;
    let files = files.as_array().unwrap();
    let told = files
        .iter()
        .find(|file| file["path"] == path.as_str())
        .unwrap();
    assert!(
        told["amiss"]
            .as_str()
            .unwrap()
            .starts_with("there only in part")
    );

    // Brought again.
    std::fs::write(
        root.join(".manifest.json"),
        "{\"version\": 1, \"files\": {}}",
    )
    .unwrap();
    let (status, value) = site.post("/hosts/web01/install", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{value}");
}

#[tokio::test]
async fn another_profile_is_told_all_that_a_host_lacks_for_it() {
    let site = Site::new();
    let order = json!({"profile": "picky"});
    let (status, value) = site.post("/hosts/fussy/install", order.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let told: Vec<(String, String)> = value["error"]["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refusal| {
            let text = |key: &str| refusal[key].as_str().unwrap().to_owned();
            assert!(
                !text("remedy").is_empty() && text("host") == "fussy",
                "{value}"
            );
            (text("code"), text("message"))
        })
        .collect();
    let codes: Vec<&str> = told.iter().map(|(code, _)| code.as_str()).collect();
    let files = "boot-file-missing";
    assert_eq!(
        codes,
        ["variable", "variable", "snippet-family", files, files],
        "{told:?}"
    );
    for (index, words) in [
        "the variable disk must be given",
        "the variable size must be a whole number",
        "its snippet ours does not work with suse",
        "picky/linux",
        "picky/tree",
    ]
    .into_iter()
    .enumerate()
    {
        assert!(told[index].1.contains(words), "{told:?}");
    }
    assert_eq!(site.state("fussy").await, InstallState::Local);
    // A preview tells the same.
    let preview = json!({"hosts": ["fussy"], "profile": "picky", "dry_run": true});
    let (_, value) = site.post("/install", preview).await;
    let refused = &value["hosts"][0]["refused"]["refusals"];
    assert_eq!(refused.as_array().map(Vec::len), Some(5), "{value}");
    // With another host's refusal each stands by itself.
    let both = json!({"hosts": ["fussy", "never"], "profile": "picky"});
    let (_, value) = site.post("/install", both).await;
    let refusals = value["error"]["refusals"].as_array().map(Vec::len);
    assert_eq!(refusals, Some(6), "{value}");
    // What the profile of the file renders to is not held against it.
    let (status, value) = site.post("/hosts/fussy/install", json!({})).await;
    assert_eq!(status, StatusCode::OK, "{value}");
}

#[tokio::test]
async fn another_profile_must_be_there_fit_and_have_its_files() {
    let site = Site::new();
    for (host, profile, code) in [
        ("web01", "tyni", "unknown-profile"),
        ("web01", "bare", "boot-file-missing"),
        ("old", "tiny-arm", "architecture"),
        ("web01", "needy", "render-failed"),
    ] {
        let (status, value) = site
            .post(
                &format!("/hosts/{host}/install"),
                json!({"profile": profile}),
            )
            .await;
        assert_eq!(status, StatusCode::CONFLICT, "{profile}: {value}");
        let (found, message, remedy) = refusal(&value);
        assert_eq!(found, code, "{value}");
        assert!(message.contains(host) && !remedy.is_empty(), "{value}");
    }
    let (status, value) = site
        .post("/hosts/web01/install", json!({"profile": "../x"}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{value}");

    let (status, done) = site
        .post("/hosts/web01/install", json!({"profile": "other"}))
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(done["hosts"][0]["installation"]["profile"], "other");
    assert_eq!(done["hosts"][0]["profile"], "tiny");
    // The file's is kept beside it: a reload that changes nothing leaves the arming alone.
    let in_force = site.admin.ctx.config();
    site.admin
        .ctx
        .installs
        .reload(&in_force.snapshot)
        .await
        .unwrap();
    assert_eq!(site.state("web01").await, InstallState::Armed);
    // A host without a profile of its own can be given one.
    let (status, value) = site.post("/hosts/plain/install", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(refusal(&value).0, "no-profile");
    let (status, _) = site
        .post("/hosts/plain/install", json!({"profile": "other"}))
        .await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn what_an_order_waits_for() {
    let site = Site::new();
    // As the file says.
    let (status, done) = site.post("/hosts/guest/install", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(done["hosts"][0]["state"], "waiting");
    assert_eq!(done["hosts"][0]["installation"]["after"], "hv:up");
    assert_eq!(done["hosts"][0]["after"], "hv:up");
    // As the order says, by name or address.
    for after in ["hv:installed", "10.99.0.20:installed"] {
        let (_, done) = site
            .post("/hosts/web01/install", json!({"after": after}))
            .await;
        assert_eq!(
            done["hosts"][0]["installation"]["after"], "hv:installed",
            "{done}"
        );
    }
    let (_, done) = site
        .post("/hosts/guest/install", json!({"after": "none"}))
        .await;
    assert_eq!(done["hosts"][0]["state"], "armed", "{done}");
    for (after, status, remedy) in [
        ("hv", StatusCode::BAD_REQUEST, "HOST:EVENT"),
        (
            "hv:instaled",
            StatusCode::BAD_REQUEST,
            "did you mean installed",
        ),
        ("hv:progress", StatusCode::BAD_REQUEST, "the events are"),
        ("hw:up", StatusCode::NOT_FOUND, "did you mean hv"),
        ("web01:up", StatusCode::CONFLICT, "another host"),
    ] {
        let (found, value) = site
            .post("/hosts/web01/install", json!({"after": after}))
            .await;
        assert_eq!(found, status, "{after}: {value}");
        assert!(refusal(&value).2.contains(remedy), "{after}: {value}");
    }
    let (status, value) = site
        .post("/hosts/web01/cancel", json!({"after": "hv:up"}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{value}");
}

#[tokio::test]
async fn what_has_come_already_is_not_waited_for() {
    let site = Site::new();
    site.post("/hosts/hv/install", Value::Null).await;
    site.boots("hv").await;
    site.machine("hv", Input::Answer).await;
    let up = Input::Report {
        kind: ReportKind::Up,
        message: None,
        percent: None,
    };
    site.machine("hv", up).await;
    for (body, would_be) in [
        (json!({"hosts": ["guest"]}), "armed"),
        // Armed anew beside it, the other one has come to nothing yet, in whatever order they are named.
        (json!({"hosts": ["guest", "hv"]}), "waiting"),
    ] {
        let mut question = body.clone();
        question["dry_run"] = json!(true);
        let (_, shown) = site.post("/install", question).await;
        assert_eq!(shown["hosts"][0]["would_be"], would_be, "{shown}");
        let (status, done) = site.post("/install", body).await;
        assert_eq!(status, StatusCode::OK, "{done}");
        assert_eq!(done["hosts"][0]["name"], "guest");
        assert_eq!(done["hosts"][0]["state"], would_be, "{done}");
    }
    assert_eq!(site.state("hv").await, InstallState::Armed);
}

#[tokio::test]
async fn nobody_waits_in_a_circle() {
    let site = Site::new();
    site.post("/hosts/guest/install", Value::Null).await;
    site.post("/hosts/web01/install", json!({"after": "guest:up"}))
        .await;
    assert_eq!(site.state("web01").await, InstallState::Waiting);
    let (status, value) = site
        .post("/hosts/hv/install", json!({"after": "web01:installed"}))
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{value}");
    let (code, message, _) = refusal(&value);
    assert_eq!(code, "after-circle");
    assert!(
        message.contains("hv waits for web01 waits for guest waits for hv"),
        "{message}"
    );
    assert_eq!(site.state("hv").await, InstallState::Local);
    // A host that no longer waits closes none.
    site.post("/hosts/guest/cancel", Value::Null).await;
    let (status, _) = site
        .post("/hosts/hv/install", json!({"after": "web01:installed"}))
        .await;
    assert_eq!(status, StatusCode::OK);
    // Within one order.
    let (status, value) = site
        .post(
            "/install",
            json!({"hosts": ["web02", "guest"], "after": "web02:up"}),
        )
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{value}");
    assert_eq!(refusal(&value).0, "after-itself");
}

#[tokio::test]
async fn a_dry_run_tells_what_each_would_get_and_changes_nothing() {
    let site = Site::new();
    let body = json!({
        "hosts": ["guest", "web01", "never", "old"],
        "profile": "other", "for": "7d", "dry_run": true,
    });
    let (status, shown) = site.post("/install", body).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert_eq!(shown["refused"], 1, "{shown}");
    let [guest, web01, never, _] = shown["hosts"].as_array().unwrap().as_slice() else {
        panic!("{shown}");
    };
    assert_eq!(
        (&guest["would_be"], &guest["after"]),
        (&json!("waiting"), &json!("hv:up"))
    );
    assert_eq!(
        (&web01["state"], &web01["would_be"]),
        (&json!("local"), &json!("armed"))
    );
    assert_eq!(web01["armed_for"], 604_800);
    assert_eq!(web01["boot"]["kind"], "linux");
    assert_eq!(web01["boot"]["kernel"], "tiny/linux");
    assert_eq!(web01["answers"], json!(["answers.txt"]));
    assert_eq!(never["refused"]["code"], "install-never");
    assert!(never["would_be"].is_null());
    for host in ["guest", "web01", "never", "old"] {
        assert_eq!(site.state(host).await, InstallState::Local);
    }
    // What is missing is listed whole.
    let (_, shown) = site
        .post(
            "/hosts/web01/install",
            json!({"profile": "bare", "dry_run": true}),
        )
        .await;
    assert_eq!(
        shown["hosts"][0]["missing"],
        json!(["bare/linux", "bare/initrd"])
    );
    assert_eq!(shown["hosts"][0]["refused"]["code"], "boot-file-missing");
    let (status, _) = site
        .post("/cancel", json!({"hosts": ["web01"], "dry_run": true}))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_machine_that_has_its_kernel_is_interrupted_by_force_only() {
    let site = Site::new();
    site.post("/hosts/web01/install", Value::Null).await;
    site.boots("web01").await;
    // Before the kernel it is safe.
    let (status, _) = site.post("/hosts/web01/cancel", Value::Null).await;
    assert_eq!(status, StatusCode::OK);

    site.post("/hosts/web01/install", Value::Null).await;
    site.boots("web01").await;
    site.machine("web01", Input::Asset { kernel: true }).await;
    site.clock.advance(Duration::from_secs(60));
    site.machine("web01", Input::Answer).await;
    let report = Input::Report {
        kind: ReportKind::Progress,
        message: Some("unpacking".to_owned()),
        percent: Some(40),
    };
    site.machine("web01", report).await;
    site.clock.advance(Duration::from_secs(125));
    for order in ["cancel", "local", "install"] {
        let (status, value) = site
            .post(&format!("/hosts/web01/{order}"), Value::Null)
            .await;
        assert_eq!(status, StatusCode::CONFLICT, "{order}");
        let (code, message, remedy) = refusal(&value);
        assert_eq!(code, "under-way");
        for part in [
            "web01 is installing",
            "attempt 1 of 3",
            "kernel was fetched 3m 5s ago",
            "installer began 2m 5s ago",
            "40 % done",
            "\"unpacking\"",
            "last heard of 2m 5s ago",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(remedy.contains("--force"), "{remedy}");
    }
    assert_eq!(site.state("web01").await, InstallState::Installing);
    let (status, done) = site
        .post("/hosts/web01/cancel", json!({"force": true}))
        .await;
    assert_eq!(status, StatusCode::OK, "{done}");
    assert_eq!(site.state("web01").await, InstallState::Local);
    // A waiting one is cancelled like an armed one.
    site.post("/hosts/guest/install", Value::Null).await;
    let (status, _) = site.post("/hosts/guest/cancel", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(site.state("guest").await, InstallState::Local);
}

#[tokio::test]
async fn a_tool_whose_kernel_comes_from_elsewhere_has_one_boot_too() {
    let site = Site::new();
    let order = json!({"profile": "remote"});
    let (status, done) = site.post("/hosts/web01/install", order).await;
    assert_eq!(status, StatusCode::OK, "{done}");
    site.boots("web01").await;
    assert_eq!(site.state("web01").await, InstallState::Booting);
    let further = Input::Script { further_boot: true };
    site.machine("web01", further).await;
    assert_eq!(site.state("web01").await, InstallState::Local);
}
