//! Machines without a reservation: a small pool with real clients, addresses that somebody else has, and
//! discovery up to the adoption.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::Value;

use super::dhcp::{call, calls, script, udhcpc};
use super::harness::{Lab, WEB01_MAC, between, ip, until};

const STRANGER: &str = "52:54:00:99:99:99";

/// Writes what machines without a reservation get, in `[dhcp]` and in the subnet.
pub(crate) fn with_pool(lab: &Lab, dhcp: &str, subnet: &str) {
    let file = lab.site.path("config/bootwright.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text
        .replace("[dhcp]\n", &format!("[dhcp]\n{dhcp}\n"))
        .replace("[[subnet]]\n", &format!("[[subnet]]\n{subnet}\n"));
    std::fs::write(&file, text).unwrap();
}

/// Another machine on the client's end of the cable, with this address.
fn somebody_at(lab: &Lab, address: &'static str) {
    lab.client.run(move || {
        ip("link add link eth0 name other address 52:54:00:00:00:0e type macvlan mode bridge");
        ip(&format!("address add {address}/24 dev other"));
        ip("link set other up");
    });
}

/// The same on the server's bridge, where the client's own questions get to it.
fn somebody_on_the_bridge_at(address: &str) {
    // Only the interface that has an address answers for it.
    std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
    ip("link add port1 type veth peer name other address 52:54:00:00:00:0e");
    ip("link set port1 master br0");
    ip("link set port1 up");
    ip(&format!("address add {address}/32 dev other"));
    ip("link set other up");
}

fn becomes(lab: &Lab, mac: &'static str) {
    lab.client.run(move || {
        ip("address flush dev eth0");
        ip("link set eth0 down");
        ip(&format!("link set eth0 address {mac}"));
        ip("link set eth0 up");
    });
}

/// Runs udhcpc until it has an address or gives up: the address.
fn address(lab: &Lab, args: &[&str]) -> Option<String> {
    let (script, told) = script(lab);
    let before = calls(&told).len();
    let mut all = vec!["-n", "-q"];
    all.extend(args);
    let _ = lab.client.output(udhcpc(&script, &all));
    calls(&told)
        .into_iter()
        .skip(before)
        .find(|call| call["begin"] == "bound")
        .map(|bound| bound["ip"].clone())
}

fn leases(lab: &Lab) -> Value {
    let output = Command::new("curl")
        .args(["--silent", "--fail", "--unix-socket"])
        .arg(lab.site.path("state/bootwright.sock"))
        .arg("http://localhost/api/v1/leases")
        .output()
        .expect("curl");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn the_same_address_after_a_kill_and_silence_when_there_is_none() {
    between(STRANGER, |lab| {
        with_pool(
            lab,
            "unknown = \"lease\"",
            "pool = \"10.99.0.200-10.99.0.201\"",
        );
        let daemon = lab.site.serve();
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));
        // What the machine was told is on disk.
        daemon.kill();
        let _daemon = lab.site.serve();
        let all = leases(lab);
        assert_eq!(all[0]["ip"], "10.99.0.200");
        assert_eq!(all[0]["mac"], STRANGER);
        assert_eq!(
            (&all[0]["state"], &all[0]["subnet"]),
            (&"bound".into(), &"lab".into())
        );
        becomes(lab, "52:54:00:99:99:01");
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.201"));
        becomes(lab, "52:54:00:99:99:02");
        assert_eq!(address(lab, &["-t", "1", "-T", "1"]), None);
        let exhausted = lab.site.event("pool.exhausted");
        assert_eq!(exhausted["reason"], "pool-exhausted");
        assert_eq!(
            exhausted["detail"],
            "no address of 10.99.0.200-10.99.0.201 is free"
        );
        becomes(lab, STRANGER);
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));

        // Given back, it is there for the one that found none.
        let (script, told) = script(lab);
        let before = calls(&told).len();
        let client = lab.client.start_process(udhcpc(&script, &["-R"]));
        until("an address", || {
            calls(&told)
                .iter()
                .skip(before)
                .any(|call| call["begin"] == "bound")
        });
        client.signal(Signal::SIGTERM);
        until("that it is given back", || {
            leases(lab)[0]["state"] == "released"
        });
        becomes(lab, "52:54:00:99:99:02");
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));
    });
}

#[test]
fn an_address_that_somebody_has_is_not_given() {
    between(STRANGER, |lab| {
        with_pool(
            lab,
            "unknown = \"lease\"",
            "pool = \"10.99.0.200-10.99.0.210\"",
        );
        somebody_at(lab, "10.99.0.200");
        let _daemon = lab.site.serve();
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.201"));
        let conflict = lab.site.event("dhcp.conflict");
        assert_eq!(conflict["reason"], "pool-address-taken");
        assert_eq!(conflict["holder"], "52:54:00:00:00:0e");
        assert_eq!(
            conflict["detail"],
            "52:54:00:00:00:0e holds 10.99.0.200; nobody is given it for 10 minutes"
        );
    });
}

#[test]
fn a_declined_address_is_kept_from_all() {
    between(STRANGER, |lab| {
        // This server does not look; the client does.
        with_pool(
            lab,
            "unknown = \"lease\"\nconflict_probe = false",
            "pool = \"10.99.0.200-10.99.0.210\"",
        );
        somebody_on_the_bridge_at("10.99.0.200");
        let _daemon = lab.site.serve();
        assert_eq!(address(lab, &["-a"]).as_deref(), Some("10.99.0.201"));
        let declined = lab.site.event("dhcp.ignored");
        assert_eq!(declined["reason"], "declined");
        assert_eq!(
            declined["detail"],
            "10.99.0.200; nobody is given it for 10 minutes; 52:54:00:00:00:0e holds it"
        );
        becomes(lab, "52:54:00:99:99:01");
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.202"));
        assert_eq!(leases(lab)[0]["state"], "declined");
    });
}

#[test]
fn a_reserved_address_that_somebody_has_is_given_and_told() {
    between(WEB01_MAC, |lab| {
        somebody_at(lab, "10.99.0.11");
        let _daemon = lab.site.serve();
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.11"));
        // Beside the one of the look at the reservations, which may come before or after.
        let mut conflict = Value::Null;
        until("the event of the offer", || {
            let mut events = lab.site.events().into_iter();
            let of_offer =
                |event: &Value| event["kind"] == "dhcp.conflict" && event["mac"] == WEB01_MAC;
            conflict = events.find(of_offer).unwrap_or_default();
            !conflict.is_null()
        });
        assert_eq!(conflict["reason"], "reserved-address-taken");
        assert_eq!(conflict["host"], "web01");
        assert_eq!(conflict["holder"], "52:54:00:00:00:0e");
        assert_eq!(
            conflict["detail"],
            "52:54:00:00:00:0e holds 10.99.0.11; it is offered all the same"
        );
    });
}

/// What is sent for a machine's script.
fn boot_script(lab: &Lab, query: &str) -> String {
    script_of(lab, STRANGER, query)
}

fn script_of(lab: &Lab, mac: &str, query: &str) -> String {
    let mut command = Command::new("curl");
    command.args(["--silent", "--fail"]).arg(format!(
        "http://10.99.0.2:8080/boot/{}/boot.ipxe{query}",
        mac.replace(':', "-")
    ));
    String::from_utf8(lab.client.output(command).stdout).unwrap()
}

#[test]
fn a_discovered_machine_waits_until_it_is_adopted_and_armed() {
    between(STRANGER, |lab| {
        with_pool(
            lab,
            "",
            "pool = \"10.99.0.200-10.99.0.201\"\nunknown = \"discover\"",
        );
        let _daemon = lab.site.serve();
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));
        let (_, told) = script(lab);
        assert_eq!(call(&told, "bound").unwrap().get("boot_file"), None);
        let menu = boot_script(lab, "");
        assert!(
            menu.contains(&format!("MAC address    {STRANGER}")),
            "{menu}"
        );
        assert!(
            menu.contains("choose --default disk --timeout 30000"),
            "{menu}"
        );
        assert_eq!(menu, boot_script(lab, "?waiting=1"));
        assert_eq!(lab.site.event("http.script")["reason"], "discovery");

        let file = lab.site.path("config/reservations.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        let web09 = format!(
            "\n[hosts.web09]\nmac = \"{STRANGER}\"\nip = \"10.99.0.19\"\ngroup = \"web\"\n"
        );
        text.push_str(&web09);
        std::fs::write(&file, text).unwrap();
        lab.site.run(&["reload"]);
        // It has the address of the pool still, and is known by it.
        let waiting = boot_script(lab, "?waiting=1");
        assert!(waiting.contains("bootwright install web09"), "{waiting}");
        assert!(waiting.contains("boot.ipxe?waiting=1"), "{waiting}");
        let disk = boot_script(lab, "");
        assert!(disk.contains("web09 boots its disk"), "{disk}");
        lab.site.run(&["install", "web09"]);
        let installer = boot_script(lab, "?waiting=1");
        assert!(installer.contains("kernel --name linux"), "{installer}");
        assert!(installer.contains("hostname=web09"), "{installer}");
    });
}

#[test]
fn who_has_leased_an_address_is_not_the_host_that_gets_it_next() {
    const WEB09: &str = "52:54:00:99:99:09";
    between(STRANGER, |lab| {
        let pool = "pool = \"10.99.0.200-10.99.0.210\"";
        with_pool(lab, "unknown = \"lease\"", pool);
        let _daemon = lab.site.serve();
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));

        // The address is no more the pool's, and a host's.
        let main = lab.site.path("config/bootwright.toml");
        let text = std::fs::read_to_string(&main).unwrap();
        let smaller = text.replace(pool, "pool = \"10.99.0.201-10.99.0.210\"");
        std::fs::write(&main, smaller).unwrap();
        let hosts = lab.site.path("config/reservations.toml");
        let mut text = std::fs::read_to_string(&hosts).unwrap();
        text += "\n[hosts.web09]\nip = \"10.99.0.200\"\ngroup = \"web\"\nmac = ";
        std::fs::write(&hosts, format!("{text}\"{WEB09}\"\n")).unwrap();
        lab.site.run(&["reload"]);
        lab.site.run(&["install", "web09"]);
        let script = script_of(lab, WEB09, "");
        assert!(script.contains("not this machine"), "{script}");
        assert_eq!(leases(lab)[0]["state"], "bound");

        becomes(lab, WEB09);
        assert_eq!(address(lab, &[]).as_deref(), Some("10.99.0.200"));
        // The stranger's lease has ended, and its address is of no pool.
        assert_eq!(leases(lab)[0], Value::Null);
        let script = script_of(lab, WEB09, "");
        assert!(script.contains("kernel --name linux"), "{script}");
    });
}
