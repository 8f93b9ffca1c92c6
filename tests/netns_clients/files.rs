//! curl, busybox and tftp-hpa: boot files by TFTP (over both engines) and HTTP, scripts and answers for the machine
//! itself and for nobody else.

use std::process::{Command, Output};

use super::harness::{Lab, WEB01, WEB01_MAC, between, boot_file, ip};

const SCRIPT: &str = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe?uuid=&serial=";
const KERNEL: &str = "debian/12/x86_64/linux";

/// Gives the client web01's address and one that is nobody's.
fn addresses(lab: &Lab) {
    lab.client.run(|| {
        ip(&format!("address add {WEB01}/24 dev eth0"));
        ip("address add 10.99.0.77/24 dev eth0");
    });
}

fn curl(lab: &Lab, args: &[&str]) -> Output {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--show-error",
            "--max-time",
            "20",
            "--path-as-is",
        ])
        .args(args);
    lab.client.output(command)
}

/// From web01's own address.
fn get(lab: &Lab, args: &[&str]) -> Output {
    curl(lab, &[&["--interface", "10.99.0.11"], args].concat())
}

/// Status and body.
fn fetch(lab: &Lab, from: &str, url: &str) -> (String, String) {
    let output = curl(
        lab,
        &["--interface", from, "--write-out", "\n%{http_code}", url],
    );
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

#[test]
fn boot_files_come_by_tftp_in_blocks_of_any_size() {
    by_tftp_in_blocks_of_any_size("native");
}

#[test]
fn boot_files_come_by_async_tftp_in_blocks_of_any_size() {
    by_tftp_in_blocks_of_any_size("async-tftp");
}

fn by_tftp_in_blocks_of_any_size(engine: &'static str) {
    between(WEB01_MAC, move |lab| {
        let table = format!("[tftp]\nengine = \"{engine}\"\n");
        lab.site.edit("bootwright.toml", "[tftp]\n", &table);
        let _daemon = lab.site.serve();
        addresses(lab);
        let url = "tftp://10.99.0.2/ipxe/undionly.kpxe";
        for blksize in ["512", "1024", "1468", "8192"] {
            let output = get(lab, &["--tftp-blksize", blksize, url]);
            assert!(output.status.success(), "{blksize}: {output:?}");
            assert!(
                output.stdout == boot_file("ipxe/undionly.kpxe"),
                "{blksize}"
            );
        }
        let without_options = get(lab, &["--tftp-no-options", url]);
        assert!(without_options.stdout == boot_file("ipxe/undionly.kpxe"));
        for blksize in ["512", "1024", "1428", "1468", "65464"] {
            let mut command = Command::new("busybox");
            command
                .args(["tftp", "-g", "-b", blksize, "-l", "-"])
                .args(["-r", "/ipxe/undionly.kpxe", "10.99.0.2"]);
            let output = lab.client.output(command);
            assert!(output.status.success(), "{blksize}: {output:?}");
            let is_whole = output.stdout == boot_file("ipxe/undionly.kpxe");
            assert!(is_whole, "busybox, {blksize}");
        }
        let got = lab.site.path("got");
        let mut command = Command::new("tftp");
        command
            .args([
                "-m",
                "binary",
                "10.99.0.2",
                "-c",
                "get",
                "\\ipxe\\undionly.kpxe",
            ])
            .arg(&got);
        let output = lab.client.output(command);
        let is_whole = std::fs::read(&got).ok() == Some(boot_file("ipxe/undionly.kpxe"));
        assert!(is_whole, "tftp-hpa: {output:?}");

        let sent = lab.site.event("tftp.sent");
        assert_eq!(sent["host"], "web01");
        assert_eq!(sent["bytes"], boot_file("ipxe/undionly.kpxe").len());

        // ERROR 1 and 2: curl's exit status 68 (not found) and 69 (refused).
        for name in [
            "ipxe/nothing",
            "../config/bootwright.toml",
            "ipxe/../../config/bootwright.toml",
        ] {
            let output = get(lab, &[&format!("tftp://10.99.0.2/{name}")]);
            assert!(
                matches!(output.status.code(), Some(68 | 69)),
                "{name}: {output:?}"
            );
            assert!(output.stdout.is_empty(), "{name}");
        }
    });
}

#[test]
fn boot_files_come_by_http_whole_and_in_part() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        addresses(lab);
        let url = format!("http://10.99.0.2:8080/assets/{KERNEL}");
        let whole = boot_file(KERNEL);
        assert!(get(lab, &[&url]).stdout == whole);
        let part = get(lab, &["--range", "70000-70099", "--include", &url]);
        let text = String::from_utf8_lossy(&part.stdout).into_owned();
        assert!(text.starts_with("HTTP/1.1 206"), "{text}");
        assert!(part.stdout.ends_with(&whole[70_000..70_100]));
        let head = get(lab, &["--head", &url]);
        let text = String::from_utf8_lossy(&head.stdout).to_lowercase();
        assert!(
            text.contains(&format!("content-length: {}", whole.len())),
            "{text}"
        );
        for bad in [
            "../config/bootwright.toml",
            "%2e%2e/config/bootwright.toml",
            "nothing",
        ] {
            let url = format!("http://10.99.0.2:8080/assets/{bad}");
            let (status, body) = fetch(lab, "10.99.0.11", &url);
            assert!(status == "404" || status == "400", "{bad}: {status} {body}");
            assert!(!body.contains("[server]"));
        }
    });
}

#[test]
fn the_script_and_the_answers_are_for_the_machine_itself() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        addresses(lab);
        lab.site.run(&["install", "web01"]);

        // A stranger gets neither the installer nor a token, and changes nothing.
        let (status, stranger) = fetch(lab, "10.99.0.77", SCRIPT);
        assert_eq!(status, "200");
        assert!(stranger.contains("not this machine"), "{stranger}");
        assert!(!stranger.contains("/answers/"), "{stranger}");
        assert!(lab.site.run(&["host", "show", "web01"]).contains("armed"));

        let (status, script) = fetch(lab, "10.99.0.11", SCRIPT);
        assert_eq!(status, "200");
        assert!(script.starts_with("#!ipxe"), "{script}");
        let answers = script
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix("url="))
            .expect("the URL of the answers")
            .to_owned();
        assert!(
            answers.starts_with("http://10.99.0.2:8080/answers/"),
            "{answers}"
        );
        assert!(lab.site.run(&["host", "show", "web01"]).contains("booting"));

        let (status, body) = fetch(lab, "10.99.0.77", &answers);
        assert_eq!(status, "404");
        assert!(!body.contains("d-i "), "{body}");
        let (status, preseed) = fetch(lab, "10.99.0.11", &answers);
        assert_eq!(status, "200");
        assert!(preseed.contains("d-i "), "{preseed}");
        assert!(
            lab.site
                .run(&["host", "show", "web01"])
                .contains("installing")
        );

        let refused = lab.site.event("http.refused");
        assert_eq!(refused["reason"], "not-this-machine");
        // No whole token stands in the journal.
        let token = answers.rsplit('/').nth(1).unwrap();
        assert_eq!(token.len(), 26);
        for event in lab.site.events() {
            assert!(!event.to_string().contains(token), "{event}");
        }
    });
}
