//! busybox's wget and curl as installers use them: reports, logs, and what operators read of them; and
//! orders as operators type them.

use std::process::{Command, Output};

use super::harness::{Lab, WEB01, WEB01_MAC, between, ip};

const SCRIPT: &str = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe?uuid=&serial=";

/// Has web01 fetch its script, and gives the URL below which it reports.
fn booting(lab: &Lab) -> String {
    lab.client.run(|| {
        ip(&format!("address add {WEB01}/24 dev eth0"));
    });
    lab.site.run(&["install", "web01"]);
    let output = client(lab, "curl", &["--silent", SCRIPT]);
    let script = String::from_utf8(output.stdout).unwrap();
    let token = script
        .split("/answers/")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .expect("a token in the script");
    format!("http://10.99.0.2:8080/report/{token}")
}

fn client(lab: &Lab, program: &str, args: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(args);
    lab.client.output(command)
}

fn ok(output: &Output) {
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"ok\n", "{output:?}");
}

fn wget(lab: &Lab, args: &[&str]) -> Output {
    client(lab, "busybox", &[&["wget", "-q", "-O", "-"], args].concat())
}

fn curl(lab: &Lab, args: &[&str]) -> Output {
    client(
        lab,
        "curl",
        &[&["--silent", "--show-error", "--max-time", "20"], args].concat(),
    )
}

#[test]
fn busybox_wget_reports_and_sends_its_log() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let report = booting(lab);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("syslog");
        std::fs::write(&log, "one\ntwo\nthree & message=no\nfour\nthe last line\n").unwrap();
        let log = log.to_str().unwrap();

        ok(&wget(lab, &[&format!("{report}/started")]));
        ok(&wget(
            lab,
            &[&format!("{report}/progress?percent=40&message=half%20way")],
        ));
        let host = lab.site.run(&["host", "show", "web01"]);
        assert!(host.contains("half way") && host.contains("40"), "{host}");
        ok(&wget(
            lab,
            &[
                "--post-data",
                "message=more+than+half&percent=60",
                &format!("{report}/progress"),
            ],
        ));
        let host = lab.site.run(&["host", "show", "web01"]);
        assert!(host.contains("more than half"), "{host}");
        ok(&wget(
            lab,
            &["--post-file", log, &format!("{report}/logs/syslog")],
        ));
        for _ in 0..2 {
            ok(&wget(
                lab,
                &[
                    "--post-file",
                    log,
                    &format!("{report}/failed?message=late%20command"),
                ],
            ));
        }
        let host = lab.site.run(&["host", "show", "web01"]);
        assert!(
            host.contains("failed") && host.contains("late command"),
            "{host}"
        );

        let listed = lab.site.run(&["host", "show", "web01", "--logs"]);
        assert!(
            listed.contains("failed.log") && listed.contains("syslog"),
            "{listed}"
        );
        let shown = lab.site.run(&["host", "show", "web01", "--log", "syslog"]);
        assert_eq!(shown, std::fs::read_to_string(log).unwrap());
        let token = report.rsplit('/').next().unwrap();
        for event in lab.site.events() {
            assert!(!event.to_string().contains(token), "{event}");
        }
    });
}

#[test]
fn curl_reports_in_every_way_it_knows() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let report = booting(lab);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("install.log");
        std::fs::write(&log, b"binary \x00\xff\n").unwrap();
        let log = log.to_str().unwrap();

        ok(&curl(lab, &["-X", "POST", &format!("{report}/started")]));
        let progress = format!("{report}/progress");
        for (args, said) in [
            (vec!["-d", "by a form"], "by a form"),
            (
                vec!["--data-urlencode", "message=encoded & whole"],
                "encoded & whole",
            ),
            (
                vec!["-F", "message=in parts", "-F", "percent=55"],
                "in parts",
            ),
            (
                vec![
                    "-H",
                    "Content-Type: application/json",
                    "-d",
                    r#"{"message": "as JSON"}"#,
                ],
                "as JSON",
            ),
            (
                vec!["-G", "--data-urlencode", "message=in the query"],
                "in the query",
            ),
        ] {
            ok(&curl(
                lab,
                &[args.as_slice(), &[progress.as_str()]].concat(),
            ));
            let host = lab.site.run(&["host", "show", "web01"]);
            assert!(host.contains(said), "{said}: {host}");
        }
        ok(&curl(
            lab,
            &["-T", log, &format!("{report}/logs/install.log")],
        ));
        let event = r#"{"name":"subiquity/Install/install","event_type":"start","description":"by the webhook"}"#;
        ok(&curl(
            lab,
            &[
                "-H",
                "Content-Type: application/json",
                "-d",
                event,
                &format!("{report}/webhook"),
            ],
        ));
        let host = lab.site.run(&["host", "show", "web01"]);
        assert!(host.contains("by the webhook"), "{host}");

        let token = report.rsplit('/').next().unwrap();
        let built = format!("http://10.99.0.2:8080/unattended/built?token={token}");
        ok(&curl(lab, &[&built]));
        let host = lab.site.run(&["host", "show", "web01"]);
        assert!(host.contains("installed"), "{host}");
        ok(&curl(lab, &[&format!("{report}/up")]));
        let kept = lab
            .site
            .run(&["host", "show", "web01", "--logs", "--format", "json"]);
        assert!(kept.contains("\"install.log\""), "{kept}");
    });
}

#[test]
fn orders_as_they_are_typed() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        // Nobody can be asked here.
        for hosts in [["--group", "web"], ["web*", "web01"], ["web01", "web02"]] {
            let (status, _, errors) = lab.site.try_run(&["install", hosts[0], hosts[1]]);
            assert_eq!(status, Some(1), "{errors}");
            assert!(errors.contains("2 hosts would be armed"), "{errors}");
            assert!(errors.contains("--yes"), "{errors}");
        }
        for wrong in [["--for", "soon"], ["--after", "web02:lunch"]] {
            let (status, _, errors) = lab.site.try_run(&["install", "web01", wrong[0], wrong[1]]);
            assert_eq!(status, Some(2), "wrong usage: {errors}");
        }
        let (status, shown, _) = lab
            .site
            .try_run(&["install", "--group", "web", "--dry-run"]);
        assert_eq!(status, Some(0), "{shown}");
        assert!(shown.contains("web02: would be armed"), "{shown}");
        assert!(shown.contains("preseed.cfg"), "{shown}");
        let (status, shown, _) =
            lab.site
                .try_run(&["install", "web01", "--profile", "none", "--dry-run"]);
        assert_eq!(status, Some(1), "{shown}");
        assert!(shown.contains("there is no such profile"), "{shown}");
        let (status, _, errors) = lab.site.try_run(&["install", "web*", "--profile", "none"]);
        assert_eq!(status, Some(1));
        let told = errors.matches("there is no such profile").count();
        assert_eq!(told, 2, "{errors}");

        let said = lab.site.run(&["install", "web02", "--after", "web01:up"]);
        assert!(said.contains("web02: waiting for web01:up"), "{said}");
        let hosts = lab.site.run(&["hosts"]);
        assert!(hosts.contains("for web01:up"), "{hosts}");
        let (status, _, errors) = lab
            .site
            .try_run(&["install", "web01", "--after", "web02:up"]);
        assert_eq!(status, Some(1));
        assert!(
            errors.contains("web01 waits for web02 waits for web01"),
            "{errors}"
        );
        let said = lab.site.run(&["install", "--group", "web", "--yes"]);
        assert!(said.contains("web02: armed"), "{said}");
        let said = lab.site.run(&["cancel", "web*"]);
        assert_eq!(
            said.matches("its next boot is from its disk").count(),
            2,
            "{said}"
        );
    });
}
