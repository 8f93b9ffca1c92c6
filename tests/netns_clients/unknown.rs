//! Machines without a reservation as they are listed, free addresses among real neighbours, and reserved addresses
//! that somebody else has.

use std::net::UdpSocket;

use serde_json::{Value, json};

use super::dhcp::{call, script, udhcpc};
use super::harness::{Lab, WEB01_MAC, between, ip, until};
use super::pool::with_pool;

const STRANGER: &str = "52:54:00:99:99:99";

fn unknown(lab: &Lab) -> Value {
    serde_json::from_str(&lab.site.run(&["unknown", "--format", "json"])).unwrap()
}

/// A name server at 10.99.0.1 in the client's network: it knows one address, 10.99.0.4.
fn name_server(lab: &Lab) {
    lab.client.run(|| {
        ip("address add 10.99.0.1/24 dev eth0");
        let socket = UdpSocket::bind("10.99.0.1:53").unwrap();
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let mut message = buffer[..length].to_vec();
                message[2] |= 0x80;
                if message[12..].starts_with(b"\x014\x010\x0299\x0210\x07in-addr") {
                    message[7] = 1;
                    message.extend_from_slice(b"\xc0\x0c\x00\x0c\x00\x01\x00\x00\x00\x3c\x00\x09");
                    message.extend_from_slice(b"\x03old\x03lab\x00");
                } else {
                    message[3] = 3;
                }
                let _ = socket.send_to(&message, from);
            }
        });
    });
}

#[test]
fn who_was_seen_is_listed_and_a_restart_forgets_none() {
    between(STRANGER, |lab| {
        let daemon = lab.site.serve();
        assert_eq!(unknown(lab), json!([]));
        let (script, _) = script(lab);
        let asks = ["-n", "-q", "-t", "2", "-T", "1", "-x", "hostname:rescue"];
        lab.client.output(udhcpc(&script, &asks));
        let all = unknown(lab);
        let seen = &all[0];
        assert_eq!(seen["mac"], STRANGER);
        assert_eq!(
            (&seen["vendor"], &seen["virtual"]),
            (&json!("QEMU/KVM"), &json!(true))
        );
        assert_eq!(
            (&seen["interface"], &seen["subnet"]),
            (&json!("br0"), &json!("lab"))
        );
        assert_eq!(
            (&seen["stage"], &seen["name"]),
            (&json!("os"), &json!("rescue"))
        );
        assert_eq!(seen["times"], 1);
        let text = lab.site.run(&["unknown"]);
        assert!(text.contains("QEMU/KVM (virtual)  os"), "{text}");
        let one = lab.site.run(&["unknown", "5254.0099.9999"]);
        assert!(
            one.contains(&format!("bootwright adopt {STRANGER} --name NAME")),
            "{one}"
        );
        let (status, _, said) = lab.site.try_run(&["unknown", "52:54:00:99:99:00"]);
        assert_eq!(status, Some(1));
        assert!(
            said.contains("no machine with 52:54:00:99:99:00 was seen"),
            "{said}"
        );

        drop(daemon);
        let _daemon = lab.site.serve();
        assert_eq!(unknown(lab), all);
    });
}

#[test]
fn addresses_that_nobody_has_by_any_test() {
    between(STRANGER, |lab| {
        name_server(lab);
        lab.client.run(|| ip("address add 10.99.0.3/24 dev eth0"));
        let suggest = |words: &[&str]| {
            let words = [&["ip", "suggest", "lab", "--format", "json"], words].concat();
            let text = lab.site.run(&words);
            serde_json::from_str::<Value>(&text).unwrap()
        };
        let told = |found: &Value| -> Vec<String> {
            let outs = found["ruled_out"].as_array().unwrap();
            outs.iter()
                .map(|out| {
                    let field = |name: &str| out[name].as_str().unwrap().to_owned();
                    format!("{} {}: {}", field("first"), field("by"), field("what"))
                })
                .collect()
        };
        let expected = [
            "10.99.0.0 network: the network itself".to_owned(),
            "10.99.0.1 router: the router".to_owned(),
            "10.99.0.2 server: this server".to_owned(),
            format!("10.99.0.3 arp: {STRANGER} answers"),
            "10.99.0.3 ping: answers to ping".to_owned(),
            "10.99.0.4 ptr: old.lab".to_owned(),
        ];
        // Without a daemon the command asks itself.
        let found = suggest(&["--count", "2"]);
        assert_eq!(found["free"], json!(["10.99.0.5", "10.99.0.6"]));
        assert_eq!(told(&found), expected);
        assert_eq!(found["made"], json!(["arp", "ping", "ptr"]));
        let why = found["not_made"][0]["why"].as_str().unwrap();
        assert!(why.contains("bootwright is not running"), "{why}");

        let _daemon = lab.site.serve();
        let found = suggest(&["--count", "2"]);
        assert_eq!(found["free"], json!(["10.99.0.5", "10.99.0.6"]));
        assert_eq!(told(&found), expected);
        assert_eq!(found["made"], json!(["lease", "arp", "ping", "ptr"]));
        assert_eq!(found["not_made"], json!([]));
        let text = lab.site.run(&["ip", "suggest", "10.99.0.0/24"]);
        assert!(text.starts_with("10.99.0.5\n\nnot free:\n"), "{text}");
        assert!(
            text.ends_with("\ntested by reservations, lease, arp, ping, ptr\n"),
            "{text}"
        );
        // Reserved ones are passed over; all of a subnet are not enough.
        let (status, text, _) = lab
            .site
            .try_run(&["ip", "suggest", "lab", "--count", "256"]);
        assert_eq!(status, Some(1), "{text}");
        assert!(
            text.contains("10.99.0.11-10.99.0.12  reservation  web01, web02"),
            "{text}"
        );
        assert!(
            text.contains("\n248 of 256 found: the subnet has no more\n"),
            "{text}"
        );
    });
}

#[test]
fn a_reserved_address_in_use_is_told_before_it_is_ever_offered() {
    between(WEB01_MAC, |lab| {
        lab.client.run(|| ip("address add 10.99.0.19/24 dev eth0"));
        let _daemon = lab.site.serve();
        let file = lab.site.path("config/reservations.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("\n[hosts.web09]\nmac = \"52:54:00:99:99:09\"\nip = \"10.99.0.19\"\n");
        std::fs::write(&file, text).unwrap();
        lab.site.run(&["reload"]);
        let conflict = lab.site.event("dhcp.conflict");
        assert_eq!(conflict["reason"], "reserved-address-taken");
        assert_eq!(conflict["host"], "web09");
        assert_eq!(conflict["holder"], WEB01_MAC);
        assert_eq!(
            conflict["detail"],
            format!("{WEB01_MAC} (web01) holds 10.99.0.19; it will be offered all the same")
        );
        let shown = lab.site.run(&["host", "show", "web09"]);
        assert!(
            shown.contains(&format!("10.99.0.19 is in use by {WEB01_MAC}")),
            "{shown}"
        );
        let all = lab.site.run(&["hosts"]);
        assert!(
            all.contains(&format!("10.99.0.19 is in use by {WEB01_MAC}")),
            "{all}"
        );
        // It leaves: the next look at the reservation finds it free.
        lab.client.run(|| ip("address del 10.99.0.19/24 dev eth0"));
        let file = lab.site.path("config/reservations.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("hosts.web09", "hosts.web10")).unwrap();
        lab.site.run(&["reload"]);
        until("that it is found free", || {
            !lab.site.run(&["hosts"]).contains("in use by")
        });
    });
}

#[test]
fn a_machine_that_was_seen_is_adopted_and_gets_its_address() {
    between(STRANGER, |lab| {
        with_pool(
            lab,
            "unknown = \"lease\"",
            "pool = \"10.99.0.200-10.99.0.210\"",
        );
        name_server(lab);
        let _daemon = lab.site.serve();
        // Somebody has the first address that no file names.
        lab.client.run(|| ip("address add 10.99.0.3/24 dev eth0"));
        lab.client.run(|| {
            ip("link add link eth0 name other address 52:54:00:99:99:0a type macvlan mode bridge");
            ip("link set other up");
        });
        let (script, told) = script(lab);
        let mut asks = udhcpc(&script, &["-n", "-q"]);
        // The machine is another one than who has 10.99.0.3.
        let args: Vec<_> = asks.get_args().map(std::ffi::OsStr::to_owned).collect();
        asks = std::process::Command::new("busybox");
        asks.args(args.iter().map(|arg| {
            if arg == "eth0" {
                "other".as_ref()
            } else {
                arg.as_os_str()
            }
        }));
        lab.client.output(asks);
        assert_eq!(
            call(&told, "bound").expect("an address")["ip"],
            "10.99.0.200"
        );
        let mac = "52:54:00:99:99:0a";
        let all = unknown(lab);
        let seen = all.as_array().unwrap();
        let seen = seen.iter().find(|machine| machine["mac"] == mac).unwrap();
        assert_eq!(seen["ip"], "10.99.0.200");

        let words = ["adopt", mac, "--name", "web09", "--group", "web"];
        let dry = lab.site.run(&[&words[..], &["--dry-run"]].concat());
        assert!(dry.contains("+[hosts.web09]\n"), "{dry}");
        let shown = lab.site.run(&words);
        assert!(shown.contains("web09 added: "), "{shown}");
        assert!(
            shown.contains("10.99.0.5 is the next free address of lab\n"),
            "{shown}"
        );
        assert!(
            shown.contains("it has leased 10.99.0.200 of the pool"),
            "{shown}"
        );
        // The daemon has it at once.
        let host = lab.site.run(&["host", "show", "web09"]);
        assert!(host.contains("10.99.0.5"), "{host}");
        let left = unknown(lab);
        assert!(!left.to_string().contains(mac), "{left}");
        lab.site.run(&["host", "add", "web11", "--ip", "auto"]);
        let host = lab.site.run(&["host", "show", "web11"]);
        assert!(host.contains("10.99.0.6"), "{host}");
        let why = lab.site.try_run(&["adopt", mac, "--name", "web10"]).2;
        assert!(why.contains("is web09's already"), "{why}");
    });
}
