//! Beside a real DHCP server (dnsmasq): it gives the addresses, this server tells what to boot, and
//! machines are known by the neighbour table.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::harness::{Client, Lab, OtherServer, PATIENCE, SERVER, WEB01_MAC, between, ip};

/// Of dnsmasq.
const GIVEN: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 50);
const SCRIPT: &str = "http://10.99.0.2:8080/boot/52-54-00-47-86-8e/boot.ipxe?uuid=&serial=";

/// Another server gives the addresses; this one does not know them.
fn beside(lab: &Lab, mode: &str) -> OtherServer {
    lab.site.edit(
        "bootwright.toml",
        "[[subnet]]\n",
        &format!("[[subnet]]\nmode = \"{mode}\"\n"),
    );
    lab.site.edit(
        "reservations.toml",
        "ip    = \"10.99.0.11\"\n",
        "subnet = \"lab\"\n",
    );
    OtherServer::start()
}

/// What OVMF sent, of a file of `tests/packets`. The hardware address in it is web01's.
fn captured(name: &str) -> Vec<u8> {
    let file = format!("tests/packets/captures/{name}.hex");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let digits: Vec<u8> = std::fs::read_to_string(file)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(|line| {
            line.bytes()
                .filter(u8::is_ascii_hexdigit)
                .collect::<Vec<_>>()
        })
        .collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap();
    digits
        .chunks_exact(2)
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap())
        .collect()
}

fn ip_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap())
}

fn has(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|part| part == text)
}

/// A socket at port 68 of the machine, which is to have no address yet.
fn firmware(client: &Client) -> UdpSocket {
    client.run(|| {
        let socket = UdpSocket::bind("0.0.0.0:68").unwrap();
        socket.set_broadcast(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Without an address of its own the kernel takes broadcasts by this route.
        ip("route add 255.255.255.255/32 dev eth0");
        socket
    })
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddrV4) {
    let mut bytes = [0; 1_500];
    let (len, from) = socket.recv_from(&mut bytes).expect("an answer in time");
    let SocketAddr::V4(from) = from else {
        panic!("{from}");
    };
    (bytes[..len].to_vec(), from)
}

fn fetch(at: &Client, url: &str) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20"]);
    command.args(["--write-out", "\n%{http_code}", url]);
    let text = String::from_utf8(at.output(command).stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.to_owned(), body.to_owned())
}

/// The installer's script and answers are for the hardware address of web01, whatever address it has
/// there, and for nobody else.
fn known_by_its_hardware_address(lab: &Lab, other: &OtherServer) {
    lab.site.run(&["install", "web01"]);
    let (status, stranger) = fetch(&other.at, SCRIPT);
    assert_eq!(status, "200");
    assert!(stranger.contains("not this machine"), "{stranger}");
    let (status, script) = fetch(&lab.client, SCRIPT);
    assert_eq!(status, "200");
    let answers = script
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("url="))
        .unwrap_or_else(|| panic!("no answers in {script}"))
        .to_owned();
    assert_eq!(fetch(&other.at, &answers).0, "404");
    let (status, preseed) = fetch(&lab.client, &answers);
    assert_eq!(status, "200");
    assert!(preseed.contains("d-i "), "{preseed}");
    let token = answers.rsplit('/').nth(1).unwrap();
    let report = format!("http://10.99.0.2:8080/report/{token}/started");
    assert_eq!(fetch(&other.at, &report).0, "404");
    assert_eq!(
        fetch(&lab.client, &report),
        ("200".to_owned(), "ok\n".to_owned())
    );
    // By TFTP too, and the transfer is known to be this host's.
    let mut tftp = Command::new("curl");
    tftp.args(["--silent", "tftp://10.99.0.2/ipxe/undionly.kpxe"]);
    assert!(lab.client.output(tftp).status.success());
    let sent = lab.site.event("tftp.sent");
    assert_eq!(
        (&sent["host"], &sent["mac"]),
        (&"web01".into(), &WEB01_MAC.into())
    );
}

#[test]
fn uefi_is_told_by_the_proxy_and_at_port_4011() {
    between(WEB01_MAC, |lab| {
        let other = beside(lab, "proxy");
        let _daemon = lab.site.serve();
        lab.site.run(&["install", "web01"]);
        let socket = firmware(&lab.client);
        let discover = captured("ovmf-pxe-discover");
        socket.send_to(&discover, "255.255.255.255:67").unwrap();
        let mut offers = [receive(&socket), receive(&socket)];
        offers.sort_by_key(|(_, from)| *from.ip());
        let [(address, dnsmasq), (boot, here)] = &offers;
        assert_eq!(*dnsmasq, "10.99.0.1:67".parse().unwrap());
        assert_eq!(ip_at(address, 16), GIVEN);
        assert_eq!(*here, SocketAddrV4::new(SERVER, 67));
        assert_eq!(ip_at(boot, 16), Ipv4Addr::UNSPECIFIED);
        assert_eq!(ip_at(boot, 20), SERVER);
        assert!(has(boot, b"\x3c\x09PXEClient"));
        let offered = lab.site.event("dhcp.offer");
        assert_eq!(offered["host"], "web01");
        assert_eq!(offered["file"], "ipxe/snponly.efi");

        // It takes dnsmasq's address, and asks for its boot file at port 4011.
        let mut request = discover;
        assert_eq!(request[240..243], [53, 1, 1]);
        request[242] = 3;
        request[12..16].copy_from_slice(&GIVEN.octets());
        lab.client.run(|| ip("address add 10.99.0.50/24 dev eth0"));
        socket.send_to(&request, (SERVER, 4_011)).unwrap();
        let (told, from) = receive(&socket);
        assert_eq!(from, SocketAddrV4::new(SERVER, 4_011));
        assert_eq!(told[240..243], [53, 1, 5]);
        assert!(has(&told[108..236], b"ipxe/snponly.efi\0"));
        let acked = lab.site.event("dhcp.ack");
        assert_eq!(acked["ip"], "10.99.0.50");
        lab.site.run(&["cancel", "web01"]);
        known_by_its_hardware_address(lab, &other);
    });
}

/// A system takes its address from dnsmasq, and this server says nothing to it, not even when it asks
/// for an address that it cannot have.
#[test]
fn a_system_is_left_to_the_other_server() {
    between(WEB01_MAC, |lab| {
        let _other = beside(lab, "proxy");
        let _daemon = lab.site.serve();
        let mut udhcpc = Command::new("busybox");
        udhcpc.args([
            "udhcpc", "-f", "-i", "eth0", "-t", "5", "-T", "2", "-n", "-q",
        ]);
        udhcpc.args(["-s", "/bin/true", "-r", "10.99.0.99"]);
        let output = lab.client.output(udhcpc);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains("lease of 10.99.0.50 obtained from 10.99.0.1"),
            "{said}"
        );
        let ignored = lab.site.event("dhcp.ignored");
        assert_eq!(ignored["reason"], "proxy-only");
        let kinds: Vec<_> = lab
            .site
            .events()
            .iter()
            .map(|event| event["kind"].as_str().unwrap_or_default().to_owned())
            .filter(|kind| kind.starts_with("dhcp.") && kind != "dhcp.ignored")
            .collect();
        assert_eq!(kinds, Vec::<String>::new());
    });
}

#[test]
fn switched_off_it_says_nothing_and_serves_files_and_scripts() {
    between(WEB01_MAC, |lab| {
        let other = beside(lab, "off");
        let _daemon = lab.site.serve();
        let socket = firmware(&lab.client);
        let discover = captured("ovmf-pxe-discover");
        socket.send_to(&discover, "255.255.255.255:67").unwrap();
        let (_, from) = receive(&socket);
        assert_eq!(from, "10.99.0.1:67".parse().unwrap());
        // Once its event is there, all is said that is to be.
        let ignored = lab.site.event("dhcp.ignored");
        assert_eq!(ignored["reason"], "subnet-mode-off");
        socket
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
        let more = socket.recv_from(&mut [0; 1_500]);
        assert!(more.is_err(), "{more:?}");
        lab.client.run(|| ip("address add 10.99.0.50/24 dev eth0"));
        known_by_its_hardware_address(lab, &other);
    });
}
