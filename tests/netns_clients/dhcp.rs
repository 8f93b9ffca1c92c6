//! udhcpc and dhclient: addresses, renewals, refusals, silence.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use super::harness::{Lab, WEB01_MAC, between, ip, text_of, until};

/// A script for a DHCP client: appends what the client tells it to a file and sets the address, as the
/// clients' own scripts do.
fn script(lab: &Lab) -> (PathBuf, PathBuf) {
    let told = lab.site.path("told");
    let script = lab.site.path("script.sh");
    let text = format!(
        "#!/bin/sh\n\
         {{ echo \"begin=${{1:-$reason}}\"; env; echo end=; }} >> {told}.part\n\
         case \"${{1:-$reason}}\" in\n\
         bound|renew) ip address replace $ip/$mask dev $interface ;;\n\
         BOUND|RENEW|REBOOT) ip address replace $new_ip_address/24 dev $interface ;;\n\
         deconfig) ip address flush dev $interface ;;\n\
         esac\n\
         cp {told}.part {told}.new && mv {told}.new {told}\n",
        told = told.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (script, told)
}

/// What the script was told, call by call.
fn calls(told: &Path) -> Vec<BTreeMap<String, String>> {
    let mut calls = Vec::new();
    let mut call = BTreeMap::new();
    for line in text_of(told).lines() {
        match line.split_once('=') {
            Some(("end", _)) => calls.push(std::mem::take(&mut call)),
            Some((name, value)) => {
                call.insert(name.to_owned(), value.to_owned());
            }
            None => {}
        }
    }
    calls
}

/// The first call of this name.
fn call(told: &Path, name: &str) -> Option<BTreeMap<String, String>> {
    calls(told).into_iter().find(|call| call["begin"] == name)
}

fn udhcpc(script: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("busybox");
    command
        .args(["udhcpc", "-f", "-i", "eth0", "-t", "5", "-T", "2"])
        .arg("-s")
        .arg(script)
        .args(args);
    command
}

#[test]
fn udhcpc_gets_the_reserved_address_and_no_boot_file() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let (script, told) = script(lab);
        // Asks for everything there is, the boot file too.
        let asked = [
            "-n", "-q", "-O", "domain", "-O", "ntpsrv", "-O", "bootfile", "-O", "tftp",
        ];
        let output = lab.client.output(udhcpc(&script, &asked));
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bound = call(&told, "bound").expect("an address");
        let is = |name: &str, value: &str| {
            assert_eq!(
                bound.get(name).map(String::as_str),
                Some(value),
                "{name}: {bound:?}"
            );
        };
        is("ip", "10.99.0.11");
        is("subnet", "255.255.255.0");
        is("router", "10.99.0.1");
        is("dns", "10.99.0.1");
        is("ntpsrv", "10.99.0.1");
        is("domain", "lab.example");
        is("serverid", "10.99.0.2");
        is("lease", "3600");
        // An installer that finds one takes it for its answers.
        for name in ["boot_file", "bootfile", "tftp", "sname"] {
            assert_eq!(bound.get(name), None, "{bound:?}");
        }
        assert!(
            matches!(
                bound.get("siaddr").map(String::as_str),
                None | Some("0.0.0.0")
            ),
            "{bound:?}"
        );
        let ack = lab.site.event("dhcp.ack");
        assert_eq!(ack["reason"], "network-only");
        assert_eq!(ack["host"], "web01");
        assert_eq!(ack["ip"], "10.99.0.11");
    });
}

#[test]
fn udhcpc_renews_by_unicast() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let (script, told) = script(lab);
        let client = lab.client.start_process(udhcpc(&script, &[]));
        until("an address", || call(&told, "bound").is_some());
        // RENEWING: a REQUEST from the client's own address to the server's.
        client.signal(Signal::SIGUSR1);
        until("a renewal", || call(&told, "renew").is_some());
        let renewed = call(&told, "renew").unwrap();
        assert_eq!(renewed["ip"], "10.99.0.11");
        let acks = || {
            let events = lab.site.events();
            events
                .iter()
                .filter(|event| event["kind"] == "dhcp.ack")
                .count()
        };
        // Two or three: busybox 1.35 misses a reply that comes within a millisecond, while the socket
        // it sent by is still open, and asks once more by broadcast.
        until("both grants in the journal", || acks() >= 2);
        assert!(
            lab.site
                .events()
                .iter()
                .all(|event| event["kind"] != "dhcp.nak")
        );
    });
}

#[test]
fn an_unknown_machine_meets_silence() {
    between("52:54:00:99:99:99", |lab| {
        let _daemon = lab.site.serve();
        let (script, told) = script(lab);
        let mut command = Command::new("busybox");
        command
            .args([
                "udhcpc", "-f", "-n", "-q", "-i", "eth0", "-t", "2", "-T", "1", "-s",
            ])
            .arg(&script);
        let output = lab.client.output(command);
        assert_eq!(output.status.code(), Some(1));
        assert!(call(&told, "bound").is_none());
        let ignored = lab.site.event("dhcp.ignored");
        assert_eq!(ignored["reason"], "unknown-host");
        assert_eq!(ignored["mac"], "52:54:00:99:99:99");
        for event in lab.site.events() {
            let kind = event["kind"].as_str().unwrap();
            assert!(
                !["dhcp.offer", "dhcp.ack", "dhcp.nak"].contains(&kind),
                "{event}"
            );
        }
    });
}

fn dhclient(lab: &Lab, script: &Path) -> Command {
    let mut command = Command::new("dhclient");
    command
        .args(["-4", "-d", "-1", "-cf", "/dev/null", "-sf"])
        .arg(script)
        .arg("-lf")
        .arg(lab.site.path("leases"))
        .arg("-pf")
        .arg(lab.site.path("dhclient.pid"))
        .arg("eth0");
    command
}

#[test]
fn dhclient_gets_the_reserved_address() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let (script, told) = script(lab);
        std::fs::write(lab.site.path("leases"), "").unwrap();
        let _client = lab.client.start_process(dhclient(lab, &script));
        until("an address", || call(&told, "BOUND").is_some());
        let bound = call(&told, "BOUND").unwrap();
        assert_eq!(bound["new_ip_address"], "10.99.0.11");
        assert_eq!(bound["new_routers"], "10.99.0.1");
        assert_eq!(bound["new_domain_name_servers"], "10.99.0.1");
        assert_eq!(bound["new_dhcp_lease_time"], "3600");
        assert_eq!(bound.get("new_filename"), None);
    });
}

#[test]
fn a_wrong_address_is_refused_and_the_reserved_one_given() {
    between(WEB01_MAC, |lab| {
        let _daemon = lab.site.serve();
        let (script, told) = script(lab);
        // A lease of another time: dhclient asks for it again (INIT-REBOOT).
        std::fs::write(
            lab.site.path("leases"),
            "lease {\n  interface \"eth0\";\n  fixed-address 10.99.0.77;\n  \
             option subnet-mask 255.255.255.0;\n  option dhcp-lease-time 3600;\n  \
             option dhcp-server-identifier 10.99.0.2;\n  renew 4 2037/01/01 00:00:00;\n  \
             rebind 4 2037/01/01 00:00:00;\n  expire 4 2037/01/01 00:00:00;\n}\n",
        )
        .unwrap();
        let _client = lab.client.start_process(dhclient(lab, &script));
        let nak = lab.site.event("dhcp.nak");
        assert_eq!(nak["reason"], "wrong-address");
        assert_eq!(nak["host"], "web01");
        until("the reserved address", || call(&told, "BOUND").is_some());
        assert_eq!(
            call(&told, "BOUND").unwrap()["new_ip_address"],
            "10.99.0.11"
        );
    });
}

/// dnsmasq as Debian ships it, which looks 3 s whether an address is free before it offers it.
#[test]
fn another_server_is_found_by_the_doctor() {
    between("02:00:00:00:00:05", |lab| {
        lab.client.run(|| ip("address add 10.99.0.5/24 dev eth0"));
        let mut dnsmasq = Command::new("dnsmasq");
        dnsmasq.args([
            "--conf-file=/dev/null",
            "--keep-in-foreground",
            "--user=root",
            "--port=0",
            "--interface=eth0",
            "--leasefile-ro",
            "--dhcp-range=10.99.0.100,10.99.0.150,1h",
        ]);
        let other = lab.client.start_process(dnsmasq);
        let _daemon = lab.site.serve();
        // It is looked for at the start.
        let probed = lab.site.event("dhcp.probed");
        assert_eq!(probed["reason"], "foreign-server", "{probed}");
        let event = lab.site.event("dhcp.foreign");
        assert_eq!(event["foreign"]["ip"], "10.99.0.5");
        assert_eq!(event["foreign"]["mac"], "02:00:00:00:00:05");
        assert_eq!(event["foreign"]["chosen"], false);
        assert_eq!(event["iface"], "br0");

        let (status, said, _) = lab.site.try_run(&["doctor", "dhcp"]);
        assert_eq!(status, Some(1), "{said}");
        let begin = "br0: another DHCP server, 10.99.0.5 (02:00:00:00:00:05), offers 10.99.0.1";
        assert!(said.starts_with(begin), "{said}");
        let (status, _, why) = lab.site.try_run(&["doctor", "dhcp", "--interface", "br1"]);
        assert_eq!(status, Some(1));
        assert!(
            why.contains("br1 is not among [server] interfaces"),
            "{why}"
        );

        drop(other);
        let said = lab.site.run(&["doctor", "dhcp"]);
        assert_eq!(said, "br0: no other DHCP server answered\n");
    });
}
